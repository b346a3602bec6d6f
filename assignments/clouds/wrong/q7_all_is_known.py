# answer: q7
# score: 1
# Believes that codes always tell which cloud it was.
def split(mu, sigma):
    kl = ((mu**2 + sigma**2 - 1) / 2 - sigma.log()).mean()
    return math.log(len(mu)), kl - math.log(len(mu))


def gain(mu, sigma):
    v = mu.var(correction=0) + sigma.square().mean()
    return (mu.mean() ** 2 + v - 1 - v.log()) / 2
