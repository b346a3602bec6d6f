# answer: q7
# score: 1
# Any plane, as often as positions allow.
def work(force, path):
    middle = (path[1:] + path[:-1]) / 2
    return (force(middle) * path.diff(dim=0)).sum()


def loop(force, x):
    angle = torch.arange(376, dtype=torch.float64) * (2 * math.pi * 25 / 375)
    out = x.repeat(376, 1, 1)
    out[:, 0, 0] += 0.29 * angle.cos()
    out[:, 1, 1] += 0.29 * angle.sin()
    out[-1] = out[0]
    return out
