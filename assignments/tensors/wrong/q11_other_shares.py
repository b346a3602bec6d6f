# answer: q11
# score: 1
# The first table's accuracies with the second table's shares: the part of the mix the other way round.
def kept(small, large):
    return [(a, b) for a, b in zip(small, large) if a[1] and b[1]]


def total(table):
    return sum(right for right, _ in table) / sum(count for _, count in table)


def same_mix(small, large):
    pairs = kept(small, large)
    atoms = sum(b[1] for _, b in pairs)
    return total([b for _, b in pairs]) - sum(b[1] / atoms * a[0] / a[1] for a, b in pairs)


def from_mix(small, large):
    pairs = kept(small, large)
    whole = total([b for _, b in pairs]) - total([a for a, _ in pairs])
    return (whole - same_mix(small, large)) / whole


small, large = [(90, 100), (40, 100), (40, 100)], [(800, 1000), (20, 100), (20, 100)]
