# answer: q6
# score: 1
# Only the first of the two functions.
def least_mass(L, half_width):
    return math.erf(half_width / L / math.sqrt(2))


def least_slope(mass, half_width):
    # YOUR CODE HERE
    raise NotImplementedError()
