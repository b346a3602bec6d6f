"""Equivariance of every network with models that break it, agreement with egnn-pytorch, and the cases at the edge."""

import pytest
import torch
from torch import nn

from m2m import checks, runtime
from m2m.data import particles
from m2m.messages import egnn, graph
from m2m.tensors import rotations

MODELS = {"EGNN": egnn.EGNN, "gated EGNN": lambda *s, **o: egnn.EGNN(*s, gate=True, **o), "RadialField": egnn.RadialField}
DTYPES = {torch.float32: 2e-5, torch.float64: 1e-12}


def system(dtype=torch.float64, n=5, samples=3, seed=0):
    generator = runtime.generator(seed)
    x, v, q = (t.to(dtype) for t in particles.start(samples, n, generator=generator))
    return particles.Pairs(x, v, x, v, q)[:]


def grown(model, dtype=torch.float64):
    """With larger last layers than at the start, so that coordinates really move."""
    for name, parameter in model.named_parameters():
        if "phi_x" in name:
            nn.init.normal_(parameter, std=0.3)
    return model.to(dtype)


def moved(model, b, turn, shift):
    """Error of model(R x + t, R v) against R model(x, v) + t, for positions and velocities."""
    x, v = model(b.x0, b.v0, b.edge_index, b.a)
    rx, rv = model(b.x0 @ turn.T + shift, b.v0 @ turn.T, b.edge_index, b.a)
    return max(checks.relative_error(rx, x @ turn.T + shift), checks.relative_error(rv, v @ turn.T))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MODELS)
def test_rotation_reflection_translation(name, dtype):
    model, b = grown(MODELS[name](8, 3), dtype), system(dtype)
    turn = rotations.random(generator=runtime.generator(1), dtype=dtype)
    mirror, shift = torch.diag(torch.tensor([1.0, 1.0, -1.0])).to(dtype), torch.tensor([1.0, -2.0, 3.0]).to(dtype)
    for matrix in (turn, turn @ mirror):
        assert moved(model, b, matrix, shift) < DTYPES[dtype]
    assert checks.relative_error(model(b.x0, b.v0, b.edge_index, b.a)[0], b.x0) > 0.01  # it does something


class Biased(nn.Module):
    """An EGNN that adds a constant vector to coordinates: broken."""

    def __init__(self):
        super().__init__()
        self.inner = egnn.EGNN(8, 2)

    def forward(self, x, v, edge_index, a):
        x, v = self.inner(x, v, edge_index, a)
        return x + x.new_tensor([0.1, 0.0, 0.0]), v


class Anchored(Biased):
    """An EGNN that sees how far a particle is from the origin: equivariant to rotations, not to translations."""

    def forward(self, x, v, edge_index, a):
        x1, v1 = self.inner(x, v, edge_index, a)
        return x1 + 0.1 * x.norm(dim=-1, keepdim=True) * v, v1


def test_the_check_rejects_broken_models():
    b, turn, still = system(), rotations.random(generator=runtime.generator(1), dtype=torch.float64), torch.zeros(3)
    same, shift = torch.eye(3, dtype=torch.float64), torch.tensor([1.0, -2.0, 3.0])
    assert moved(Biased().double(), b, turn, still) > 1e-2
    assert moved(Anchored().double(), b, turn, still) < 1e-12 < 1e-2 < moved(Anchored().double(), b, same, shift)
    assert moved(egnn.GNN(8, 2).double(), b, turn, still) > 1e-2 < moved(egnn.GNN(8, 2).double(), b, same, shift)


@pytest.mark.parametrize("make", [*MODELS.values(), egnn.GNN, lambda *_: egnn.Linear()])
def test_permutation(make):
    model, b = grown(make(8, 2)), system(samples=1)
    edge_index = b.edge_index
    order = torch.randperm(5, generator=runtime.generator(2))
    place = order.argsort()
    x, v = model(b.x0, b.v0, edge_index, b.a)
    px, pv = model(b.x0[order], b.v0[order], place[edge_index], b.a)
    assert checks.relative_error(px, x[order]) < 1e-12 and checks.relative_error(pv, v[order]) < 1e-12
    if not isinstance(model, egnn.Linear):
        wrong = model(b.x0[order], b.v0[order], edge_index, b.a.flip(0))[0]
        assert checks.relative_error(wrong, x[order]) > 1e-6  # charges at other edges are seen


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_any_dimension(dim):
    x, v = torch.randn(6, dim).double(), torch.randn(6, dim).double()
    edge_index = graph.complete(graph.of_sizes([6]))
    turn = torch.linalg.qr(torch.randn(dim, dim).double())[0]
    for make in MODELS.values():
        model = grown(make(8, 2, 0))
        got = model(x @ turn.T, v @ turn.T, edge_index)[0]
        assert checks.relative_error(got, model(x, v, edge_index)[0] @ turn.T) < 1e-12
    assert egnn.GNN(8, 2, 0, dim=dim).double()(x, v, edge_index)[1].shape == (6, dim)


@pytest.mark.parametrize("make", [*MODELS.values(), egnn.GNN])
def test_batched_is_one_by_one(make):
    model, generator = grown(make(8, 2)), runtime.generator(3)
    parts = []
    for n in (1, 4, 2, 7):
        edge_index = graph.complete(graph.of_sizes([n]))
        a = torch.randn(edge_index.shape[1], 1, generator=generator).double()
        parts.append((torch.randn(n, 3).double(), torch.randn(n, 3).double(), edge_index, a))
    single = torch.cat([model(*part)[0] for part in parts])
    starts = torch.tensor([0, 1, 5, 7])
    joined = model(
        torch.cat([p[0] for p in parts]),
        torch.cat([p[1] for p in parts]),
        torch.cat([p[2] + start for p, start in zip(parts, starts, strict=True)], 1),
        torch.cat([p[3] for p in parts]),
    )[0]
    assert checks.relative_error(joined, single) < 1e-12


@pytest.mark.parametrize("make", [*MODELS.values(), egnn.GNN])
@pytest.mark.parametrize("case", ["coincident", "isolated", "no edges", "one node", "no node", "at rest"])
def test_finite_gradients(make, case):
    x, v = torch.randn(4, 3), torch.randn(4, 3)
    edge_index = graph.complete(graph.of_sizes([4]))
    if case == "coincident":
        x[1] = x[0]
    elif case == "isolated":
        edge_index = edge_index[:, (edge_index != 3).all(0)]
    elif case == "at rest":
        v = torch.zeros(4, 3)
    else:
        n = {"no edges": 4, "one node": 1, "no node": 0}[case]
        x, v, edge_index = x[:n], v[:n], torch.zeros(2, 0, dtype=torch.int64)
    model = make(8, 2)
    x, v = x.requires_grad_(), v.requires_grad_()
    new_x, new_v = model(x, v, edge_index, torch.randn(edge_index.shape[1], 1))
    (new_x.square().sum() + new_v.square().sum()).backward()
    assert new_x.shape == x.shape and new_x.isfinite().all() and x.grad.isfinite().all() and v.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_nan_stays_in_its_graph():
    model, b = egnn.EGNN(8, 2).double(), system(samples=2)
    x = b.x0.clone()
    x[0, 0] = float("nan")
    got = model(x, b.v0, b.edge_index, b.a)[0]
    assert got[:5].isnan().any() and torch.equal(got[5:], model(b.x0, b.v0, b.edge_index, b.a)[0][5:])


@pytest.mark.parametrize("gate", [False, True])
def test_layer_agrees_with_egnn_pytorch(gate):
    package = pytest.importorskip("egnn_pytorch")
    theirs = package.EGNN(dim=6, edge_dim=2, m_dim=10, soft_edges=gate)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    ours = egnn.Layer(6, 2, gate=gate, velocity=False, total=True)
    first, second = theirs.edge_mlp[0], theirs.edge_mlp[3]
    ours.first = egnn.Joint(6, 3, first.out_features)
    ours.first.load_state_dict(first.state_dict())
    ours.second = nn.Sequential(nn.SiLU(), second, nn.SiLU())
    ours.gate = theirs.edge_gate
    ours.phi_x, ours.phi_f = theirs.coors_mlp, theirs.node_mlp
    n, generator = 5, runtime.generator(4)
    f, x, a = (torch.randn(2, *shape, generator=generator) for shape in ((n, 6), (n, 3), (n, n, 2)))
    want_f, want_x = theirs(f, x, edges=a)
    # theirs sums over all j, i itself too, and its differences are x_i - x_j
    node = torch.arange(2 * n)
    edge_index = torch.stack([node.repeat_interleave(n), (node // n * n)[:, None].add(torch.arange(n)).flatten()])
    got_f, got_x, step = ours(f.flatten(0, 1), x.flatten(0, 1), edge_index, a=a.flatten(0, 2))
    assert torch.allclose(got_f, want_f.flatten(0, 1), atol=1e-5, rtol=1e-5)
    assert torch.allclose(x.flatten(0, 1) - step, want_x.flatten(0, 1), atol=1e-5, rtol=1e-5)
    assert (step.abs() > 1e-2).any() and torch.allclose(got_x - x.flatten(0, 1), step, atol=1e-6)


def test_joint_is_a_linear_layer_on_the_concatenation():
    joint, f, b = egnn.Joint(4, 2, 3).double(), torch.randn(5, 4).double(), torch.randn(20, 2).double()
    edge_index = graph.complete(graph.of_sizes([5]))
    i, j = edge_index
    right = nn.functional.linear(torch.cat([f[i], f[j], b], 1), joint.weight, joint.bias)
    assert torch.allclose(joint(f, edge_index, b), right, atol=1e-12)
    assert joint.weight.abs().max() <= 10**-0.5  # bounds of the joint fan-in, 2 * 4 + 2


def test_far_particles_do_not_break_the_first_steps():
    """Squared distances up to 770 gave NaN at step 17 when the parts of the first layer were initialised apart."""
    b, model = system(torch.float32, samples=20), egnn.EGNN(64, 4)
    b.x0 = 15 * b.x0
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(25):
        optimizer.zero_grad()
        loss = (model(b.x0, b.v0, b.edge_index, b.a)[0] - b.x0 - b.v0).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.isfinite()


def test_linear_learns_its_time():
    b = system(samples=50)
    model = egnn.Linear().double()
    target = b.x0 + 0.7 * b.v0
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    for _ in range(60):
        optimizer.zero_grad()
        (model(b.x0, b.v0)[0] - target).square().mean().backward()
        optimizer.step()
    assert model.time.item() == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(4, 3)}, r"x, v: got shapes \(4, 3\) and \(5, 3\)"),
        ({"x": torch.zeros(3), "v": torch.zeros(3)}, r"x, v: got shapes \(3,\)"),
        ({"a": None}, "a: got None, expected"),
        ({"a": torch.zeros(20, 2)}, r"a: got \(20, 2\), expected \(20, 1\)"),
        ({"edge_index": torch.full((2, 20), 5)}, "edge_index: got nodes 5"),
        ({"edge_index": torch.zeros(20, 2, dtype=torch.int64)}, "edge_index: got shape"),
    ],
)
@pytest.mark.parametrize("make", [egnn.EGNN, egnn.RadialField, egnn.GNN])
def test_wrong_input(make, change, message):
    b = system(torch.float32, samples=1)
    good = {"x": b.x0, "v": b.v0, "edge_index": b.edge_index, "a": b.a}
    make(4, 1)(**good)
    with pytest.raises(ValueError, match=message):
        make(4, 1)(**(good | change))


def test_wrong_features_and_dimension():
    b = system(torch.float32, samples=1)
    with pytest.raises(ValueError, match=r"f: got shape \(5, 3\), expected \(5, 4\)"):
        egnn.Layer(4, 1)(torch.zeros(5, 3), b.x0, b.edge_index, b.v0, b.a)
    with pytest.raises(ValueError, match=r"a: got \(20, 1\), expected None"):
        egnn.Layer(4)(torch.zeros(5, 4), b.x0, b.edge_index, b.v0, b.a)
    with pytest.raises(ValueError, match=r"x: got shape \(5, 2\), expected \(N, 3\)"):
        egnn.GNN(4, 1)(b.x0[:, :2], b.v0[:, :2], b.edge_index, b.a)
