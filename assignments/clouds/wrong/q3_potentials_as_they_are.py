# answer: q3
# score: 1
# A good plan, but f and g are those of the blurred problem.
def certify(d):
    from scipy.optimize import linprog
    n, m = d.shape
    A = numpy.concatenate([numpy.kron(numpy.eye(n), numpy.ones(m)), numpy.kron(numpy.ones(n), numpy.eye(m))])
    b = numpy.concatenate([numpy.full(n, 1 / n), numpy.full(m, 1 / m)])
    P = torch.tensor(linprog(d.numpy().ravel(), A_eq=A, b_eq=b).x).view(n, m)
    reg, f, g = d.mean() / 10, torch.zeros(n).double(), torch.zeros(m).double()
    for _ in range(300):
        f = reg * (math.log(m) - torch.logsumexp((g - d) / reg, 1))
        g = reg * (math.log(n) - torch.logsumexp((f[:, None] - d) / reg, 0))
    return P, f, g
