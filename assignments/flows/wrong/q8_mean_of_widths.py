# answer: q8
# score: 0
# The width as a mean of the widths, forgetting the distance of the bumps; the heavier bump for the reverse fit of all.
def forward_fit(shares, means, widths):
    return sum(p * m for p, m in zip(shares, means)), sum(p * w for p, w in zip(shares, widths))


def reverse_fit(shares, means, widths):
    return means[1], 2 * widths[1]
