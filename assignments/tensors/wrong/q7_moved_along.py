# answer: q7
# score: 3.2
# Expects the arrows that come out to move along with the points.
def faults(layer):
    f, x = torch.randn(2, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    out, found = layer(f, x), set()
    shift = torch.tensor([2.5, -0.5, 1.0]).double()
    off = lambda a, b: float((a - b).abs().max()) > 1e-7
    R = rotations.random(dtype=torch.float64, generator=torch.Generator().manual_seed(12))
    if off(layer(f @ R.T, x @ R.T), out @ R.T):
        found.add("rotation")
    if off(layer(f, x + shift), out + shift):
        found.add("translation")
    if off(layer(-f, -x), -out):
        found.add("mirror")
    g, y = f.clone(), x.clone()
    g[4] += 0.3
    y[4] -= 0.3
    if not off(layer(g, x)[0], out[0]) and not off(layer(f, y)[0], out[0]):
        found.add("deaf")
    z = x.clone()
    z[2] = z[3]
    z.requires_grad_()
    got = layer(f, z)
    bad = not bool(got.isfinite().all())
    if got.requires_grad and not bad:
        bad = not bool(torch.autograd.grad(got.sum(), z)[0].isfinite().all())
    return found | ({"coincident"} if bad else set())
