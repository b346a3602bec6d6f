# answer: q8
# score: 3
# Takes an encoder for deaf if clouds have the same code when each is alone.
def faults(encode):
    g = torch.Generator().manual_seed(1)
    x, other = torch.randn(2, 4, 10, 3, generator=g).double()
    apart = lambda a, b: bool((a - b).abs().max() > 1e-6)
    found, code = set(), encode(x)
    mixed = torch.stack([row[torch.randperm(10, generator=g)] for row in x])
    if apart(encode(mixed), code) or apart(encode(mixed[:1]), encode(x[:1])):
        found.add("order")
    singles = torch.cat([encode(row[None]) for row in x])
    if apart(singles, code) or apart(encode(torch.cat([other, x]))[4:], code) or apart(encode(x.flip(0)).flip(0), code):
        found.add("company")
    if apart(encode(torch.cat([x, x[:, :3]], 1)), code):
        found.add("density")
    if not apart(encode(x[:1]), encode(2 * other[:1])):
        found.add("deaf")
    return found
