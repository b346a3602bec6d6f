# answer: q1
# score: 0
# The density is carried along unchanged.
def log_prob(x):
    z = torch.asinh(x)
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
