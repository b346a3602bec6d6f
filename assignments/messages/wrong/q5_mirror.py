# answer: q5
# score: 1.5
# The mirror image of a shape without symmetry.
def alike_within(r_c):
    a, s = 0.7 * r_c, math.sqrt(0.5)
    return torch.tensor([[a, 0, 0], [0, 0, 0], [-a, 0, 0]]), torch.tensor([[a, 0, 0], [0, 0, 0], [-a * s, a * s, 0]])


def same_distances():
    shape = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=torch.float64)
    return shape, shape * torch.tensor([1.0, 1.0, -1.0])
