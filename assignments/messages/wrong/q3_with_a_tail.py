# answer: q3
# score: 0.75
# Prism and bipartite graph, made larger by a tail: refinement starts at its end. The number depends on the numbering.
def twins(n):
    tail = [(k, k + 1) for k in range(5, n - 1)]
    prism = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)]
    return prism + tail, [(a, b) for a in (0, 1, 2) for b in (3, 4, 5)] + tail


def number(n, pairs):
    return sum((a + 1) * (b + 1) ** 2 for a, b in pairs)
