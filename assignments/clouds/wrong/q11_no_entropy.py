# answer: q11
# score: 1
# What a bell costs, not what it loses.
s = torch.linspace(-24, 4.6, 60_001).double()
e = s.exp()


def average(p, v):
    return torch.trapezoid(p(e) * v * e, s)


def cost(p, v):
    m = average(p, v)
    return (math.log(2 * math.pi) + 1 + average(p, (v - m) ** 2).log()) / 2


def entropy(p):
    return -average(p, p(e).clamp_min(1e-300).log())


def bell(p):
    m = average(p, e)
    return cost(p, e), torch.special.ndtr(-m / (average(p, e * e) - m * m).sqrt())


def soft(p, w):
    return cost(p, e / w + torch.log(-torch.expm1(-e / w))) + average(p, torch.log(-w * torch.expm1(-e / w)))
