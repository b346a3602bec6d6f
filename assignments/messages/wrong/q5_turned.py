# answer: q5
# score: 0
# The same shape, turned and renumbered; and a chain that bends until its ends meet.
def alike_within(r_c):
    a, h = 0.7 * r_c, math.sqrt(0.75)
    return torch.tensor([[a, 0, 0], [0, 0, 0], [-a, 0, 0]]), torch.tensor([[a, 0, 0], [0, 0, 0], [a * 0.5, a * h, 0]])


def same_distances():
    shape = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=torch.float64)
    return shape, shape[[2, 0, 3, 1]][:, [1, 2, 0]]
