# answer: q8
# score: 2.25
# The components of arrows are still bent one by one.
def mended(s, u, x, edge_index, w):
    i, j = edge_index
    r = x[j] - x[i]
    d = (r.square().sum(-1, keepdim=True) + 1e-6).sqrt()
    n = r / d
    phi = torch.exp(-d * w["decay"])
    to_numbers = phi * (u[j] * n[:, None]).sum(-1)
    to_arrows = phi[..., None] * (u[j] + s[j][..., None] * n[:, None])
    s = s + graph.scatter_sum(to_numbers, i, len(x))
    u = u + graph.scatter_sum(to_arrows, i, len(x))
    return nn.functional.silu(s), torch.tanh(u)
