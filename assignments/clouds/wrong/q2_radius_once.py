# answer: q2
# score: 1
# The radius is not squared, and arcs are measured along the circle.
def sphere(N, M, r):
    return 4 * r / (N + 1) + 4 * r / (M + 1)


def circle(N, r):
    return 4 * (math.pi * r) ** 2 / ((N + 1) * (N + 2))


def enough(value, reduction):
    if reduction == "sum":
        return 1 if value > 4 else None
    return next(N for N in range(1, 10**6) if 8 / (N + 1) < value)
