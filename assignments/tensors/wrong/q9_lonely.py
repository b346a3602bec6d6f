# answer: q9
# score: 2.5
# Divides by the number of neighbours on the way, and so by zero for a receiver without any.
def attend(q, k, v, receiver):
    N = len(q[0])
    fit = sum((q[l][receiver] * k[l]).sum((1, 2)) for l in k) / sum(part[0].numel() for part in k.values()) ** 0.5
    top = torch.zeros(N, dtype=fit.dtype).scatter_reduce(0, receiver, fit, "amax")
    loud = torch.exp(fit - top[receiver])
    count = torch.bincount(receiver, minlength=N).double()
    below = torch.exp(-top) / count + graph.scatter_sum(loud, receiver, N) / count
    out = {l: graph.scatter_sum(loud[:, None, None] * part, receiver, N) / count[:, None, None] for l, part in v.items()}
    return {l: part / below[:, None, None] for l, part in out.items()}
