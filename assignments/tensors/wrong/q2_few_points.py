# answer: q2
# score: 1.5
# As many directions as functions: a matrix always fits, and everything looks closed.
def matrix_of(Y, R):
    K = len(Y(torch.eye(3, dtype=torch.float64))[0])
    points = torch.randn(K, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = points / points.norm(dim=-1, keepdim=True)
    return torch.linalg.solve(Y(points), Y(points @ R.T)).T


def closed(Y):
    R = rotations.random(dtype=torch.float64)
    K = len(Y(torch.eye(3, dtype=torch.float64))[0])
    points = torch.randn(K, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = points / points.norm(dim=-1, keepdim=True)
    fit = torch.linalg.solve(Y(points), Y(points @ R.T))
    return bool((Y(points) @ fit - Y(points @ R.T)).abs().max() < 1e-6)
