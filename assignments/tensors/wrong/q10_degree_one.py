# answer: q10
# score: 2
# Filters of degree 2 tell the two apart.
def neighbourhoods():
    x, y, z = torch.eye(3, dtype=torch.float64)
    n = torch.stack([x, -x, y, -y])
    return n, torch.stack([x, x, -x, -x]), n, torch.stack([z, z, -z, -z])
