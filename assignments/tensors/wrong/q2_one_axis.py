# answer: q2
# score: 1.5
# Right matrices; but turns about the polar axis alone are tried.
def matrix_of(Y, R):
    points = torch.randn(300, 3, dtype=torch.float64)
    points = points / points.norm(dim=-1, keepdim=True)
    return (torch.linalg.pinv(Y(points)) @ Y(points @ R.T)).T


def closed(Y):
    R = rotations.about([0.0, 1.0, 0.0], 0.8)
    points = torch.randn(300, 3, dtype=torch.float64)
    points = points / points.norm(dim=-1, keepdim=True)
    return bool((Y(points) @ matrix_of(Y, R).T - Y(points @ R.T)).abs().max() < 1e-8)
