# answer: q6
# score: 0
# Mixes the likelihoods of a class, where their logarithms have to be averaged.
def answers(log_prior, log_like, classes):
    rows = [(log_prior + torch.logsumexp(log_like[classes == c], 0)).softmax(0) for c in range(int(classes.max()) + 1)]
    return torch.stack(rows)


def gap(log_prior, log_like, classes):
    q = answers(log_prior, log_like, classes)[classes]
    joint = log_prior + log_like
    return (torch.logsumexp(joint, 1) - (q * (joint - q.log())).sum(1)).mean()
