"""Solids from a few numbers, as triangles: boxes, turned profiles, rods; and what a depth camera sees of them.

A mesh is an array of triangles (T, 3, 3): corner, coordinate. Lengths are in metres and z points up. Meshes are joined with
`numpy.concatenate`, and moved by adding to them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy import ndarray

QUAD = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))


def loft(rings: ndarray | Sequence, caps: bool = True) -> ndarray:
    """The skin over rings of K points each, (n, K, 3) with n > 1, and lids on the first and the last, which are convex.

    >>> loft([[(x, y, z) for x, y in QUAD] for z in (0, 1)]).shape
    (12, 3, 3)

    Raises:
        ValueError: the rings are not (n, K, 3) with n >= 2 and K >= 3.
    """
    rings = numpy.asarray(rings, dtype=float)
    if rings.ndim != 3 or rings.shape[2] != 3 or len(rings) < 2 or rings.shape[1] < 3:
        raise ValueError(f"rings: got shape {rings.shape}, expected (n, K, 3) with n >= 2 and K >= 3")
    along = numpy.roll(rings, -1, 1)
    a, b, c, d = rings[:-1], along[:-1], rings[1:], along[1:]
    parts = [numpy.stack(corners, 2).reshape(-1, 3, 3) for corners in ((a, b, d), (a, d, c))]
    for ring in rings[[0, -1]] if caps else ():
        first = numpy.broadcast_to(ring[0], ring[2:].shape)
        parts.append(numpy.stack([first, ring[1:-1], ring[2:]], 1))
    return numpy.concatenate(parts)


def outline(square: float = 0.0, sides: int = 12) -> ndarray:
    """Points (sides, 2) around a circle of radius 1, or towards the square around it as `square` goes to 1."""
    turn = 2 * numpy.pi * (numpy.arange(sides) + 0.5) / sides
    point = numpy.stack([numpy.cos(turn), numpy.sin(turn)], -1)
    return numpy.sign(point) * numpy.abs(point) ** (1 - 0.9 * square)


def box(centre: Sequence[float], size: Sequence[float], top: Sequence[float] = (1, 1)) -> ndarray:
    """A box around `centre` with edges `size`; its upper face is `top` times as wide along x and y."""
    base, low = numpy.array(QUAD) * size[:2], numpy.full((4, 1), size[2] / 2)
    return loft([numpy.hstack([base, -low]), numpy.hstack([base * top, low])]) + numpy.asarray(centre, dtype=float)


def turned(
    profile: Sequence[tuple[float, float]],
    centre: Sequence[float] = (0, 0, 0),
    *,
    square: float = 0.0,
    stretch: Sequence[float] = (1, 1),
    sides: int = 12,
) -> ndarray:
    """What a lathe makes of a profile [(radius, height), ...]; `square` and `stretch` change its circles as in `outline`."""
    ring = outline(square, sides) * stretch
    rings = [numpy.hstack([radius * ring, numpy.full((sides, 1), height)]) for radius, height in profile]
    return loft(rings, caps=False) + numpy.asarray(centre, dtype=float)


def slab(centre: Sequence[float], size: Sequence[float], square: float = 1.0, top: float = 1.0) -> ndarray:
    """A plate around `centre`, from round to rectangular; its upper face is `top` times as wide."""
    half = size[2] / 2
    return turned([(0, -half), (0.5, -half), (0.5 * top, half), (0, half)], centre, square=square, stretch=size[:2])


def rod(start: Sequence[float], end: Sequence[float], radius: float, thin: float = 1.0, sides: int = 6) -> ndarray:
    """A straight rod between two points; at `end` its radius is `thin` times that at `start`."""
    start, end = numpy.asarray(start, dtype=float), numpy.asarray(end, dtype=float)
    axis = (end - start) / numpy.linalg.norm(end - start)
    side = numpy.cross(axis, numpy.eye(3)[numpy.abs(axis).argmin()])
    side /= numpy.linalg.norm(side)
    ring = outline(sides=sides) @ numpy.stack([side, numpy.cross(axis, side)])
    return loft([start + radius * ring, end + radius * thin * ring])


def path(points: Sequence[Sequence[float]], radius: float) -> ndarray:
    """Rods along a polygon."""
    return numpy.concatenate([rod(a, b, radius) for a, b in zip(points, points[1:], strict=False)])


def seen(triangles: ndarray, eye: ndarray, directions: ndarray) -> tuple[ndarray, ndarray]:
    """What rays from one point meet first.

    Args:
        triangles: (T, 3, 3).
        eye: where the camera is (3,).
        directions: (R, 3), of any length but 0.

    Returns:
        distance along each ray in units of its direction (R,), infinite where nothing is met; the triangle met (R,), -1 if none.

    A ray d meets the triangle a b c, seen from the eye, if d . (a x b), d . (b x c) and d . (c x a) have one sign. The three
    normals add up to that of the triangle, so the distance is a . (b x c) over the sum of the three: all rays and all
    triangles in three matrix products.
    """
    a, b, c = (triangles - eye).transpose(1, 0, 2)
    sides = numpy.stack([directions @ numpy.cross(p, q).T for p, q in ((a, b), (b, c), (c, a))])
    inside = (sides > 0).all(0) | (sides < 0).all(0)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        distance = (a * numpy.cross(b, c)).sum(-1) / sides.sum(0)
    distance = numpy.where(inside & (distance > 0), distance, numpy.inf)
    nearest = distance.argmin(1)
    distance = distance[numpy.arange(len(directions)), nearest]
    return distance, numpy.where(numpy.isfinite(distance), nearest, -1)
