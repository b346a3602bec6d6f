"""Meshes: areas and volumes of known solids, and points that are uniform on them."""

import numpy
import pytest
from scipy import stats

from m2m.data import meshes
from m2m.data.meshes import Mesh

TRIANGLE = Mesh(numpy.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), numpy.array([[0, 1, 2]]))


def random(seed=0):
    return numpy.random.default_rng(seed)


def volume(mesh):
    """By the divergence theorem: right only where the surface is closed and all triangles are seen from one side."""
    a, b, c = mesh.corners[mesh.triangles].swapaxes(0, 1)
    return abs((a * numpy.cross(b, c)).sum()) / 6


def open_edges(mesh):
    """Edges that do not have exactly one triangle on each side, corners at the same place taken as one."""
    _, one = numpy.unique(mesh.corners.round(9), axis=0, return_inverse=True)
    edges = one.ravel()[mesh.triangles[:, [0, 1, 1, 2, 2, 0]]].reshape(-1, 2)
    edges = [tuple(edge) for edge in edges if edge[0] != edge[1]]
    return sum(edges.count((b, a)) != 1 for a, b in set(edges))


@pytest.mark.parametrize(
    ("mesh", "area", "content"),
    [
        (meshes.slab((1, 2, 3), (1, 2, 3)), 22, 6),
        (meshes.slab((0, 0, 0), (2, 1, 2), top=0.5), 4 + 1 + 4 * 1.5 * numpy.sqrt(1.25), (4 + 2 + 1) / 3),
        (meshes.rod((1, 0, 0), (1, 2, 2), 0.5, sides=4), 2 * 0.5 + 4 * numpy.sqrt(0.5) * numpy.sqrt(8), 0.5 * numpy.sqrt(8)),
        (meshes.rod((0, 0, 0), (0, 0, 3), 1, 0.0, sides=999), numpy.pi * (1 + numpy.sqrt(10)), numpy.pi),
        (meshes.lathe([(0, 0), (1, 0), (1, 2), (0, 2)], points=999), 6 * numpy.pi, 2 * numpy.pi),
    ],
)
def test_area_and_volume_of_known_solids(mesh, area, content):
    assert meshes.areas(mesh).sum() == pytest.approx(area, rel=1e-4)
    assert volume(mesh) == pytest.approx(content, rel=1e-4)
    assert volume(mesh.mirrored()) == pytest.approx(content, rel=1e-4)
    assert volume(mesh.turned(1, 0.7).moved((3, 2, 1))) == pytest.approx(content, rel=1e-4)


def test_solids_are_closed():
    for mesh in (meshes.slab((0, 0, 0), (1, 1, 1), roundness=0.3), meshes.rod((0, 0, 0), (1, 1, 1), 0.1, 0.2)):
        assert open_edges(mesh) == 0
        assert open_edges(mesh._replace(triangles=mesh.triangles[1:])) == 3  # the control: a hole has three edges
    assert open_edges(meshes.lathe([(1, 0), (1, 2)], points=10)) == 20  # two rims


def test_turns_follow_the_right_hand():
    for axis in range(3):
        start, end = numpy.eye(3)[(axis + 1) % 3], numpy.eye(3)[(axis + 2) % 3]
        mesh = Mesh(start[None], TRIANGLE.triangles)
        assert numpy.allclose(mesh.turned(axis, numpy.pi / 2).corners, end)


def test_outline():
    for roundness in (0.2, 0.5, 1.0):
        assert numpy.allclose((numpy.abs(meshes.outline(roundness)) ** (2 / roundness)).sum(1), 1)
    assert numpy.abs(meshes.outline(1e-9)).max(1) == pytest.approx(numpy.ones(24))


def test_join_keeps_the_triangles_of_each():
    one, other = meshes.slab((0, 0, 0), (1, 1, 1)), TRIANGLE.moved((5, 0, 0))
    both = meshes.join([one, other])
    assert meshes.areas(both).tolist() == [*meshes.areas(one), *meshes.areas(other)]


def test_points_are_uniform_in_a_triangle():
    x, y, z = meshes.sample(TRIANGLE, 20_000, random()).T
    assert (z == 0).all() and x.min() >= 0 and y.min() >= 0 and (x + y).max() <= 1
    for coordinate in (x, y, 1 - x - y):  # each barycentric coordinate is Beta(1, 2)
        assert stats.kstest(coordinate, stats.beta(1, 2).cdf).pvalue > 0.01
    u, v = random().random((2, 20_000))  # the control: without the square root, points crowd at a corner
    assert stats.kstest(1 - u, stats.beta(1, 2).cdf).pvalue < 1e-6


def test_triangles_are_drawn_by_area():
    mesh = meshes.slab((0, 0, 0), (1, 2, 4))
    x = meshes.sample(mesh, 30_000, random())
    counts = [int(numpy.isclose(numpy.abs(x[:, axis]), half, atol=1e-12).sum()) for axis, half in enumerate((0.5, 1, 2))]
    assert sum(counts) == 30_000
    assert stats.chisquare(counts, 30_000 * numpy.array([8, 4, 2]) / 14).pvalue > 0.01
    assert stats.chisquare(counts, [10_000] * 3).pvalue < 1e-6  # the control: by number of triangles


def test_triangles_without_area_are_never_drawn():
    flat = Mesh(TRIANGLE.corners, numpy.array([[0, 0, 1], [0, 1, 2], [2, 2, 2]]))
    assert (meshes.sample(flat, 1000, random())[:, :2].sum(1) > 0).all()


@pytest.mark.parametrize(
    ("mesh", "message"),
    [
        (Mesh(TRIANGLE.corners, numpy.empty((0, 3), int)), r"F >= 1"),
        (Mesh(TRIANGLE.corners[:, :2], TRIANGLE.triangles), r"corners \(3, 2\)"),
        (Mesh(TRIANGLE.corners, numpy.array([[0, 1, 3]])), "corner numbers 0 to 3, expected 0 to 2"),
        (Mesh(TRIANGLE.corners, numpy.array([[0, 1, -1]])), "corner numbers -1"),
        (Mesh(TRIANGLE.corners * numpy.nan, TRIANGLE.triangles), "NaN"),
        (Mesh(TRIANGLE.corners * 0, TRIANGLE.triangles), "without area"),
    ],
)
def test_meshes_that_can_not_be_sampled(mesh, message):
    with pytest.raises(ValueError, match=message):
        meshes.sample(mesh, 10, random())


@pytest.mark.parametrize("points", [0, -1, 2.5, True])
def test_numbers_of_points(points):
    with pytest.raises(ValueError, match="points: got"):
        meshes.sample(TRIANGLE, points, random())
