# answer: q7
# score: 1
# A line, forth and back.
def work(force, path):
    middle = (path[1:] + path[:-1]) / 2
    return (force(middle) * path.diff(dim=0)).sum()


def loop(force, x):
    t = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None, None]
    out = x + 0.1 * t * force(x) / force(x).norm(dim=-1).max()
    return torch.cat([out, out.flip(0)])
