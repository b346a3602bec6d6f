# answer: q6
# score: 2
# Half a cosine: no kink, but the curvature jumps.
def cutoff(d, r_c):
    t = (2 * d / r_c - 1).clamp(0, 1)
    return 0.5 * (1 + torch.cos(math.pi * t))
