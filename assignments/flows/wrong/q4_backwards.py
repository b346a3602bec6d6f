# answer: q4
# score: 0.5
# Applies the last map first.
def chain(pairs, z):
    total = 0.0
    for f, log_det in reversed(pairs):
        total = total + log_det(z)
        z = f(z)
    return z, total
