"""Four networks on molecules: what they must not notice, what they must, and where they start."""

import pytest
import torch

from m2m import checks, runtime
from m2m.data import molecules
from m2m.experiments import molecule_targets as targets
from m2m.tensors import rotations

MODELS = tuple(targets.MODELS)


@pytest.fixture(scope="module")
def parts():
    return targets.data(40)


@pytest.fixture(scope="module", params=MODELS)
def network(request, parts):
    """A network whose head is not zero, in double precision."""
    made = targets.build(request.param, parts["train"], seed=0)
    torch.nn.init.normal_(made.head[-1].weight)
    return made.double().eval()


def answer(network, batch, x=None):
    changed = molecules.MoleculeBatch(batch.z, (batch.x if x is None else x).double(), batch.batch, batch.y, batch.index)
    with torch.no_grad():
        return network(changed)


def test_motions_change_nothing(network, parts):
    some = parts["test"][torch.arange(8)]
    R = rotations.random(generator=runtime.generator(0), dtype=torch.float64)
    moved = some.x.double() @ R.T + torch.tensor([1.0, -2.0, 0.5])
    assert checks.relative_error(answer(network, some, moved), answer(network, some)) < 1e-9
    stretched = some.x.double() * torch.tensor([1.0, 1.0, 1.05])
    assert checks.relative_error(answer(network, some, stretched), answer(network, some)) > 1e-7  # the control


def test_molecules_do_not_see_each_other(network, parts):
    """Also a test of the padding: alone, a molecule has none."""
    together = answer(network, parts["test"][torch.arange(8)])
    alone = torch.cat([answer(network, parts["test"][k]) for k in range(8)])
    assert (together - alone).abs().max() < 1e-9 * together.abs().max()


def test_the_order_of_the_atoms_says_nothing(network, parts):
    some = parts["test"][3]
    order = torch.randperm(len(some.z), generator=runtime.generator(0))
    mixed = molecules.MoleculeBatch(some.z[order], some.x[order], some.batch, some.y, some.index)
    assert checks.relative_error(answer(network, mixed), answer(network, some)) < 1e-9
    mixed.z = some.z  # the control: the elements exchanged
    assert checks.relative_error(answer(network, mixed), answer(network, some)) > 1e-7


@pytest.mark.parametrize("model", MODELS)
def test_an_untrained_network_is_the_baseline(model, parts):
    train, test = parts["train"], parts["test"]
    weights = molecules.fit_counts(train.counts(), train.y)
    some = test[torch.arange(20)]
    counted = molecules.from_counts(test.subset(torch.arange(20)).counts(), weights)
    assert (targets.build(model, train)(some) - counted).abs().max() < 1e-9


def test_padding():
    place, present = targets.padded(torch.tensor([0, 0, 0, 1, 2, 2]))
    assert present.tolist() == [[True] * 3, [True, False, False], [True, True, False]]
    assert place.tolist() == [0, 1, 2, 3, 6, 7]


def test_the_targets_are_in_their_units(parts):
    y = targets.data(500)["train"].y
    assert -7500 < y[:, 0].mean() < -6000  # meV
    assert 60 < y[:, 1].mean() < 90  # bohr^3
    with pytest.raises(ValueError, match="molecules: got 0"):
        targets.data(0)
    with pytest.raises(ValueError, match="expected one of SchNet"):
        targets.build("MACE", parts["train"])


def test_a_row_of_the_table(monkeypatch, parts):
    small = {"train": parts["train"], "test": parts["test"].subset(torch.arange(30))}
    monkeypatch.setattr(targets, "data", lambda number: small)
    row = targets.run(model="SchNet", number=40, steps=20, seed=0)
    assert row["homo"] != row["counts"]["homo"] and row["parameters"] > 10_000
    assert targets.run(model="SchNet", number=40, steps=20, seed=0)["alpha"] == row["alpha"]


def test_tasks():
    cpu, gpu = targets.tasks("cpu"), targets.tasks("gpu")
    assert all(task in gpu for task in cpu) and len({str(task) for task in gpu}) == len(gpu)
    assert {task["model"] for task in gpu} == set(MODELS)


def test_two_copies_far_apart(network, parts):
    """Polarisabilities add up, the energy of an orbital does not; the sum of atoms would say so for both."""
    one = parts["test"][3]
    one.x = one.x.double()
    both = molecules.MoleculeBatch(
        torch.cat([one.z, one.z]),
        torch.cat([one.x, one.x + 100]),
        torch.zeros(2 * len(one.z), dtype=torch.int64),
        one.y,
        one.index,
    )
    with torch.no_grad():
        homo, alpha = (network.learned(both) / network.learned(one))[0].tolist()
    assert homo == pytest.approx(1, abs=1e-6) and alpha == pytest.approx(2, abs=1e-6)
