"""The networks of the scans: what each is blind to, with a network that is not; neighbours; a run of the table."""

import pytest
import torch

from m2m import checks, runtime
from m2m.data import scans
from m2m.experiments import objects
from m2m.tensors import irreps, rotations
from m2m.tensors.harmonics import harmonics


@pytest.fixture(scope="module")
def some():
    return scans.make(15, 64, seed=5)


def awake(model):
    """An untrained network, in evaluation mode, in double precision."""
    return objects.build(model, seed=0).double().eval()


def change(network, x, R):
    with torch.no_grad():
        return checks.relative_error(network(x @ R.mT), network(x))


def test_what_each_network_is_blind_to(some):
    x, draw = some.x.double(), runtime.generator(0)
    about_z, anyhow = rotations.about([0.0, 0.0, 1.0], 1.0), rotations.random(generator=draw, dtype=torch.float64)
    assert change(awake("invariant"), x, anyhow) < 1e-10
    assert change(awake("+z"), x, about_z) < 1e-10
    assert change(awake("+z"), x, anyhow) > 1e-3  # the controls
    assert change(awake("PointNet"), x, about_z) > 1e-3


def test_invariance_in_float32(some):
    network = awake("invariant").float()
    assert change(network, some.x, rotations.random(generator=runtime.generator(1))) < 1e-4


def test_the_centres_are_a_set_and_so_are_the_others(some):
    x, network, first = some.x.double(), awake("+z"), objects.CENTRES
    mixed = torch.cat([torch.randperm(first), first + torch.randperm(64 - first)])
    with torch.no_grad():
        assert checks.relative_error(network(x[:, mixed]), network(x)) < 1e-10
        assert checks.relative_error(network(x.flip(1)), network(x)) > 1e-4  # other centres


def test_the_gathered_arrows_turn(some):
    """Before lengths are taken: degree l turns by its Wigner matrix; the sum over neighbours is that of a loop."""
    x, R = some.x[:2].double(), rotations.random(generator=runtime.generator(0), dtype=torch.float64)
    part, f = objects.Nearest(8).double(), torch.randn(2, 64, 8).double()
    with torch.no_grad():
        g, turned = part.gather(f, x, 5), part.gather(f, x @ R.mT, 5)
        for l, value in g.items():
            assert (turned[l] - value @ irreps.wigner_d(l, R).mT).abs().max() < 1e-10
        assert (turned[1] - g[1]).abs().max() > 1e-2  # the control
        i = 3
        j = (x[1] - x[1, i]).norm(dim=-1).argsort()[1:6]
        r = x[1, j] - x[1, i]
        phi = part.radial(r.norm(dim=-1)).view(5, 3, 8)
        Y = harmonics(r, 2)
        for l in range(3):
            loop = sum(torch.outer(phi[n, l] * f[1, j[n]], Y[n, l * l : (l + 1) ** 2]) for n in range(5)) / 5
            assert (g[l][1, i] - loop).abs().max() < 1e-12


def test_the_middle_is_a_layer_there_and_back(some):
    x, part, f = some.x[:2].double(), objects.Middle(8).double(), torch.randn(2, 64, 8).double()
    with torch.no_grad():
        sent = part.send(f)
        Y = harmonics(x, 3)
        inner = torch.einsum("bim,bjm,bjc->bicm", Y, Y, sent) / 64  # summed over the orders of each degree
        heard = [inner[..., l * l : (l + 1) ** 2].sum(-1) for l in range(4)]
        assert (part(f, x) - f - part.update(torch.cat([f, *heard], -1))).abs().max() < 1e-12


def test_nearest_neighbours(some):
    x, k = some.x[:3], 7
    j = objects.neighbours(x, 16, k)
    for b in range(3):
        d = torch.cdist(x[b], x[b]).fill_diagonal_(torch.inf)
        for r in range(16):
            assert set((j[b, r] - 64 * b).tolist()) == set(d[r].topk(k, largest=False).indices.tolist())
    assert (j != torch.arange(16)[:, None] + 64 * torch.arange(3)[:, None, None]).all()


@pytest.mark.parametrize(("receivers", "k"), [(16, 64), (16, 0), (65, 4)])
def test_more_neighbours_than_points(some, receivers, k):
    with pytest.raises(ValueError, match="neighbours for"):
        objects.neighbours(some.x, receivers, k)
    if k == 64:
        with pytest.raises(ValueError, match="of 64 points"):
            objects.build("+z", k=64)(some.x)


def test_coincident_points_have_finite_gradients():
    x = torch.zeros(2, 64, 3).requires_grad_()
    network = objects.build("invariant").eval()
    network(x).sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_turned(some):
    flat, free = (objects.turned(some.x, how, runtime.generator(0)) for how in ("about z", "anyhow"))
    assert (flat[..., 2] - some.x[..., 2]).abs().max() < 1e-6 < (free[..., 2] - some.x[..., 2]).abs().max()
    for x in (flat, free):
        assert (torch.cdist(x, x) - torch.cdist(some.x, some.x)).abs().max() < 1e-3


def test_curves_at_angle_zero(some):
    network = objects.build("PointNet").eval()
    curves = objects.angle_curves(network, some, angles=(0, 90))
    upright = objects.accuracy(network, some)
    assert [len(curve) for curve in curves.values()] == [2, 2] and {curve[0] for curve in curves.values()} == {upright}


def test_neighbours_are_put_back(some):
    network = objects.build("invariant", k=8).eval()
    objects.with_neighbours(network, some, 4)
    assert network.k == 8


def test_a_row_of_the_table(monkeypatch):
    few = scans.make(32, seed=0), {n: scans.make(15, n, seed=1) for n in objects.POINTS}
    monkeypatch.setattr(objects, "sets", lambda: few)
    task = dict(model="invariant", k=objects.K, steps=3, seed=0)
    row = objects.run(**task)
    assert 0 <= row["accuracy"] <= 1 and len(row["answers"]) == 15 and len(row["points"]) == len(objects.POINTS)
    assert objects.run(**task)["answers"] == row["answers"]


def test_tasks():
    cpu, gpu = objects.tasks("cpu"), objects.tasks("gpu")
    assert all(task in gpu for task in cpu) and len({str(task) for task in gpu}) == len(gpu)
    for task in gpu:
        assert task["model"] in objects.MODELS and task["seed"] in range(3)
    with pytest.raises(ValueError, match="expected one of invariant"):
        objects.build("DGCNN")
