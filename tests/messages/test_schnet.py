"""SchNet against PyTorch Geometric, its symmetries with models that break them, its forces, and the cases at the edge."""

import pytest
import torch
from torch import nn

from m2m import checks, runtime
from m2m.experiments import forces
from m2m.messages import graph, radial, schnet
from m2m.tensors import rotations

DTYPES = {torch.float32: 2e-5, torch.float64: 1e-12}


def molecules(sizes=(5, 1, 9, 2), dtype=torch.float64, seed=0):
    generator = runtime.generator(seed)
    batch = graph.of_sizes(sizes)
    z = torch.randint(1, 10, (len(batch),), generator=generator)
    return z, 1.5 * torch.randn(len(batch), 3, generator=generator, dtype=dtype), batch


def model(dtype=torch.float64, kind=schnet.SchNet, **options):
    return kind(16, 2, 4.0, **options).to(dtype)


def copied(peer, layers, channels):
    """Our SchNet with the weights of PyTorch Geometric's."""
    ours = schnet.SchNet(
        peer.hidden_channels, layers, peer.cutoff, channels=channels, basis=radial.Gaussians(peer.cutoff, peer.num_gaussians)
    )
    blocks = peer.interactions
    with torch.no_grad():
        ours.embedding.weight.copy_(peer.embedding.weight)
        ours.filters.first.weight.copy_(torch.cat([b.mlp[0].weight for b in blocks]))
        ours.filters.first.bias.copy_(torch.cat([b.mlp[0].bias for b in blocks]))
        ours.filters.weight.copy_(torch.stack([b.mlp[2].weight.T for b in blocks]))
        ours.filters.bias.copy_(torch.stack([b.mlp[2].bias[None] for b in blocks]))
        for layer, b in zip(ours.layers, blocks):
            layer.sender.weight.copy_(b.conv.lin1.weight)
            layer.update[0].load_state_dict(b.conv.lin2.state_dict())
            layer.update[2].load_state_dict(b.lin.state_dict())
        ours.readout[0].load_state_dict(peer.lin1.state_dict())
        ours.readout[2].load_state_dict(peer.lin2.state_dict())
    return ours


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.float64, 1e-7)])  # theirs are rounded once
def test_energies_and_forces_agree_with_pytorch_geometric(dtype, bound):
    pyg = pytest.importorskip("torch_geometric.nn.models.schnet")

    def interaction_graph(x, batch):
        edge_index = graph.radius(x, 4.0, batch).flip(0)  # their row 0 is the sender
        return edge_index, (x[edge_index[0]] - x[edge_index[1]]).norm(dim=-1)

    peer = pyg.SchNet(32, 24, 3, 20, 4.0, interaction_graph=interaction_graph)
    for parameter in peer.parameters():
        nn.init.normal_(parameter, std=0.2)
    ours, (z, x, batch) = copied(peer, 3, 24).to(dtype), molecules(dtype=dtype)
    peer = peer.to(dtype)
    energy, force = schnet.energy_and_forces(ours, z, x, batch)
    x = x.requires_grad_()
    theirs = peer(z, x, batch)[:, 0]
    assert checks.relative_error(energy, theirs.detach()) < bound
    assert checks.relative_error(force, -torch.autograd.grad(theirs.sum(), x)[0]) < bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [schnet.SchNet, schnet.VectorForces])
def test_energy_is_invariant_and_forces_turn(kind, dtype):
    z, x, batch = molecules(dtype=dtype)
    network, turn = model(dtype, kind), rotations.random(generator=runtime.generator(1), dtype=dtype)
    mirror, shift = torch.diag(torch.tensor([1.0, 1.0, -1.0])).to(dtype), torch.tensor([1.0, -2.0, 3.0]).to(dtype)
    energy, force = forces.evaluate(network, z, x, batch)
    for matrix in (turn, turn @ mirror):
        moved_energy, moved_force = forces.evaluate(network, z, x @ matrix.T + shift, batch)
        assert checks.relative_error(moved_energy, energy) < DTYPES[dtype]
        assert checks.relative_error(moved_force, force @ matrix.T) < 10 * DTYPES[dtype]
    assert graph.scatter_sum(force, batch, 4).abs().max() < 10 * DTYPES[dtype] * force.abs().max()


def test_the_same_check_rejects_filters_that_know_directions():
    z, x, batch = molecules(dtype=torch.float32)
    network = forces.network("oriented")
    energy = lambda x: network(z, x, batch)
    assert checks.rotation_error(energy, x) > 1e-2
    assert checks.relative_error(energy(x + 1.0), energy(x)) < 1e-5  # translations it has


def test_permutation():
    z, x, _ = molecules((8,))
    network, order = model(), torch.randperm(8)
    batch = torch.zeros(8, dtype=torch.int64)
    energy, force = schnet.energy_and_forces(network, z, x, batch)
    other, moved = schnet.energy_and_forces(network, z[order], x[order], batch)
    assert checks.relative_error(other, energy) < 1e-12 and checks.relative_error(moved, force[order]) < 1e-12
    changed, _ = schnet.energy_and_forces(network, z, x[order], batch)  # atoms that swap places are another molecule
    assert checks.relative_error(changed, energy) > 1e-3


def test_batched_equals_one_by_one_and_edges_given_equal_edges_found():
    z, x, batch = molecules()
    network = model()
    together = network(z, x, batch)
    single = torch.cat([network(z[batch == b], x[batch == b], torch.zeros_like(batch[batch == b])) for b in range(4)])
    assert torch.allclose(together, single, rtol=0, atol=1e-12)
    assert torch.allclose(together, network(z, x, batch, graph.radius(x, 4.0, batch)), rtol=0, atol=1e-12)
    everything = network(z, x, batch, graph.complete(batch))  # the cutoff function leaves out what is too far
    assert torch.allclose(together, everything, rtol=0, atol=1e-12)


def test_forces_are_the_gradient_by_finite_differences_and_the_vector_head_is_not():
    z, x, batch = molecules((6,))
    for network, right in ((model(), True), (model(kind=schnet.VectorForces), False)):
        _, force = forces.evaluate(network, z, x, batch)
        slope = torch.zeros_like(x)
        for place in [(a, b) for a in range(6) for b in range(3)]:
            step = torch.zeros_like(x)
            step[place] = 1e-4
            slope[place] = ((network(z, x + step, batch) - network(z, x - step, batch)) / 2e-4).item()
        assert (checks.relative_error(force.detach(), -slope) < 1e-6) == right


def test_a_loss_of_forces_reaches_every_weight_that_shapes_the_energy():
    z, x, batch = molecules()
    network = model()
    _, force = schnet.energy_and_forces(network, z, x, batch, create_graph=True)
    force.square().sum().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == [] or without == ["readout.2.bias"]
    assert schnet.energy_and_forces(network, z, x, batch)[1].grad_fn is None


@pytest.mark.parametrize(
    "envelope, bound, jumps", [("cosine", 1e-4, False), ("polynomial", 1e-4, False), ("hard", 1e-4, True)]
)
def test_a_neighbour_that_leaves_changes_nothing_unless_the_cutoff_is_hard(envelope, bound, jumps):
    z, batch = torch.tensor([8, 6]), torch.zeros(2, dtype=torch.int64)
    network = model(envelope=envelope)
    energy = lambda d: network(z, torch.tensor([[0.0, 0, 0], [d, 0, 0]], dtype=torch.float64), batch)
    assert ((energy(3.9999) - energy(4.0001)).abs().item() > bound) == jumps


@pytest.mark.parametrize("kind", [schnet.SchNet, schnet.VectorForces])
@pytest.mark.parametrize("case", ["coincident", "isolated", "one atom", "no molecule"])
def test_edge_cases_have_finite_energies_forces_and_gradients(kind, case):
    x = {
        "coincident": torch.zeros(3, 3),
        "isolated": torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [100.0, 0, 0]]),
        "one atom": torch.zeros(1, 3),
        "no molecule": torch.zeros(0, 3),
    }[case]
    z, batch = torch.full((len(x),), 6), torch.zeros(len(x), dtype=torch.int64)
    network = kind(8, 2)
    if kind is schnet.SchNet:
        energy, force = schnet.energy_and_forces(network, z, x, batch, create_graph=True)
    else:
        energy, force = network.energy_and_forces(z, x, batch)
    (energy.sum() + force.square().sum()).backward()
    assert energy.shape == (1 if len(x) else 0,) and force.shape == x.shape
    assert energy.isfinite().all() and force.isfinite().all()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_no_edges_given():
    z, x, batch = molecules((3,))
    network = model()
    alone = sum(network(z[i : i + 1], x[i : i + 1], batch[:1]) for i in range(3))
    assert torch.allclose(network(z, x, batch, torch.zeros(2, 0, dtype=torch.int64)), alone)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda z, x, b: (z, x[:, :2], b), r"x: got shape \(5, 2\)"),
        (lambda z, x, b: (z.float(), x, b), "z: got shape"),
        (lambda z, x, b: (z[:3], x, b), "z: got shape"),
        (lambda z, x, b: (z, x, b[:2]), "batch: got shape"),
        (lambda z, x, b: (z + 100, x, b), "atomic numbers"),
        (lambda z, x, b: (z, x * torch.nan, b), "NaN"),
        (lambda z, x, b: (z, x, b, torch.tensor([[0], [7]])), "edge_index"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        model()(*change(*molecules((5,))))


@pytest.mark.parametrize("options", [{"features": 1}, {"layers": 0}, {"cutoff": 0.0}, {"envelope": "soft"}])
def test_bad_settings(options):
    with pytest.raises(ValueError, match="got"):
        schnet.SchNet(**options)
