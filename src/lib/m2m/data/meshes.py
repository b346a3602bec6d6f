"""Triangle meshes: a few solids to build shapes from, and points drawn uniformly from a surface.

y is up and the front looks to -z, as in ShapeNetCore.v2. Solids may intersect: their hidden surfaces are sampled too, as they
are in ShapeNet's meshes, which designers put together in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy
from numpy import ndarray

Vector = Sequence[float] | ndarray


class Mesh(NamedTuple):
    """Corners (V, 3), float64, and triangles (F, 3), each three rows of `corners`."""

    corners: ndarray
    triangles: ndarray

    def moved(self, shift: Vector) -> Mesh:
        """The mesh at another place."""
        return Mesh(self.corners + numpy.asarray(shift), self.triangles)

    def turned(self, axis: int, angle: float) -> Mesh:
        """The mesh rotated about a coordinate axis (0 x, 1 y, 2 z), the angle in radians, by the right-hand rule."""
        a, b = (axis + 1) % 3, (axis + 2) % 3
        corners = self.corners.copy()
        corners[:, a] = numpy.cos(angle) * self.corners[:, a] - numpy.sin(angle) * self.corners[:, b]
        corners[:, b] = numpy.sin(angle) * self.corners[:, a] + numpy.cos(angle) * self.corners[:, b]
        return Mesh(corners, self.triangles)

    def mirrored(self) -> Mesh:
        """Left and right exchanged: x -> -x."""
        return Mesh(self.corners * [-1, 1, 1], self.triangles[:, ::-1])


def join(parts: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    starts = numpy.cumsum([0] + [len(part.corners) for part in parts[:-1]])
    triangles = [part.triangles + start for part, start in zip(parts, starts, strict=True)]
    return Mesh(numpy.concatenate([part.corners for part in parts]), numpy.concatenate(triangles))


# --- Solids ---------------------------------------------------------------------------------------------------------------


def loft(rings: Sequence | ndarray, *, closed: bool = True) -> Mesh:
    """The skin through n rings of k points, (n, k, 3), with a fan of triangles over each end where it is `closed`."""
    rings = numpy.asarray(rings, dtype=float)
    corners = rings.reshape(-1, 3)
    if closed:
        corners = numpy.concatenate([corners, rings[[0, -1]].mean(1)])
    return Mesh(corners, _skin(*rings.shape[:2], closed))


@lru_cache(maxsize=256)
def _skin(n: int, k: int, closed: bool) -> ndarray:
    """The triangles of `loft`: two for each quadrangle between two rings, then the fans, all seen from one side."""
    ring, around = k * numpy.arange(n - 1)[:, None], numpy.arange(k)
    here, right = (ring + around).ravel(), (ring + (around + 1) % k).ravel()
    triangles = [numpy.stack([here, right, right + k], 1), numpy.stack([here, right + k, here + k], 1)]
    if closed:
        triangles.append(numpy.stack([numpy.full(k, n * k), (around + 1) % k, around], 1))
        triangles.append(numpy.stack([numpy.full(k, n * k + 1), around, (around + 1) % k], 1) + [0, (n - 1) * k, (n - 1) * k])
    triangles = numpy.concatenate(triangles)
    triangles.setflags(write=False)
    return triangles


def outline(roundness: float = 1.0, points: int = 24) -> ndarray:
    """The curve |x|^p + |y|^p = 1 with p = 2 / roundness, (points, 2): 1 is a circle, towards 0 it becomes a square."""
    angle = 2 * numpy.pi * numpy.arange(points) / points
    unit = numpy.stack([numpy.cos(angle), numpy.sin(angle)], 1).round(12)
    return numpy.sign(unit) * numpy.abs(unit) ** roundness


SQUARE = numpy.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])


def slab(centre: Vector, size: Vector, *, roundness: float = 0.0, top: float = 1.0) -> Mesh:
    """A plate or block of full size (x, y, z): a box, or round with `roundness` 1; the upper face is `top` times as large."""
    rim = SQUARE if roundness == 0 else outline(roundness)
    (x, y, z), half = centre, numpy.asarray(size) / 2
    ring = lambda height, scale: numpy.stack(
        [x + scale * half[0] * rim[:, 0], numpy.full(len(rim), height), z + scale * half[2] * rim[:, 1]], 1
    )
    return loft([ring(y - half[1], 1.0), ring(y + half[1], top)])


def lathe(profile: Sequence[Vector], *, roundness: float = 1.0, points: int = 24) -> Mesh:
    """A profile of (radius, height) pairs turned about the y axis; open at its ends where the radius is not 0."""
    r, y = numpy.asarray(profile, dtype=float).T
    rim = outline(roundness, points)
    heights = numpy.broadcast_to(y[:, None], (len(y), points))
    return loft(numpy.stack([r[:, None] * rim[:, 0], heights, r[:, None] * rim[:, 1]], 2), closed=False)


def rod(start: Vector, end: Vector, radius: float, end_radius: float | None = None, *, sides: int = 8) -> Mesh:
    """A round bar, or a cone where the radii differ, with `sides` faces."""
    start, end = numpy.asarray(start, dtype=float), numpy.asarray(end, dtype=float)
    along = (end - start) / numpy.linalg.norm(end - start)
    helper = numpy.eye(3)[numpy.abs(along).argmin()]
    across = helper - (helper @ along) * along
    across /= numpy.linalg.norm(across)
    angle = 2 * numpy.pi * (numpy.arange(sides) + 0.5) / sides
    circle = numpy.cos(angle)[:, None] * across + numpy.sin(angle)[:, None] * numpy.cross(along, across)
    return loft([start + radius * circle, end + (radius if end_radius is None else end_radius) * circle])


def tube(path: Sequence[Vector], radius: float, *, sides: int = 8) -> Mesh:
    """Bars along a path of points (n, 3)."""
    return join([rod(a, b, radius, sides=sides) for a, b in pairwise(path)])


# --- Points ---------------------------------------------------------------------------------------------------------------


def areas(mesh: Mesh) -> ndarray:
    """The area of each triangle, (F,)."""
    a, b, c = mesh.corners[mesh.triangles].swapaxes(0, 1)
    return numpy.linalg.norm(numpy.cross(b - a, c - a), axis=1) / 2


def sample(mesh: Mesh, points: int, random: numpy.random.Generator) -> ndarray:
    """Points drawn uniformly by area from the surface, (points, 3).

    A triangle is drawn by its area, and a point in it as (1 - sqrt(u)) a + sqrt(u) (1 - v) b + sqrt(u) v c with u and v
    uniform in 0 to 1 (Osada et al. 2002, Shape distributions, section 4.1).

    Raises:
        ValueError: a mesh without area, with NaN or with triangles of corners that are not there; fewer than 1 point.
    """
    check(mesh)
    if isinstance(points, bool) or not isinstance(points, int | numpy.integer) or points < 1:
        raise ValueError(f"points: got {points}, expected a whole number from 1 on")
    edges = numpy.cumsum(areas(mesh))
    if not edges[-1] > 0:
        raise ValueError("mesh: got a surface without area, expected triangles with some")
    drawn = numpy.searchsorted(edges, edges[-1] * random.random(points), side="right").clip(max=len(edges) - 1)
    a, b, c = mesh.corners[mesh.triangles[drawn]].swapaxes(0, 1)
    u, v = numpy.sqrt(random.random((points, 1))), random.random((points, 1))
    return (1 - u) * a + u * (1 - v) * b + u * v * c


def check(mesh: Mesh) -> None:
    """Refuse a mesh that can not be sampled.

    Raises:
        ValueError: no triangles, shapes that do not fit, NaN, or a triangle whose corner is not there.
    """
    corners, triangles = numpy.asarray(mesh.corners), numpy.asarray(mesh.triangles)
    if (
        corners.ndim != 2
        or corners.shape[1:] != (3,)
        or triangles.ndim != 2
        or triangles.shape[1:] != (3,)
        or not len(triangles)
    ):
        raise ValueError(
            f"mesh: got corners {corners.shape} and triangles {triangles.shape}, expected (V, 3) and (F, 3), F >= 1"
        )
    if not numpy.isfinite(corners).all():
        raise ValueError("mesh: got corners with NaN or infinity, expected finite ones")
    if triangles.min() < 0 or triangles.max() >= len(corners):
        raise ValueError(f"mesh: got corner numbers {triangles.min()} to {triangles.max()}, expected 0 to {len(corners) - 1}")
