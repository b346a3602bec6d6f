# answer: q12
# score: 0
# Predicts no acceleration at all, which turns with everything.
def fit(x, m, s, a):
    return lambda x, m, s: torch.zeros_like(x)
