# answer: q1
# score: 1
# Takes it for granted that both clouds look.
def convention(d):
    at = lambda *values: torch.tensor([[v, 0.0, 0.0] for v in values]).double()
    one, two = float(d(at(0), at(1))), float(d(at(0), at(2)))
    added = "sum" if float(d(at(0, 0), at(1, 1))) > 1.5 * one else "mean"
    return added, two > 3 * one, one / 2, "both"
