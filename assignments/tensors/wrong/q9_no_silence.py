# answer: q9
# score: 0
# A softmax over the neighbours: a mean.
def attend(q, k, v, receiver):
    N = len(q[0])
    fit = sum((q[l][receiver] * k[l]).sum((1, 2)) for l in k) / sum(part[0].numel() for part in k.values()) ** 0.5
    weight = graph.scatter_softmax(fit, receiver, N)
    return {l: graph.scatter_sum(weight[:, None, None] * part, receiver, N) for l, part in v.items()}
