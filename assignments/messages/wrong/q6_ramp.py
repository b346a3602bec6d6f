# answer: q6
# score: 1
# A straight line between.
def cutoff(d, r_c):
    return 1 - (2 * d / r_c - 1).clamp(0, 1)
