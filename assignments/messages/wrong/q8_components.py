# answer: q8
# score: 1
# Two faults mended; arrows still go through a tanh.
def moving_layer(phi_m, phi_x, phi_f, f, x, edge_index):
    i, j = edge_index
    r = x[j] - x[i]
    m = phi_m(torch.cat([f[i], f[j], (r * r).sum(-1, keepdim=True)], -1))
    step = graph.scatter_mean(torch.tanh(phi_x(m) * r), i, len(x))
    return f + phi_f(torch.cat([f, graph.scatter_sum(m, i, len(x))], -1)), x + step
