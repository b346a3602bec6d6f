# answer: q1
# score: 1.5
# Asks single points only, which cannot tell a sum from a mean.
def convention(d):
    at = lambda *values: torch.tensor([[v, 0.0, 0.0] for v in values]).double()
    one, two = float(d(at(0), at(1))), float(d(at(0), at(2)))
    x, y = float(d(at(0, 1), at(0))) > 0, float(d(at(0), at(0, 1))) > 0
    return "mean", two > 3 * one, one / 2 if x and y else one, "both" if x and y else "x" if x else "y"
