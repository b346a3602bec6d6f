"""What chairs and tables stand on: meshes between the floor and a plate of w x d at height h, drawn at random."""

from __future__ import annotations

from typing import TypeVar

import numpy

from m2m.data.meshes import Mesh, join, lathe, rod, slab, tube

Random = numpy.random.Generator
T = TypeVar("T")
SIDES = (-1, 1)
CORNERS = [(x, z) for x in SIDES for z in SIDES]


def pick(random: Random, weights: dict[T, float]) -> T:
    """One of the keys, with probability in proportion to its weight."""
    edges = numpy.cumsum(list(weights.values()))
    return list(weights)[int(numpy.searchsorted(edges, edges[-1] * random.random(), side="right"))]


def four_legs(random: Random, w: float, d: float, h: float) -> Mesh:
    """Legs at the corners of a w x d plate at height h: round or square, straight or splayed, with or without bars."""
    u = random.uniform
    radius, thin, sides = u(0.012, 0.035), u(0.4, 1.0), pick(random, {4: 1, 10: 1})
    x, z = w / 2 - radius - u(0, 0.05), d / 2 - radius - u(0, 0.05)
    splay = u(0, 0.18) * h if random.random() < 0.4 else 0.0
    legs = [
        rod((a * (x + splay), 0, b * (z + splay)), (a * x, h, b * z), thin * radius, radius, sides=sides) for a, b in CORNERS
    ]
    if random.random() < 0.3:
        y = h * u(0.2, 0.6)
        x, z = x + splay * (1 - y / h), z + splay * (1 - y / h)
        legs += [rod((a * x, y, -z), (a * x, y, z), 0.7 * radius, sides=6) for a in SIDES]
        if random.random() < 0.5:
            legs.append(rod((-x, y, 0), (x, y, 0), 0.7 * radius, sides=6))
    return join(legs)


def star(random: Random, w: float, d: float, h: float) -> Mesh:
    """A column on 3 to 5 feet, with castors under five."""
    reach, feet, turn = random.uniform(0.4, 0.6) * min(w, d), int(random.integers(3, 6)), random.uniform(0, 6.28)
    parts = [rod((0, 0.06, 0), (0, h, 0), random.uniform(0.02, 0.04))]
    for angle in turn + 2 * numpy.pi * numpy.arange(feet) / feet:
        x, z = reach * numpy.cos(angle), reach * numpy.sin(angle)
        parts.append(rod((0, 0.1, 0), (x, 0.05, z), 0.025, 0.015))
        if feet == 5:
            parts.append(lathe([(0.0, 0), (0.03, 0.015), (0.03, 0.035), (0.0, 0.05)], points=10).moved((x, 0, z)))
    return join(parts)


def column(random: Random, w: float, d: float, h: float) -> Mesh:
    """A turned column that widens to a foot."""
    u, foot, neck = random.uniform, random.uniform(0.3, 0.5) * min(w, d), random.uniform(0.02, 0.07)
    profile = [(0.0, 0), (foot, 0), (foot * u(0.7, 1), 0.03), (neck, 0.06 + u(0, 0.1)), (neck * u(0.6, 1.4), h / 2), (neck, h)]
    return lathe(profile, roundness=pick(random, {1.0: 3, 0.15: 1}))


def sled(random: Random, w: float, d: float, h: float) -> Mesh:
    """A bent tube at each side: a closed runner, or a cantilever that leaves the back free."""
    x, z, radius = w / 2 - 0.02, d / 2, random.uniform(0.01, 0.025)
    runner = [(h, z), (0.0, z), (0.0, -z), (h, -z)] if random.random() < 0.5 else [(h, -z), (0.0, -z), (0.0, z)]
    frames = [tube([(a * x, y + radius, c) for y, c in runner], radius) for a in SIDES]
    return join([*frames, rod((-x, radius, z), (x, radius, z), radius)])


def block(random: Random, w: float, d: float, h: float) -> Mesh:
    """A solid base."""
    u = random.uniform
    return slab((0, h / 2, 0), (w * u(0.7, 1), h, d * u(0.7, 1)), top=u(0.85, 1.1))


def side_panels(random: Random, w: float, d: float, h: float) -> Mesh:
    """A board at the left and the right, often with one across."""
    u, x, thick = random.uniform, w / 2 - 0.04, random.uniform(0.02, 0.1)
    parts = [slab((a * x, h / 2, 0), (thick, h, d * 0.95)) for a in SIDES]
    if random.random() < 0.5:
        parts.append(slab((0, h * u(0.4, 0.8), d * u(-0.1, 0.4)), (2 * x, h * u(0.05, 0.4), 0.025)))
    return join(parts)


def crossed(random: Random, w: float, d: float, h: float) -> Mesh:
    """Two crosses of bars and a bar between them."""
    x, z, radius = w * random.uniform(0.3, 0.45), d * 0.42, random.uniform(0.015, 0.03)
    parts = [rod((a * x, 0, -b * z), (a * x, h, b * z), radius, sides=4) for a, b in CORNERS]
    return join([*parts, rod((-x, h / 2, 0), (x, h / 2, 0), radius, sides=6)])
