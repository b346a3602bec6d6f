# answer: q11
# score: 0.5
# Copies the points without turning them; rings up to the degree in the squared radius; one turn too few.
def terms(x, D):
    return torch.stack([x[:, 0] ** a * x[:, 1] ** b for a in range(D + 1) for b in range(D + 1 - a)], 1)


def augmented(x, y, D, K):
    w = torch.linalg.lstsq(terms(x, D).repeat(K, 1), y.repeat(K)[:, None], driver="gelsd").solution
    return lambda new: (terms(new, D) @ w)[:, 0]


def built_in(x, y, D):
    powers = lambda x: torch.stack([(x * x).sum(1) ** k for k in range(D + 1)], 1)
    w = torch.linalg.lstsq(powers(x), y[:, None], driver="gelsd").solution
    return lambda new: (powers(new) @ w)[:, 0]


def turns_needed(D):
    return D
