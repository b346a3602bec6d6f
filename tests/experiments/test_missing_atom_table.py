"""The measures of the missing-atom experiment on predictors whose answer is known, and that its tasks fit together."""

import pytest
import torch
from torch import nn

from m2m import experiments
from m2m.data import missing_atom as data
from m2m.experiments import missing_atom as table
from m2m.tensors import votes


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    """A few molecules of each pool."""
    whole = data.pools

    def pools(seed=0):
        return {name: pool[torch.arange(12)] for name, pool in whole(seed).items()}

    monkeypatch.setattr(data, "pools", pools)


class Oracle(nn.Module):
    """The truth for every element, moved by `shift` angstrom along x, and always the element `named` where that is given."""

    def __init__(self, shift=0.0, named=None):
        super().__init__()
        self.unused, self.shift, self.named = nn.Parameter(torch.zeros(1)), shift, named

    def forward(self, x, element, removed):
        place, truth = table.truth(data.Clouds(x, element), removed.clamp_min(0))
        scores = nn.functional.one_hot(truth if self.named is None else torch.full_like(truth, self.named), 5)
        return place + torch.tensor([self.shift, 0, 0]), scores.float()


def test_the_truth_is_right_and_half_an_angstrom_is_the_limit():
    pool = data.pools()["19"]
    for shift, share in ((0.0, 1.0), (0.49, 1.0), (0.51, 0.0)):
        counted = table.table(table.outcomes(Oracle(shift), pool))
        assert table.accuracy(counted) == share and table.distance(counted) == pytest.approx(shift, abs=1e-5)
        assert sum(counted["count"]) == 12 * 19 and counted["named"] == counted["count"]


def test_a_wrong_element_is_wrong():
    counted = table.table(table.outcomes(Oracle(named=0), data.pools()["19"]))
    hydrogens = sum(counted["count"][:3])
    assert sum(counted["right"]) == hydrogens == sum(counted["right"][:3]) and 0 < hydrogens < 12 * 19


def test_every_removal_is_measured_in_pools_of_several_sizes():
    pool = data.pools()["train"]
    counted = table.table(table.outcomes(Oracle(), pool))
    kinds = data.classes(pool)
    assert counted["count"] == torch.bincount(kinds[kinds >= 0], minlength=7).tolist()


def test_the_checks_pass_a_mixture():
    batch = data.pools()["23"][torch.arange(3)]
    torch.manual_seed(0)
    network = votes.MixtureVoter((4, 4), layers=2)
    assert table.equivariance(network, batch) < 1e-4 and table.leak(network, batch) < 1e-4


def test_the_checks_reject_what_looks_at_the_removed_atom_or_at_the_axes():
    batch, network = data.pools()["23"][torch.arange(3)], votes.Voter((4, 4), layers=2)
    assert table.equivariance(network, batch) < 1e-4 and table.leak(network, batch) < 1e-4
    assert table.leak(Oracle(), batch) > 0.1 and table.equivariance(Oracle(0.5), batch) > 0.1


def test_standardised():
    counted = {"count": [10.0, 5.0, 0.0], "right": [10.0, 0.0, 0.0]}
    assert table.standardised(counted, [1.0, 1.0, 7.0]) == 0.5 and table.standardised(counted, [3.0, 1.0, 0.0]) == 0.75
    assert table.standardised(counted, [10.0, 5.0, 0.0]) == table.accuracy(counted)


def test_losses_of_the_truth():
    batch = data.pools()["train"]
    removed = data.removals(batch.present, 2)
    place, element = table.truth(batch, removed)
    assert torch.equal(place[3, 1], batch.x[3, removed[3, 1]]) and element[3, 1] == batch.element[3, removed[3, 1]]
    assert table.squared_loss(Oracle(), batch) < 1e-12
    assert table.squared_loss(Oracle(0.5), batch).item() == pytest.approx(0.125)
    far = torch.tensor([[0.15, 0.0, 0.2], [3.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(table.smooth(far), torch.tensor([0.125, 4.875, 0.0]))


def test_favoured_removals_and_the_weights_that_undo_them():
    torch.manual_seed(0)
    batch = data.pools()["train"]
    kind = data.classes(batch)
    hard = (kind == 1) | (kind == 2)
    rows = [row for row in range(len(batch)) if hard[row].any()]
    batch, hard = batch[rows], hard[rows]
    removed, weights = zip(*(table.draw(batch, 1, 5.0) for _ in range(2000)), strict=True)
    removed, weights = torch.cat(removed, 1), torch.cat(weights, 1)
    favoured = hard.gather(1, removed).float()
    share = hard.sum(1) / batch.present.sum(1)
    assert torch.allclose(weights.mean(1), torch.ones(len(rows)), atol=0.05)
    assert torch.allclose((favoured * weights).mean(1), share, atol=0.05)
    assert torch.allclose(favoured.mean(1), 5 * share / (1 + 4 * share), atol=0.05)
    assert torch.equal(table.draw(batch, 2, 1.0)[1], torch.ones(len(rows), 2))


def test_a_mirror_keeps_distances_and_is_no_turn():
    torch.manual_seed(0)
    batch = data.pools()["train"]
    image = table.mirrored(batch)
    assert torch.allclose(torch.cdist(image.x, image.x), torch.cdist(batch.x, batch.x), atol=1e-5)
    assert torch.equal(table.mirrored(image).x, batch.x) and torch.equal(image.element, batch.element)
    network, removed = votes.MixtureVoter((4, 4), layers=2), torch.tensor([[0, 2]] * len(batch))
    back = table.mirrored(data.Clouds(network(image.x, image.element, removed)[0], removed)).x
    assert not torch.allclose(back, network(batch.x, batch.element, removed)[0], atol=1e-3)


@pytest.mark.parametrize("model", ["vectors", "scalars", "mixture", "published"])
def test_training_helps_and_repeats(model):
    task = {"model": model, "seed": 1, "batch_size": 6, "lr": 5e-3, "network": table.MODELS[model]["network"]}
    choose = {"published": table.squared_loss, "mixture": table.likelihood}.get(model, table.loss)
    batch = data.pools(1)["train"]
    short, _ = table.train(steps=1, **task)
    trained, history = table.train(steps=25, **task)
    _, same = table.train(steps=25, **task)
    assert history.loss == same.loss
    values = []
    for network in (short, trained):
        torch.manual_seed(0)
        values.append(choose(network, batch, 4).item())
    assert values[1] < 0.9 * values[0]


def test_a_row_has_what_the_chapter_reads():
    row = table.run(model="vectors", seed=0, steps=2, batch_size=4, lr=5e-3, network={"layers": 2, "channels": [4, 4]})
    for name in ("train", "5-18", "19", "23", "25-29", "fluorine"):
        counted = row["tables"][name]
        assert (
            sum(counted["count"]) > 100
            and row[f"accuracy {name}"] == table.accuracy(counted)
            and row[f"distance {name}"] == table.distance(counted)
        )
    few = table.measure(Oracle(), data.pools(), molecules=2)["tables"]
    assert sum(few["19"]["count"]) == 2 * 19 and few["19"]["right"] == few["19"]["count"]
    assert row["equivariance"] < 1e-3 and row["leak"] < 1e-3 and row["parameters"] > 0


def test_the_long_run_contains_the_short_one():
    short, long = table.tasks("cpu"), table.tasks("gpu")
    assert all(task in long for task in short) and len(long) == 3 * len(table.MODELS) and "missing_atom" in experiments.names()
    assert {task["seed"] for task in long} == {0, 1, 2} == set(range(data.SEEDS))
