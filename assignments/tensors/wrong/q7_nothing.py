# answer: q7
# score: 0
# Finds no fault with anything.
def faults(layer):
    return set()
