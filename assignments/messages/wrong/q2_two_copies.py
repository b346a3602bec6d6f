# answer: q2
# score: 1.25
# Tests with two copies of one graph, which the largest value times the number passes.
def is_extensive(readout):
    f = torch.randn(5, 4, dtype=torch.float64)
    return abs(float(readout(torch.cat([f, f])) - 2 * readout(f))) < 1e-8
