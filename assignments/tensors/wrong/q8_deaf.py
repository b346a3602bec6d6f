# answer: q8
# score: 0
# Takes everything out that could be wrong, the messages first.
def mended(s, u, x, edge_index, w):
    return nn.functional.silu(s), torch.sigmoid(u.square().sum(-1, keepdim=True)) * u
