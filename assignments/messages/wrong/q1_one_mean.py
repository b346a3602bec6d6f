# answer: q1
# score: 2
# Takes off the mean of the whole batch.
def layer(f, edge_index, batch, W):
    i, j = edge_index
    m = torch.zeros_like(f).index_add(0, i, torch.tanh(f[j] @ W.T))
    f = f + m / (1 + torch.bincount(i, minlength=len(f)))[:, None].sqrt()
    return f - f.mean(0)
