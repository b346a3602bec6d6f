# answer: q8
# score: 1.5
# Moments for both divergences.
def forward_fit(shares, means, widths):
    mean = sum(p * m for p, m in zip(shares, means))
    return mean, math.sqrt(sum(p * (w**2 + m**2) for p, m, w in zip(shares, means, widths)) - mean**2)


reverse_fit = forward_fit
