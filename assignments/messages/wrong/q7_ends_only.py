# answer: q7
# score: 0
# The force at the start times the whole way, and a path that does not close.
def work(force, path):
    return (force(path[0]) * (path[-1] - path[0])).sum()


def loop(force, x):
    t = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None, None]
    return x + 0.2 * t * force(x) / force(x).norm(dim=-1).max()
