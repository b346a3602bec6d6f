# answer: q9
# score: 0.5
# Asks the functions at the point after the step.
def log_q(z, mu, sigma, steps):
    total = 0
    for step in steps[::-1]:
        m, s = step(z)
        gate = torch.sigmoid(s + 1.5)
        z, total = (z - (1 - gate) * m) / gate, total - gate.log().sum(1)
    e = (z - mu) / sigma
    return total - (e**2 / 2 + sigma.log() + math.log(2 * math.pi) / 2).sum(1)
