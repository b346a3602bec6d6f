# answer: q8
# score: 2.25
# torch.where hides the division by zero from the value, not from the gradient.
def mended(s, u, x, edge_index, w):
    i, j = edge_index
    r = x[j] - x[i]
    d = r.norm(dim=-1, keepdim=True)
    n = torch.where(d > 0, r / d, 0.0)
    phi = torch.exp(-d * w["decay"])
    to_numbers = phi * (u[j] * n[:, None]).sum(-1)
    to_arrows = phi[..., None] * (u[j] + s[j][..., None] * n[:, None])
    s = s + graph.scatter_sum(to_numbers, i, len(x))
    u = u + graph.scatter_sum(to_arrows, i, len(x))
    return nn.functional.silu(s), u * torch.tanh(u.square().sum(-1, keepdim=True))
