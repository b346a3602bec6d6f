# answer: q10
# score: 0
# Compares the numbers as they are printed.
def same_books(nats, N, ordered, unit):
    return nats


ranking = ["C", "A", "D", "B"]
