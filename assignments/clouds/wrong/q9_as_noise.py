# answer: q9
# score: 0
# Takes the points for the noise, and goes forwards.
def log_q(z, mu, sigma, steps):
    total = -(z**2).sum(1) / 2 - z.shape[1] * math.log(2 * math.pi) / 2 - sigma.log().sum()
    z = mu + sigma * z
    for step in steps:
        m, s = step(z)
        gate = torch.sigmoid(s + 1.5)
        z, total = gate * z + (1 - gate) * m, total - gate.log().sum(1)
    return total
