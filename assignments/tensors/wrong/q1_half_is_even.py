# answer: q1
# score: 1
# Takes half of the paths for even.
def count(L):
    every = (L + 1) * (2 * L * L + 4 * L + 3) // 3
    return every, every // 2
