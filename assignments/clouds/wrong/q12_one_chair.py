# answer: q12
# score: 0
# One chair for all: the training cloud that is nearest to the others.
def fit(train):
    few = train[:60, :128]
    best = few[all_pairs(few, few).mean(1).argmin()]
    alike = lambda n: best.expand(n, -1, -1)
    return lambda x: torch.zeros(len(x), 6), lambda z: alike(len(z)), alike
