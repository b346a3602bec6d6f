# answer: q11
# score: 1.5
# A class that is missing counts as one with no atom right; and in the example one class rises.
def total(table):
    return sum(right for right, _ in table) / sum(count for _, count in table)


def same_mix(small, large):
    atoms = sum(count for _, count in small)
    return sum(a[1] / atoms * (b[0] / b[1] if b[1] else 0.0) for a, b in zip(small, large)) - total(small)


def from_mix(small, large):
    whole = total(large) - total(small)
    return (whole - same_mix(small, large)) / whole


small, large = [(90, 100), (40, 100), (40, 100)], [(980, 1000), (20, 100), (20, 100)]
