# answer: q7
# score: 2
# The best normal prior of the middles alone.
def split(mu, sigma):
    z = torch.linspace(-15, 15, 100_001).double()
    each = torch.exp(-(((z - mu[:, None]) / sigma[:, None]) ** 2) / 2) / (sigma[:, None] * math.sqrt(2 * math.pi))
    mix = each.mean(0)
    prior = -(z**2) / 2 - math.log(2 * math.pi) / 2
    mismatch = torch.trapezoid(torch.special.xlogy(mix, mix) - mix * prior, z)
    return ((mu**2 + sigma**2 - 1) / 2 - sigma.log()).mean() - mismatch, mismatch


def gain(mu, sigma):
    v = mu.var(correction=0).clamp_min(1e-6)
    return (mu.mean() ** 2 + v - 1 - v.log()) / 2
