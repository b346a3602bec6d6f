# answer: q6
# score: 2
# Right, until a likelihood is too small for a number.
def answers(log_prior, log_like, classes):
    rows = [log_prior.exp() * log_like[classes == c].exp().log().mean(0).exp() for c in range(int(classes.max()) + 1)]
    return torch.stack([row / row.sum() for row in rows])


def gap(log_prior, log_like, classes):
    q = answers(log_prior, log_like, classes)[classes]
    joint = log_prior.exp() * log_like.exp()
    return (joint.sum(1).log() - (q * (joint / q).log()).sum(1)).mean()
