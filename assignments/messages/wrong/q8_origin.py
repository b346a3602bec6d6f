# answer: q8
# score: 1
# Two faults mended; messages still read absolute positions.
def moving_layer(phi_m, phi_x, phi_f, f, x, edge_index):
    i, j = edge_index
    size = x[i].square().sum(-1, keepdim=True) + x[j].square().sum(-1, keepdim=True)
    m = phi_m(torch.cat([f[i], f[j], size], -1))
    step = graph.scatter_mean(phi_x(m) * (x[j] - x[i]), i, len(x))
    return f + phi_f(torch.cat([f, graph.scatter_sum(m, i, len(x))], -1)), x + step
