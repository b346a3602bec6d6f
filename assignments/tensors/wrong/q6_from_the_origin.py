# answer: q6
# score: 2
# Positions from the origin in place of the mean.
def handedness(x):
    d = x.norm(dim=-1, keepdim=True)
    return torch.linalg.det(torch.stack([x.sum(0), (d * x).sum(0), (d**2 * x).sum(0)]))
