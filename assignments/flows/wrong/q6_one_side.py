# answer: q6
# score: 0
# Half of the gap.
def least_mass(L, half_width):
    return 0.5 * math.erf(half_width / L / math.sqrt(2))


def least_slope(mass, half_width):
    quantile = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(0.5 + mass, dtype=torch.float64))
    return half_width / quantile.item()
