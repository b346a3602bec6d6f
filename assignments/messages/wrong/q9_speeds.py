# answer: q9
# score: 3
# Reads the speeds of both ends, which an observer on a train does not agree on.
class Exchange(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(channels + 2, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, f, x, v, edge_index):
        i, j = edge_index
        r = x[j] - x[i]
        speeds = (v[i] ** 2 + v[j] ** 2).sum(-1, keepdim=True)
        v = v + graph.scatter_sum(self.phi(torch.cat([f[i] + f[j], (r * r).sum(-1, keepdim=True), speeds], -1)) * r, i, len(x))
        return x + v, v
