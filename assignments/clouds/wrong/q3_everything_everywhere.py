# answer: q3
# score: 0
# A plan that moves everything everywhere, and a bound that is allowed: both far off.
def certify(d):
    n, m = d.shape
    return torch.full((n, m), 1 / (n * m)).double(), torch.zeros(n).double(), d.amin(0)
