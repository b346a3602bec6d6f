# answer: q10
# score: 1.25
# Ranks a distance among likelihoods.
def same_books(nats, N, ordered, unit):
    worth = sum(math.log(k) for k in range(1, N + 1)) / (3 * N)
    return nats + math.log(unit) - (0 if ordered else worth)


ranking = ["B", "C", "D", "A"]
