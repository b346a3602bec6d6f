"""Triangles of solids, and what a ray meets first."""

import numpy
import pytest

from m2m.data import furniture, solids


def area(triangles):
    a, b, c = triangles.transpose(1, 0, 2)
    return numpy.linalg.norm(numpy.cross(b - a, c - a), axis=1).sum() / 2


def volume(triangles):
    """By the divergence theorem: right only for a closed surface whose triangles all turn the same way."""
    a, b, c = triangles.transpose(1, 0, 2)
    return abs((a * numpy.cross(b, c)).sum()) / 6


def test_a_box_has_the_area_and_the_corners_of_a_box():
    box = solids.box((1, 2, 3), (2, 4, 6))
    assert area(box) == pytest.approx(2 * (8 + 12 + 24))
    assert box.min((0, 1)) == pytest.approx((0, 0, 0)) and box.max((0, 1)) == pytest.approx((2, 4, 6))
    assert area(solids.box((0, 0, 0), (2, 4, 6), top=(0.5, 0.5))) < area(box)


def test_a_turned_profile_nears_a_cylinder():
    profile = [(0, 0), (1, 0), (1, 2), (0, 2)]
    assert area(solids.turned(profile, sides=400)) == pytest.approx(2 * numpy.pi * (1 + 2), rel=1e-3)
    assert volume(solids.turned(profile, sides=400)) == pytest.approx(2 * numpy.pi, rel=1e-3)


def test_a_rod_reaches_from_end_to_end():
    rod = solids.rod((0, 0, 0), (3, 4, 0), 0.1, sides=60)
    assert area(rod) == pytest.approx(2 * numpy.pi * 0.1 * (5 + 0.1), rel=1e-2)
    assert rod[..., 2].max() == pytest.approx(0.1, rel=0.01)


def test_rays_meet_what_a_loop_over_triangles_finds():
    draw = numpy.random.default_rng(0)
    triangles, eye, directions = draw.normal(size=(40, 3, 3)), numpy.array([0.1, 4.0, 0.2]), draw.normal(size=(60, 3))
    distance, met = solids.seen(triangles, eye, directions)
    for k, d in enumerate(directions):
        best = (numpy.inf, -1)
        for t, (a, b, c) in enumerate(triangles):
            u, v, w = numpy.linalg.solve(numpy.stack([b - a, c - a, -d], 1), eye - a)  # Cramer, Moeller and Trumbore
            if u > 0 and v > 0 and u + v < 1 and w > 0:
                best = min(best, (w, t))
        assert met[k] == best[1] and distance[k] == pytest.approx(best[0])
    assert 0 < (met >= 0).sum() < 60


def test_the_front_hides_the_back():
    near, far = solids.box((0, 2, 0), (1, 0.1, 1)), solids.box((0, 0, 0), (1, 0.1, 1))
    both, towards = numpy.concatenate([far, near]), numpy.array([[0.1, -1.0, 0.1], [0.0, 1.0, 0.0]])
    distance, met = solids.seen(both, numpy.array([0, 5.0, 0]), towards)
    assert met[0] >= len(far) and distance[0] == pytest.approx(2.95)
    assert met[1] == -1 and distance[1] == numpy.inf  # behind the camera
    assert solids.seen(far, numpy.array([0, 5.0, 0]), towards)[1][0] >= 0  # without the near one the far one is seen


def test_bad_rings():
    with pytest.raises(ValueError, match="rings"):
        solids.loft(numpy.zeros((1, 4, 3)))


@pytest.mark.parametrize("name", furniture.NAMES)
def test_every_class_stands_on_the_floor_and_varies(name):
    made = [furniture.mesh(name, numpy.random.default_rng(k)) for k in range(20)]
    for mesh in made:
        assert mesh.ndim == 3 and mesh.shape[1:] == (3, 3) and numpy.isfinite(mesh).all()
        low, high = mesh.min((0, 1)), mesh.max((0, 1))
        assert -0.06 < low[2] < 0.12 and 0.1 < high[2] < 2.8 and (high - low).max() < 3
    assert len({round(float(area(mesh)), 6) for mesh in made}) == 20
    again = furniture.mesh(name, numpy.random.default_rng(3))
    assert (again == made[3]).all()


def test_unknown_class():
    with pytest.raises(ValueError, match="expected one of bag"):
        furniture.mesh("lamp", numpy.random.default_rng(0))
