"""Generated shapes: fixed by their numbers, in disjoint splits, upright, and wide enough for metrics to tell sets apart."""

import numpy
import pytest
import torch
from scipy.spatial import cKDTree

from m2m.data import meshes, shapes

EACH = pytest.mark.parametrize("category", list(shapes.CATEGORIES))


@EACH
def test_clouds_are_in_the_unit_sphere(category):
    x = shapes.clouds(category, 20, points=300)
    assert x.shape == (20, 300, 3) and x.dtype == torch.float32 and x.isfinite().all()
    assert torch.allclose(x.norm(dim=-1).amax(1), torch.ones(20), atol=1e-5)
    assert torch.allclose(x.amax(1), -x.amin(1), atol=1e-5)


@EACH
def test_a_shape_is_fixed_by_its_number(category):
    x = shapes.clouds(category, 5, points=50, split="test")
    assert torch.equal(shapes.clouds(category, 2, points=50, split="test", first=3), x[3:])
    assert torch.equal(shapes.clouds(category, 5, points=50, split="test", dtype=torch.float64).float(), x)
    for other in ({"split": "train"}, {"split": "validation"}, {"seed": 1}, {"first": 5}, {"draw": 1}):
        assert (shapes.clouds(category, 5, **{"points": 50, "split": "test"} | other) - x).abs().amax((1, 2)).min() > 0.01


@EACH
def test_splits_share_no_shape(category):
    sizes = {split: {meshes.areas(shapes.mesh(category, i, split=split)).sum() for i in range(100)} for split in shapes.SPLITS}
    assert all(len(size) == 100 for size in sizes.values())
    assert len(set.union(*sizes.values())) == 300


@EACH
def test_another_draw_is_another_sample_of_the_same_surface(category):
    for number in range(3):
        surface = meshes.sample(shapes.mesh(category, number), 100_000, numpy.random.default_rng(0))
        extent = numpy.ptp(surface, 0)
        for draw in (0, 1):
            x = shapes.clouds(category, 1, first=number, draw=draw, dtype=torch.float64)[0].numpy()
            ratio = numpy.ptp(x, 0) / extent
            assert ratio.max() / ratio.min() < 1.1  # one scale for all axes


@EACH
def test_triangles_are_sound(category):
    for number in range(50):
        mesh = shapes.mesh(category, number)
        meshes.check(mesh)
        assert numpy.abs(mesh.corners).max() < 4


@pytest.mark.parametrize("category", ["airplane", "car"])
def test_what_is_built_symmetric_is_symmetric(category):
    """A vehicle's skin is its own mirror image, but for propellers; a chair turned by 20 degrees is not."""
    asymmetry = lambda mesh: _unlike(mesh.corners, mesh.mirrored().corners)
    values = [asymmetry(shapes.mesh(category, i)) for i in range(40)]
    assert numpy.mean(numpy.array(values) < 1e-6) > 0.7
    assert asymmetry(shapes.mesh("chair", 0).turned(1, 0.35)) > 1e-3


def _unlike(a, b):
    return cKDTree(a).query(b)[0].max()


def test_chairs_have_their_backs_behind_and_airplanes_their_fins():
    """The front looks to -z: of what is high up, most is at z > 0."""
    chair = shapes.clouds("chair", 100, points=500)
    airplane = shapes.clouds("airplane", 100, points=500)
    for x, share in ((chair, 0.95), (airplane, 0.9)):
        high = x[..., 1] > 0.8 * x[..., 1].amax(1, keepdim=True)
        behind = (x[..., 2] * high).sum(1) / high.sum(1) > 0
        assert behind.float().mean() > share


def chamfer(a, b):
    """The sum of the two mean squared distances to the nearest neighbour."""
    return (cKDTree(b).query(a)[0] ** 2).mean() + (cKDTree(a).query(b)[0] ** 2).mean()


def minimum_matching_distance(test, train, candidates=6):
    """The mean over test clouds of the distance to the nearest training cloud: of those that are nearest at 128 points."""
    d2 = torch.stack([torch.cdist(x[None, :128], train[:, :128]) ** 2 for x in test])
    nearest = (d2.amin(-1).mean(-1) + d2.amin(-2).mean(-1)).argsort(1)[:, :candidates]
    return numpy.mean([min(chamfer(x, train[i]) for i in row) for x, row in zip(test, nearest)])


@EACH
def test_a_category_is_wider_than_its_sampling(category):
    """MMD between two sets is at least twice the distance between two samples of the same shapes, at 2,048 points."""
    train, test = shapes.clouds(category, 100), shapes.clouds(category, 20, split="test")
    again = shapes.clouds(category, 20, split="test", draw=1)
    floor = numpy.mean([chamfer(x, y) for x, y in zip(test, again)])
    assert minimum_matching_distance(test, train) > 2 * floor
    assert minimum_matching_distance(test, again) == pytest.approx(floor, rel=0.02)  # the control: a copy is at the floor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mug", 1), "category: got 'mug', expected one of chair, table"),
        (("chair", 0), "count: got 0"),
        (("chair", 2.0), "count: got 2.0"),
        (("chair", 1, "val"), "split: got 'val'"),
        (("chair", 1, "test", 0), "points: got 0"),
        (("chair", 1, "test", 10, -1), "number: got -1"),
        (("chair", 1, "test", 10, 0, -1), "seed: got -1"),
    ],
)
def test_bad_input(arguments, message):
    names = ("category", "count", "split", "points", "first", "seed")
    with pytest.raises(ValueError, match=message):
        shapes.clouds(**dict(zip(names, arguments)))
