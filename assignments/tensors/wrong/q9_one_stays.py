# answer: q9
# score: 0
# The largest fit is taken off the exponents, and the 1 of silence stays 1.
def attend(q, k, v, receiver):
    N = len(q[0])
    fit = sum((q[l][receiver] * k[l]).sum((1, 2)) for l in k) / sum(part[0].numel() for part in k.values()) ** 0.5
    top = torch.full((N,), -torch.inf, dtype=fit.dtype).scatter_reduce(0, receiver, fit, "amax")
    loud = torch.exp(fit - top[receiver])
    weight = loud / (1 + graph.scatter_sum(loud, receiver, N))[receiver]
    return {l: graph.scatter_sum(weight[:, None, None] * part, receiver, N) for l, part in v.items()}
