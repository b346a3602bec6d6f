# answer: q12
# score: 1
# The best single Gaussian.
def train(x):
    return torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T))
