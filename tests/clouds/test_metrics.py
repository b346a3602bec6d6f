"""Metrics of sets of clouds: by hand, against loops over pairs, a k-d tree over the grid, and the games that fool them."""

import math
from functools import partial

import numpy
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.distance import jensenshannon

from m2m.clouds import distances, metrics
from m2m.clouds.metrics import chamfer_pairs, coverage, emd_pairs, jsd, mmd, one_nna, scores

CONVENTIONS = [dict(reduction=r, squared=s) for r in ("mean", "sum") for s in (True, False)]


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def boxes(count, points=200, seed=0):
    """Clouds in boxes of random edges, inside the unit sphere."""
    g = torch.Generator().manual_seed(seed)
    edges = 0.2 + 0.3 * torch.rand(count, 1, 3, generator=g)
    return edges * (2 * torch.rand(count, points, 3, generator=g) - 1)


# --- All pairs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("dim", [2, 3])
def test_all_pairs_are_the_pairs(convention, dtype, dim):
    a, b = draw(4, 70, dim, dtype=dtype), draw(3, 300, dim, seed=1, dtype=dtype)
    one = torch.stack([torch.stack([distances.chamfer(x, y, **convention) for y in b]) for x in a]).double()
    got = chamfer_pairs(a, b, **convention)
    tolerance = dict(rtol=1e-6, atol=0) if dtype == torch.float32 else dict(rtol=1e-13, atol=0)
    torch.testing.assert_close(got, one, **tolerance)
    within = chamfer_pairs(a, **convention)
    assert torch.equal(within, within.T) and torch.equal(within.diagonal(), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(within, chamfer_pairs(a, a.clone(), **convention), rtol=1e-12, atol=0)
    assert (got - one.flip(0)).abs().max() > 1e-3  # the control


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("block", [1, 10_000, 2**26])
def test_the_form_for_gpus_is_the_same(squared, block):
    a, b = draw(4, 50, 3), draw(5, 60, 3, seed=1)
    torch.testing.assert_close(metrics._dense(a, b, squared, block), metrics._looped(a, b, squared, False))


@pytest.mark.parametrize("squared", [True, False])
def test_emd_pairs_are_the_pairs(squared):
    a, b = draw(4, 20, 3), draw(3, 20, 3, seed=1)
    one = torch.stack([torch.stack([distances.emd(x, y, squared=squared) for y in b]) for x in a])
    assert torch.equal(emd_pairs(a, b, squared=squared), one)
    torch.testing.assert_close(emd_pairs(a), emd_pairs(a, a.clone()), rtol=1e-12, atol=0)
    torch.testing.assert_close(emd_pairs(a, b, reduction="sum", squared=squared), 20 * one)


# --- The numbers, by hand ---------------------------------------------------------------------------------------------------


def test_by_hand():
    between = torch.tensor([[1.0, 2.0, 3.0], [1.0, 4.0, 0.5]])
    assert coverage(between) == 2 / 3 and mmd(between) == pytest.approx((1 + 2 + 0.5) / 3)
    generated = torch.tensor([[0.0, 0.9], [0.9, 0.0]])
    reference = torch.tensor([[0.0, 3.0, 2.0], [3.0, 0.0, 2.0], [2.0, 2.0, 0.0]])
    # Generated: .9 < 1 is right, .9 > .5 is wrong; reference: 2 > 1 wrong, 2 = 2 a tie, 2 > .5 wrong
    assert one_nna(between, generated, reference) == pytest.approx(1.5 / 5)


def test_one_nna_against_a_sorted_list():
    a, b = draw(12, 30, 3), 1.2 * draw(9, 30, 3, seed=1)
    both = torch.cat([a, b])
    d = chamfer_pairs(both, reduction="mean", squared=True)
    nearest = [min((d[i, j].item(), j) for j in range(21) if j != i)[1] for i in range(21)]
    expected = sum((i < 12) == (j < 12) for i, j in enumerate(nearest)) / 21
    assert one_nna(d[:12, 12:], d[:12, :12], d[12:, 12:]) == pytest.approx(expected)
    assert expected not in (0, 0.5, 1)


@pytest.mark.parametrize("resolution, radius", [(28, 1.0), (5, 2.0), (2, 0.5)])
def test_jsd_against_a_tree_of_grid_points(resolution, radius):
    a, b = 0.5 * draw(5, 100, 3), 0.6 * draw(4, 80, 3, seed=1)
    axis = numpy.linspace(-radius, radius, resolution)
    tree = cKDTree(numpy.stack(numpy.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3))
    count = lambda x: numpy.bincount(tree.query(x.reshape(-1, 3).numpy())[1], minlength=resolution**3)
    expected = jensenshannon(count(a), count(b), base=2) ** 2
    assert jsd(a, b, resolution=resolution, radius=radius) == pytest.approx(expected, abs=1e-12)
    assert abs(jsd(a, b, resolution=resolution + 1, radius=radius) - expected) > 1e-4  # the control


def test_jsd_at_its_ends():
    a, b = draw(3, 50, 3), draw(3, 50, 3, seed=1)
    corner = torch.full((1, 4, 3), -1.0)
    assert jsd(a, a.flip(0)) == 0 and jsd(corner, -corner) == 1
    assert jsd(a, b) == pytest.approx(jsd(b, a), abs=1e-12)
    assert jsd(1000 + a, 1000 + b) == 0  # all at one corner: it is for clouds that have been normalised


# --- The games --------------------------------------------------------------------------------------------------------------


def test_copies_of_the_reference_fool_all_but_one_nna():
    real = boxes(30)
    got = scores(real, real)
    assert got.jsd == 0 and got.coverage == 1 and got.mmd == 0 and got.one_nna == 0


def test_one_cloud_again_and_again():
    real, good = boxes(40), boxes(40, seed=1)
    collapsed, other = scores(good[:1].expand(40, -1, -1), real), scores(good, real)
    assert collapsed.coverage == 1 / 40 < 0.4 < other.coverage
    assert collapsed.one_nna > 0.9 and 0.3 < other.one_nna < 0.7


def test_two_sets_of_the_same_kind_cannot_be_told_apart():
    values = [scores(boxes(40, seed=s), boxes(40, seed=100 + s)).one_nna for s in range(5)]
    assert abs(numpy.mean(values) - 0.5) < 0.1


def test_points_without_shapes_fool_the_jsd():
    """Each cloud drawn from the points of all of them: the occupancy is right, and no cloud is."""
    real, good = boxes(40), boxes(40, seed=1)
    points = good.reshape(-1, 3)
    mixed = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(0))].reshape(good.shape)
    assert jsd(mixed, real) == jsd(good, real)
    fog, other = scores(mixed, real), scores(good, real)
    assert fog.coverage < 0.25 < other.coverage and fog.one_nna > 0.75 > other.one_nna


def test_bad_clouds_beside_good_ones_do_not_show_in_mmd_and_coverage():
    real, good = boxes(30), boxes(30, seed=1)
    got, spoiled = scores(good, real), scores(torch.cat([good, torch.zeros(30, 200, 3)]), real)
    assert spoiled.mmd <= got.mmd and spoiled.coverage >= got.coverage
    assert spoiled.one_nna > got.one_nna + 0.1 and spoiled.jsd > got.jsd  # these see them


def test_the_distance_is_the_one_named():
    a, b = boxes(5, 30), boxes(6, 30, seed=1)
    by_emd = scores(a, b, emd_pairs)
    assert by_emd.mmd == pytest.approx(emd_pairs(a, b).amin(0).mean().item())
    summed = scores(a, b, partial(chamfer_pairs, reduction="sum", squared=True))
    assert summed.mmd == pytest.approx(30 * scores(a, b).mmd) and by_emd.jsd == summed.jsd


# --- Bad input --------------------------------------------------------------------------------------------------------------

ONE = torch.zeros(2, 4, 3)


@pytest.mark.parametrize("pairs", [partial(chamfer_pairs, reduction="mean", squared=True), emd_pairs])
@pytest.mark.parametrize(
    "a, b, message",
    [
        (torch.zeros(4, 3), ONE, r"a: got shape \(4, 3\), expected a set"),
        (torch.zeros(0, 4, 3), ONE, r"a: got shape \(0, 4, 3\)"),
        (ONE, torch.zeros(2, 0, 3), r"b: got shape \(2, 0, 3\).*at least one point"),
        (ONE, torch.full((2, 4, 3), math.nan), "b: got 24 numbers that are NaN"),
        (ONE, torch.zeros(2, 4, 2), r"b: got shape \(2, 4, 2\)"),
        (ONE, ONE.double(), "b: got.*torch.float64"),
    ],
)
def test_bad_sets(pairs, a, b, message):
    with pytest.raises(ValueError, match=message):
        pairs(a, b)


def test_bad_numbers():
    with pytest.raises(ValueError, match="reduction: got 'max'"):
        chamfer_pairs(ONE, reduction="max", squared=True)
    with pytest.raises(ValueError, match="y: got 5 points, expected 4"):
        emd_pairs(ONE, torch.zeros(2, 5, 3))
    for function in (coverage, mmd):
        with pytest.raises(ValueError, match=r"between: got shape \(0, 3\)"):
            function(torch.zeros(0, 3))
        with pytest.raises(ValueError, match="between: got 1 NaN"):
            function(torch.tensor([[1.0, math.nan]]))
    with pytest.raises(ValueError, match=r"reference: got shape \(3, 3\), expected \(4, 4\)"):
        one_nna(torch.zeros(2, 4), torch.zeros(2, 2), torch.zeros(3, 3))
    with pytest.raises(ValueError, match=r"clouds: got shape \(2, 4, 2\)"):
        jsd(ONE[..., :2], ONE)
    with pytest.raises(ValueError, match="resolution=1"):
        jsd(ONE, ONE, resolution=1)
    with pytest.raises(ValueError, match="radius=0"):
        jsd(ONE, ONE, radius=0)
    with pytest.raises(ValueError, match="clouds: got 12 numbers that are NaN"):
        jsd(torch.full((1, 4, 3), math.nan), ONE)


def test_one_cloud_is_nobodys_neighbour_in_its_own_set():
    assert one_nna(torch.tensor([[1.0]]), torch.zeros(1, 1), torch.zeros(1, 1)) == 0
