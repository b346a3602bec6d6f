# answer: q4
# score: 0
# Leaves the node itself out.
def matrix(n, pairs):
    A = torch.zeros(n, n, dtype=torch.float64)
    for a, b in pairs:
        A[a, b] = A[b, a] = 1
    d = A.sum(1)
    return d, A / (d * d[:, None]).sqrt()


def rate(n, pairs, kind):
    values = torch.linalg.eigvalsh(matrix(n, pairs)[1])
    values = (values + 1) / 2 if kind == "half" else values
    return values.abs().sort().values[-2].item()


def limit(n, pairs, f, kind):
    d = matrix(n, pairs)[0]
    u = d.sqrt() / d.sum().sqrt()
    return u * (u @ f) if kind == "gcn" else torch.full_like(f, (d @ f / d.sum()).item())
