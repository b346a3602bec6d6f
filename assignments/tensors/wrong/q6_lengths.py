# answer: q6
# score: 0
# A sum of distances: the same in a mirror.
def handedness(x):
    return torch.cdist(x, x).sum()
