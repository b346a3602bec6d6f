# answer: q6
# score: 2
# The volume spanned by the first four points depends on which come first.
def handedness(x):
    return torch.linalg.det(x[1:4] - x[0])
