# answer: q12
# score: 4.5
# The encoder reads the first 96 points and forgets the others.
def fit(train):
    torch.manual_seed(2)
    size = train.std()
    read, write = encoders.PointNet(12, point=(64, 128), head=(128,)), decoders.MLP(6, 96, hidden=(128, 256))

    def loss(net, x):
        x = x[:, torch.randperm(256)[:96]] / size
        mu, r = net[0](x).chunk(2, -1)
        z = mu + r.exp() * torch.randn_like(mu)
        kl = ((mu**2 + (2 * r).exp() - 1) / 2 - r).sum(-1)
        return (2000 * chamfer(net[1](z), x) + 0.3 * kl).mean()

    net = nn.ModuleList([read, write])
    training.fit(net, train, loss, steps=600, batch_size=16, lr=5e-3, warmup=20, clip=100.0, progress=False)
    encode = lambda x: read(x / size)[:, :6].detach()
    decode = lambda z: write(z).detach() * size
    codes = encode(train[:, :128])
    new = torch.distributions.MultivariateNormal(codes.mean(0), torch.cov(codes.T) + 1e-4 * torch.eye(6))
    return lambda x: encode(x[:, :96]), decode, lambda n: decode(new.sample((n,)))
