# answer: q9
# score: 3
# Numbers are symmetric, and then a mean is taken.
class Exchange(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(channels + 2, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, f, x, v, edge_index):
        i, j = edge_index
        r, u = x[j] - x[i], v[j] - v[i]
        a, b = self.phi(torch.cat([f[i] + f[j], (r * r).sum(-1, keepdim=True), (r * u).sum(-1, keepdim=True)], -1)).split(1, -1)
        v = v + graph.scatter_mean(a * r + b * u, i, len(x))
        return x + v, v
