# answer: q9
# score: 0
# Nobody notices anybody.
class Exchange(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, f, x, v, edge_index):
        return x + v, v
