# answer: q8
# score: 3
# Exchanges the mates of the first cloud, which stays the first.
def faults(encode):
    g = torch.Generator().manual_seed(1)
    x, other = torch.randn(2, 4, 10, 3, generator=g).double()
    apart = lambda a, b: bool((a - b).abs().max() > 1e-6)
    found, code = set(), encode(x)
    mixed = torch.stack([row[torch.randperm(10, generator=g)] for row in x])
    if apart(encode(mixed), code) or apart(encode(mixed[:1]), encode(x[:1])):
        found.add("order")
    if apart(encode(torch.cat([x[:1], other]))[0], code[0]):
        found.add("company")
    if apart(encode(torch.cat([x, x[:, :3]], 1)), code):
        found.add("density")
    both = encode(torch.cat([x, 2 * other]))
    if not apart(both, both[:1]):
        found.add("deaf")
    return found
