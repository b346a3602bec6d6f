# answer: q3
# score: 0.5
# The second graph is in two pieces; and triangles are all that is counted.
def twins(n):
    half = n // 2
    ring = [(k, (k + 1) % n) for k in range(n)]
    return ring, [(s + k, s + (k + 1) % half) for s in (0, half) for k in range(half)]


def number(n, pairs):
    A = networkx.to_numpy_array(networkx.Graph(pairs), nodelist=range(n))
    return numpy.trace(numpy.linalg.matrix_power(A, 3))
