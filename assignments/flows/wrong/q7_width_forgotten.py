# answer: q7
# score: 1
# Takes the width of the base for 1.
def nll_floor(D, s=1.0):
    return 0.5 * D * math.log(2 * math.pi)
