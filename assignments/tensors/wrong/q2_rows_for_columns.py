# answer: q2
# score: 1.5
# The matrix that acts on rows: its transpose is wanted.
def matrix_of(Y, R):
    points = torch.randn(300, 3, dtype=torch.float64)
    points = points / points.norm(dim=-1, keepdim=True)
    return torch.linalg.pinv(Y(points)) @ Y(points @ R.T)


def closed(Y):
    for R in rotations.random(3, dtype=torch.float64):
        points = torch.randn(300, 3, dtype=torch.float64)
        points = points / points.norm(dim=-1, keepdim=True)
        if (Y(points) @ matrix_of(Y, R) - Y(points @ R.T)).abs().max() > 1e-8:
            return False
    return True
