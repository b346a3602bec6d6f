# answer: q11
# score: 2
# Takes the mass behind for that of the exponential, whatever the steps.
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
    return cost(p, e) - entropy(p), 0.158655


def soft(p, w):
    return cost(p, e / w + torch.log(-torch.expm1(-e / w))) + average(p, torch.log(-w * torch.expm1(-e / w))) - entropy(p)
