"""The QM9 table: fair parts, a baseline that networks start from, and twins that bonds cannot tell apart."""

import pytest
import torch

from m2m import checks
from m2m.data import molecules
from m2m.experiments import qm9

SMALL = dict(steps=10, batch_size=16, channels=8, layers=2, lr=2e-2)


@pytest.fixture(scope="module")
def parts():
    return qm9.data(200)


def test_no_molecule_is_in_two_parts(parts):
    seen = [set(parts[name].index.tolist()) for name in ("train", "test", "twins")]
    assert len(seen[0]) == 200 and not seen[0] & seen[1] and not seen[0] & seen[2]
    more = set(qm9.data(300)["train"].index.tolist())
    assert seen[0] < more and not more & seen[2]
    with pytest.raises(ValueError, match="molecules: got 9000, expected 1 to 8035"):
        qm9.data(9000)


def test_targets_have_the_units_they_say(parts):
    shipped = molecules.load()
    row = (shipped.index == parts["test"].index[0]).nonzero()[0, 0]
    one = shipped.subset([row])
    expected = [one.atomisation("U0", "eV"), one.property("gap", "eV"), one.property("alpha"), one.property("mu")]
    torch.testing.assert_close(parts["test"].y[0], torch.cat(expected))


@pytest.mark.parametrize("model", qm9.NETWORKS)
def test_an_untrained_network_is_the_baseline(model, parts):
    network = qm9.build(model, parts, channels=8, layers=2)
    expected = qm9.baseline(parts)(parts["twins"])
    torch.testing.assert_close(qm9.predict(network, parts["twins"]), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("model", qm9.NETWORKS)
def test_trained_a_little_only_bonds_are_blind(model, parts):
    found = qm9.run(model=model, seed=0, molecules=200, **SMALL)
    assert set(qm9.TARGETS) <= found.keys() and found["twins_true"] > 0.5
    # in float32 the sums of two twins may differ in the last digit
    assert (found["twins_predicted"] < 1e-5) == (model == "bonds")


def test_networks_do_not_see_orientation_or_place(parts):
    network = qm9.train("distances", parts, seed=0, **SMALL)[0].double()
    batch = parts["test"][[3, 4]]

    @torch.no_grad()
    def moved(x):
        return network(molecules.MoleculeBatch(batch.z, x, batch.batch, batch.y, batch.index))

    x = batch.x.double()
    assert checks.rotation_error(moved, x) < 1e-12 and checks.relative_error(moved(x + 2), moved(x)) < 1e-12
    assert checks.relative_error(moved(1.02 * x), moved(x)) > 1e-6  # control


def test_distances_fade_out_at_the_cutoff():
    x = torch.tensor([[0.0, 0, 0], [4.0 - 1e-3, 0, 0]], dtype=torch.float64)
    edge_index = torch.tensor([[0], [1]])
    assert qm9.lengths(4.0)(None, x, edge_index).abs().max() < 1e-6
    assert qm9.lengths(4.0)(None, x / 2, edge_index).max() > 0.4


def test_the_long_run_has_the_small_one_in_it():
    small, large = qm9.tasks("cpu"), qm9.tasks("gpu")
    assert all(task in large for task in small)
    assert all(sum(task["model"] == name for task in small) == 3 for name in qm9.NETWORKS)


def test_baselines_and_an_unknown_model():
    mean, counts = (qm9.run(model=name, seed=0, molecules=3000) for name in qm9.BASELINES)
    assert counts["U0"] < 0.2 * mean["U0"] and counts["gap"] < mean["gap"]
    assert counts["twins_predicted"] < 1e-9  # twins have the same atoms
    with pytest.raises(ValueError, match="model: got 'gcn'"):
        qm9.run(model="gcn", seed=0, molecules=200, **SMALL)
