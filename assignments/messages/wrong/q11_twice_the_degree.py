# answer: q11
# score: 2
# Sampling a product of two polynomials would need so many.
def terms(x, D):
    return torch.stack([x[:, 0] ** a * x[:, 1] ** b for a in range(D + 1) for b in range(D + 1 - a)], 1)


def solve(A, y):
    return torch.linalg.lstsq(A, y, driver="gelsd").solution


def augmented(x, y, D, K):
    z = torch.view_as_complex(x.contiguous())
    copies = torch.cat([torch.view_as_real(z * complex(math.cos(2 * math.pi * k / K), math.sin(2 * math.pi * k / K))) for k in range(K)])
    w = solve(terms(copies, D), y.repeat(K)[:, None])
    return lambda new: (terms(new, D) @ w)[:, 0]


def built_in(x, y, D):
    powers = lambda x: torch.stack([x.norm(dim=1) ** (2 * k) for k in range(D // 2 + 1)], 1)
    w = solve(powers(x), y[:, None])
    return lambda new: (powers(new) @ w)[:, 0]


def turns_needed(D):
    return 2 * D + 1
