# answer: q3
# score: 1
# J^2 by eigh, which is right for symmetric matrices alone.
def content(D):
    h = 1e-5
    X = [(D(rotations.about(axis, h)) - D(rotations.about(axis, -h))) / (2 * h) for axis in torch.eye(3, dtype=torch.float64)]
    values = torch.linalg.eigvalsh(-sum(x @ x for x in X)).round()
    found = {l: int((values == l * (l + 1)).sum()) // (2 * l + 1) for l in range(len(values))}
    return {l: count for l, count in found.items() if count}
