# answer: q9
# score: 1.75
# Undoes the first step first.
def log_q(z, mu, sigma, steps):
    total = 0
    for step in steps:
        w = z.clone()
        for _ in range(z.shape[1]):
            m, s = step(w)
            gate = torch.sigmoid(s + 1.5)
            w = (z - (1 - gate) * m) / gate
        gate = torch.sigmoid(step(w)[1] + 1.5)
        z, total = w, total - gate.log().sum(1)
    e = (z - mu) / sigma
    return total - (e**2 / 2 + sigma.log() + math.log(2 * math.pi) / 2).sum(1)
