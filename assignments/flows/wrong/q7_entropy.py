# answer: q7
# score: 0
# The entropy of the base, which is its mean and not its lowest NLL.
def nll_floor(D, s=1.0):
    return 0.5 * D * math.log(2 * math.pi * math.e * s**2)
