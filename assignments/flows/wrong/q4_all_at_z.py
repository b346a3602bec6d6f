# answer: q4
# score: 1
# Every factor at the starting point.
def chain(pairs, z):
    x, total = z, 0.0
    for f, log_det in pairs:
        total = total + log_det(z)
        x = f(x)
    return x, total
