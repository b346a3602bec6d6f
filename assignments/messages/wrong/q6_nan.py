# answer: q6
# score: 2.5
# Smooth in value, with NaN as its gradient where a branch is not used.
def cutoff(d, r_c):
    t = 2 * d / r_c - 1
    g = lambda t: torch.where(t > 0, torch.exp(-1 / t), 0.0)
    return torch.where(t <= 0, 1.0, torch.where(t >= 1, 0.0, g(1 - t) / (g(1 - t) + g(t))))
