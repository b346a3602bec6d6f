# answer: q8
# score: 2
# Tests clouds one by one, as they never are in training.
def faults(encode):
    g = torch.Generator().manual_seed(1)
    x, other = torch.randn(2, 1, 10, 3, generator=g).double()
    apart = lambda a, b: bool((a - b).abs().max() > 1e-6)
    found, code = set(), encode(x)
    if apart(encode(x[:, torch.randperm(10, generator=g)]), code):
        found.add("order")
    if apart(encode(x), code):
        found.add("company")
    if apart(encode(torch.cat([x, x[:, :3]], 1)), code):
        found.add("density")
    both = encode(torch.cat([x, other]))
    if not apart(both, both[:1]):
        found.add("deaf")
    return found
