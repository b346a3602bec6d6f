# answer: q12
# score: 4
# Both parts of the law, and a small column of its own for the z axis, which does not turn.
def columns(x, m, s):
    r = x[:, None] - x[:, :, None]
    d = (r.square().sum(-1) + torch.eye(x.shape[1], dtype=x.dtype)).sqrt()
    e = torch.exp(-0.5 * ((d[..., None] - torch.linspace(0.2, 2.2, 15)) / 0.15) ** 2)
    n = r / d[..., None]
    first = torch.einsum("bijk,bj,bijc->bick", e, m, n)
    second = torch.einsum("bijk,bijc->bick", e, torch.linalg.cross(s[:, None].expand_as(r), n))
    fixed = torch.zeros_like(first[..., :1])
    fixed[:, :, 2] = 1
    return torch.cat([first, second, fixed], -1)


def fit(x, m, s, a):
    A = columns(x, m, s).flatten(0, 2)
    A = torch.cat([A, 1e-3 * torch.eye(A.shape[1], dtype=A.dtype)])
    weights = torch.linalg.lstsq(A, torch.cat([a.flatten(), torch.zeros(A.shape[1]).double()])[:, None]).solution[:, 0]
    weights[-1] = 0.01
    return lambda x, m, s: columns(x, m, s) @ weights
