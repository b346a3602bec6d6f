# answer: q8
# score: 2.25
# The position of the sender is still in it.
def mended(s, u, x, edge_index, w):
    i, j = edge_index
    r = x[j] - x[i]
    d = (r.square().sum(-1, keepdim=True) + 1e-6).sqrt()
    n = r / d
    phi = torch.exp(-d * w["decay"])
    to_numbers = phi * (u[j] * x[j][:, None]).sum(-1)
    to_arrows = phi[..., None] * (u[j] + s[j][..., None] * n[:, None])
    s = s + graph.scatter_sum(to_numbers, i, len(x))
    u = u + graph.scatter_sum(to_arrows, i, len(x))
    return nn.functional.silu(s), u * torch.tanh(u.square().sum(-1, keepdim=True))
