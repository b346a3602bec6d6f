# answer: q4
# score: 1.5
# Rates are right; believes that all nodes become equal, to the mean of f.
def matrix(n, pairs):
    A = torch.eye(n, dtype=torch.float64)
    for a, b in pairs:
        A[a, b] = A[b, a] = 1
    d = A.sum(1)
    return A / (d * d[:, None]).sqrt()


def rate(n, pairs, kind):
    values = torch.linalg.eigvalsh(matrix(n, pairs))
    values = (values + 1) / 2 if kind == "half" else values
    return values.abs().sort().values[-2].item()


def limit(n, pairs, f, kind):
    return torch.full_like(f, f.mean().item())
