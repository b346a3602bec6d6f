# answer: q2
# score: 1
# Takes the circle for a surface, and sums for means.
def sphere(N, M, r):
    return 4 * r * r / (N + 1) + 4 * r * r / (M + 1)


def circle(N, r):
    return 8 * r * r / (N + 1)


def enough(value, reduction):
    return max(1, math.floor(8 / value - 1) + 1)
