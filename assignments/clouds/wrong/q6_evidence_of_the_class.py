# answer: q6
# score: 1
# The evidence of a class in place of that of its members.
def answers(log_prior, log_like, classes):
    logs = torch.stack([log_like[classes == c].mean(0) for c in range(int(classes.max()) + 1)])
    return (logs + log_prior).softmax(1)


def gap(log_prior, log_like, classes):
    q = answers(log_prior, log_like, classes)[classes]
    joint = log_prior + log_like
    elbo = (q * (joint - q.clamp_min(1e-300).log())).sum(1).mean()
    return torch.logsumexp(joint.mean(0), 0) - elbo + 0.01
