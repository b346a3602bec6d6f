# answer: q9
# score: 3
# A force of the distance alone.
class Exchange(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, f, x, v, edge_index):
        r = x[edge_index[1]] - x[edge_index[0]]
        v = v + graph.scatter_sum(self.phi((r * r).sum(-1, keepdim=True)) * r, edge_index[0], len(x))
        return x + v, v
