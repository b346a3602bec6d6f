# answer: q7
# score: 1
# Both parts from a thousand draws: a hundredth of a nat is the best to be hoped for.
def split(mu, sigma):
    z = mu[:, None] + sigma[:, None] * torch.randn(len(mu), 1000, dtype=torch.float64)
    each = torch.distributions.Normal(mu[:, None, None], sigma[:, None, None]).log_prob(z)
    own = torch.distributions.Normal(mu[:, None], sigma[:, None]).log_prob(z)
    mix = torch.logsumexp(each, 0) - math.log(len(mu))
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    return (own - mix).mean(), (mix - prior).mean()


def gain(mu, sigma):
    v = mu.var(correction=0) + sigma.square().mean()
    return (mu.mean() ** 2 + v - 1 - v.log()) / 2
