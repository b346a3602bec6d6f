# answer: q10
# score: 0
# Two senders in the same direction.
def neighbourhoods():
    x, _, z = torch.eye(3, dtype=torch.float64)
    n = torch.stack([z, z])
    return n, torch.stack([z, -z]), n, torch.stack([x, -x])
