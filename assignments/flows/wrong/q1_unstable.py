# answer: q1
# score: 1.5
# The inverse by its formula, which cancels far out on the left.
def log_prob(x):
    z = torch.log(x + torch.sqrt(x * x + 1))
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 0.5 * torch.log1p(x * x)
