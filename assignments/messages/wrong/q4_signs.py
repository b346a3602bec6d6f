# answer: q4
# score: 1
# The second largest eigenvalue with its sign, of S for both kinds, and the plain mean as the end of means.
def rate(n, pairs, kind):
    S = _layer(n, pairs)[1]
    return torch.linalg.eigvalsh(S)[-2].item()


def _layer(n, pairs):
    A = torch.eye(n, dtype=torch.float64)
    for a, b in pairs:
        A[a, b] = A[b, a] = 1
    d = A.sum(1)
    return d, A / (d * d[:, None]).sqrt()


def limit(n, pairs, f, kind):
    d = _layer(n, pairs)[0]
    u = d.sqrt() / d.sum().sqrt()
    return u * (u @ f) if kind == "gcn" else torch.full_like(f, f.mean().item())
