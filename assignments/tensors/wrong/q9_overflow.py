# answer: q9
# score: 2
# The formula as it stands: exp of some thousands is infinite.
def attend(q, k, v, receiver):
    N = len(q[0])
    fit = sum((q[l][receiver] * k[l]).sum((1, 2)) for l in k) / sum(part[0].numel() for part in k.values()) ** 0.5
    loud = fit.exp()
    weight = loud / (1 + graph.scatter_sum(loud, receiver, N))[receiver]
    return {l: graph.scatter_sum(weight[:, None, None] * part, receiver, N) for l, part in v.items()}
