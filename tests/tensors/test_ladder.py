"""The rungs: what each is equivariant to, that all start near free flight, and that particles hear of each other."""

import pytest
import torch

from m2m import runtime
from m2m.data import particles
from m2m.messages import graph
from m2m.tensors import ladder, rotations

STEERED = ("SchNet", "invariant messages", "EGNN", "TFN", "SE(3)-Transformer", "SEGNN")


@pytest.fixture(scope="module")
def system():
    x, v, q = particles.start(3, generator=runtime.generator(0))
    return particles.Pairs(x, v, x, v, q)[:]


def model(rung):
    torch.manual_seed(0)
    made = ladder.RUNGS[rung]().double()
    for name, parameter in made.named_parameters():  # coordinates of an untrained EGNN hardly move
        if "phi_x" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return made


def turning_error(made, batch, R, shift=2.0):
    move = lambda x, v: made(x, v, batch.edge_index, batch.a)[0] - x - v
    still = move(batch.x0, batch.v0)
    turned = move(batch.x0 @ R.T + shift, batch.v0 @ R.T)
    return ((turned - still @ R.T).abs().max() / still.abs().max()).item()


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_rotation_and_translation(rung, system):
    R = rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    error = turning_error(model(rung), system, R)
    assert error < 1e-10 if rung in STEERED else error > 1e-2
    assert turning_error(model(rung), system, torch.eye(3).double()) < 1e-10


def test_the_group_convolution_knows_its_twelve_rotations(system):
    made = model("group convolution")
    assert max(turning_error(made, system, R) for R in ladder.tetrahedral().double()) < 1e-12
    assert min(turning_error(model("convolution"), system, R) for R in ladder.tetrahedral()[1:].double()) > 1e-2


def test_tetrahedral_rotations_are_a_group():
    group = ladder.tetrahedral()
    rotations.check(group)
    products = torch.einsum("gab,hbc->ghac", group, group).reshape(-1, 1, 3, 3)
    same = (products - group).abs().amax((-1, -2)) == 0
    assert (same.sum(1) == 1).all() and (group[0] == torch.eye(3)).all()


@pytest.mark.parametrize("layer", [ladder.Convolution, ladder.Messages])
def test_invariants_of_velocities(layer, system):
    """With the inner products a message hears where its sender goes; without them only how fast."""
    torch.manual_seed(0)
    R, towards = rotations.random(generator=runtime.generator(1), dtype=torch.float64), {}
    for dots in (False, True):
        made = ladder.Invariant(layer, dots=dots).double()
        assert turning_error(made, system, R) < 1e-10
        other = system.v0.clone()
        other[1] *= -1
        still, changed = (made(system.x0, v, system.edge_index, system.a)[0][0] for v in (system.v0, other))
        towards[dots] = (changed - still).abs().max().item()
    assert towards[False] == 0 < 1e-6 < towards[True]


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_permutation(rung, system):
    made, order = model(rung), torch.tensor([3, 0, 4, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
    still = made(system.x0, system.v0, system.edge_index, system.a)[0]
    renamed = order.argsort()[system.edge_index]
    assert (made(system.x0[order], system.v0[order], renamed, system.a)[0] - still[order]).abs().max() < 1e-12


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_systems_do_not_hear_of_each_other_and_particles_do(rung, system):
    made = model(rung)
    moved = system.x0.clone()
    moved[2] += 0.3
    change = (
        made(moved, system.v0, system.edge_index, system.a)[0] - made(system.x0, system.v0, system.edge_index, system.a)[0]
    )
    assert change[1].abs().max() > 1e-5 and change[5:].abs().max() == 0


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_starts_near_free_flight(rung, system):
    torch.manual_seed(0)
    made, batch = ladder.RUNGS[rung](), particles.pairs(50, frames=(0, 1))[:]
    away = made(batch.x0, batch.v0, batch.edge_index, batch.a)[0] - batch.x0 - batch.v0
    assert away.square().mean().sqrt() < 0.15


def test_mirrors(system):
    """Rungs made of distances respect a mirror, the cross products among the paths of steerable ones do not."""
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0])).double()
    errors = {rung: turning_error(model(rung), system, mirror) for rung in STEERED}
    assert all((error < 1e-10) == (rung in STEERED[:3]) for rung, error in errors.items())


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_coincident_particles_are_finite(rung):
    x, v = torch.zeros(3, 3), torch.zeros(3, 3)
    edge_index, x[2] = graph.complete(graph.of_sizes([3])), 1.0
    made = ladder.RUNGS[rung]()
    made(x, v, edge_index, torch.ones(6, 1))[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in made.parameters() if p.grad is not None)


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_refuses(rung):
    edge_index, x = graph.complete(graph.of_sizes([3])), torch.zeros(3, 3)
    with pytest.raises(ValueError, match="a: got"):
        ladder.RUNGS[rung]()(x, x, edge_index, torch.ones(5, 1))
    with pytest.raises(ValueError, match="x, v: got"):
        ladder.RUNGS[rung]()(x, x[:2], edge_index, torch.ones(6, 1))
