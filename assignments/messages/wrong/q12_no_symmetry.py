# answer: q12
# score: 0
# A network that reads positions, on test systems that are turned and elsewhere.
def train(x, v, q, end):
    torch.manual_seed(0)
    read = lambda x, v, q: torch.cat([x.flatten(1), v.flatten(1), q], 1)
    network = nn.Sequential(nn.Linear(35, 64), nn.SiLU(), nn.Linear(64, 15))
    loss = lambda m, rows: (rows[0] + rows[1] + m(read(rows[0], rows[1], rows[2])).view_as(rows[0]) - rows[3]).square().mean()
    training.fit(network, (x, v, q, end), loss, steps=200, batch_size=50, lr=5e-3, progress=False)
    return lambda x, v, q: x + v + network(read(x, v, q)).view_as(x)
