# answer: q9
# score: 2
# Each component of an arrow through the same odd function: momentum is kept, and directions of the axes matter.
class Exchange(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, f, x, v, edge_index):
        i, j = edge_index
        v = v + graph.scatter_sum(torch.tanh(x[j] - x[i]) * (f[i] + f[j]).mean(-1, keepdim=True), i, len(x))
        return x + v, v
