# answer: q3
# score: 0
# Fills the box by size: the largest odd number that fits, then what is left.
def content(D):
    left, found = len(D(torch.eye(3, dtype=torch.float64))), {}
    while left:
        l = (left - 1) // 2
        found[l] = found.get(l, 0) + 1
        left -= 2 * l + 1
    return found
