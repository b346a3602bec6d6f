# answer: q4
# score: 0.5
# Turns what goes out and forgets what comes in; a quadrupole for the cube.
def free_numbers(l_in, l_out, turns):
    size = 2 * l_out + 1
    rows = torch.cat([torch.zeros(1, size).double(), *[irreps.wigner_d(l_out, R) - torch.eye(size).double() for R in turns]])
    return (2 * l_in + 1) * (size - int((torch.linalg.svdvals(rows) > 1e-8).sum()))


cube, tetrahedron = 2, 3
