# answer: q10
# score: 0
# All outwards against all across: the sum of u . n gives it away.
def neighbourhoods():
    x, y, z = torch.eye(3, dtype=torch.float64)
    n = torch.stack([x, -x, y, -y])
    return n, n.clone(), n, torch.stack([z, z, -z, -z])
