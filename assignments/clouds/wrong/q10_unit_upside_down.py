# answer: q10
# score: 0.75
# Adds where it should subtract: density and length the wrong way round.
def same_books(nats, N, ordered, unit):
    return nats - (not ordered) * math.lgamma(N + 1) / (3 * N) - math.log(unit)


ranking = ["B", "D", "A"]
