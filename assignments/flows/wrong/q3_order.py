# answer: q3
# score: 0.5
# Undoes the scale before the shift.
def log_prob_bent(x, a, b):
    x1, x2 = x.unbind(-1)
    z2 = x2 * torch.exp(-a * x1) - b * x1**2
    return flow.standard_normal(torch.stack([x1, z2], -1)) - a * x1
