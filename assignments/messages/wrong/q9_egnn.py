# answer: q9
# score: 1
# The layer of the library: a mean, a factor before v, no velocities in messages.
class Exchange(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.inner = egnn.Layer(channels)
        nn.init.normal_(self.inner.phi_x[-1].weight)

    def forward(self, f, x, v, edge_index):
        _, x, v = self.inner(f, x, edge_index, v)
        return x, v
