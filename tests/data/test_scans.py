"""Simulated scans: fixed by the seed, one-sided, hard enough, and gravity along -z."""

import numpy
import pytest
import torch

from m2m.data import scans


@pytest.fixture(scope="module")
def some():
    return scans.make(60, seed=0)


def test_shapes_and_scale(some):
    assert some.x.shape == (60, 128, 3) and some.x.dtype == torch.float32
    assert some.y.tolist() == [i % 15 for i in range(60)]
    assert some.mask.dtype == torch.bool and (some.mask.float().mean(1) > scans.LEAST).all()
    assert some.x.mean(1).abs().max() < 1e-6 and some.x.norm(dim=-1).amax(1) == pytest.approx(1.0, abs=1e-6)


def test_a_scan_depends_on_seed_and_place_only(some):
    assert (scans.make(10, seed=0).x == some.x[:10]).all()
    assert (scans.make(10, seed=1).x != some.x[:10]).any(-1).any(-1).all()


def test_rows_and_first_points(some):
    part = some[torch.tensor([3, 5])]
    assert len(part) == 2 and (part.x[1] == some.x[5]).all() and part.y.tolist() == [3, 5]
    fewer = some.first(40)
    assert fewer.x.shape == (60, 40, 3) and fewer.x.mean(1).abs().max() < 1e-6
    ratio = torch.cdist(fewer.x[:1], fewer.x[:1]) / torch.cdist(some.x[:1, :40], some.x[:1, :40]).clamp_min(1e-9)
    off = ~torch.eye(40, dtype=torch.bool)
    assert ratio[0][off].std() < 1e-4 * ratio[0][off].mean()  # moved and scaled, nothing else
    with pytest.raises(ValueError, match="points"):
        some.first(129)


def test_the_camera_sees_one_side():
    """Of a cabinet without noise almost nothing of the back is seen; with the camera's rays alone this can be."""
    one_sided = []
    for k in range(10):
        x, mask = scans.scan("cabinet", numpy.random.default_rng(k), 256, noise=0.0, warp=0.0, wall=0.0, shift=0.0)
        y = x[mask][:, 1]
        one_sided.append(((y - y.min()) / (y.max() - y.min()) < 0.05).mean())
    assert numpy.mean(one_sided) < 0.15


def test_the_floor_is_below():
    x, mask = scans.scan("table", numpy.random.default_rng(0), 512, wall=0.0, noise=0.0)
    assert numpy.median(x[~mask][:, 2]) < x[mask][:, 2].mean()


def nearest(train, test, histogram):
    a, b = histogram(train.x), histogram(test.x)
    return (train.y[torch.cdist(b.sqrt(), a.sqrt()).argmin(1)] == test.y).double().mean().item()


def heights_and_radii(x):
    h = ((x[..., 2] + 1) / 2 * 10).long().clamp(0, 9)
    r = (x[..., :2].norm(dim=-1) * 8).long().clamp(0, 7)
    return torch.nn.functional.one_hot(8 * h + r, 80).float().mean(1)


def test_a_nearest_neighbour_on_histograms_is_above_chance_and_below_55_percent():
    train, test = scans.make(300, seed=0), scans.make(90, seed=1)
    assert 0.2 < nearest(train, test, heights_and_radii) < 0.55
    clean = [scans.make(n, seed=s, noise=0.0, shift=0.0, wall=0.0, warp=0.0) for n, s in ((300, 0), (90, 1))]
    assert nearest(*clean, heights_and_radii) > nearest(train, test, heights_and_radii)  # what makes it hard


@pytest.mark.parametrize(("arguments", "match"), [((0,), "number"), ((5, 0), "points"), ((2.0,), "number")])
def test_bad_input(arguments, match):
    with pytest.raises(ValueError, match=match):
        scans.make(*arguments)
