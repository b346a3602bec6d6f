# answer: q12
# score: 0
# The best straight line.
def train(x, v, q, end):
    t = ((end - x) * v).sum() / (v * v).sum()
    return lambda x, v, q: x + t * v
