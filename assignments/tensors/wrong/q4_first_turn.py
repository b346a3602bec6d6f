# answer: q4
# score: 2
# Looks at the first turn of the list only.
def free_numbers(l_in, l_out, turns):
    size = (2 * l_in + 1) * (2 * l_out + 1)
    if not len(turns):
        return size
    both = torch.kron(irreps.wigner_d(l_out, turns[0]), irreps.wigner_d(l_in, turns[0]))
    return size - int(torch.linalg.matrix_rank(both - torch.eye(size, dtype=torch.float64), atol=1e-8))


cube, tetrahedron = 4, 3
