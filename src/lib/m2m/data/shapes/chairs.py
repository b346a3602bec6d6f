"""Chairs at random, about as large as real ones in metres, for dining, lounging or a bar. The front is at -z."""

from __future__ import annotations

from typing import NamedTuple

import numpy

from m2m.data.meshes import Mesh, join, loft, rod, slab
from m2m.data.shapes.supports import SIDES, Random, block, column, four_legs, pick, side_panels, sled, star


class Back(NamedTuple):
    """The plane of a chair's back: it stands on the seat at (y, z), leans by `lean` and changes its width w to w * taper."""

    y: float
    z: float
    w: float
    h: float
    lean: float
    taper: float

    def point(self, s: float, t: float) -> tuple[float, float, float]:
        """s across from -1/2 to 1/2, t upwards from 0 to 1."""
        return s * self.w * (1 + (self.taper - 1) * t), self.y + t * self.h, self.z + self.lean * t * self.h

    def panel(self, low: float, high: float, thick: float) -> Mesh:
        """A board from t = low to t = high."""
        rings = []
        for t in (low, high):
            (left, y, z), (right, _, _) = self.point(-0.5, t), self.point(0.5, t)
            rings.append([(left, y, z), (right, y, z), (right, y, z + thick), (left, y, z + thick)])
        return loft(rings)

    def posts(self, radius: float) -> list[Mesh]:
        """The two upright bars."""
        return [rod(self.point(s, 0), self.point(s, 1), radius) for s in (-0.5, 0.5)]


def chair(random: Random) -> Mesh:
    """A seat, what it stands on, mostly a back, often arms."""
    u = random.uniform
    kind = pick(random, {"dining": 6, "lounge": 2.5, "bar": 1})
    w, d, h = u(0.36, 0.6), u(0.36, 0.56), u(0.36, 0.52)
    if kind == "lounge":
        w, d, h = w * u(1.1, 1.9), d * u(1.1, 1.6), h * u(0.4, 0.9)
    if kind == "bar":
        h = h * u(1.3, 2.0)
    base = pick(random, {four_legs: 5, star: 1, column: 0.8, sled: 1.2, block: 1.2, side_panels: 1})
    thick = u(0.02, 0.2 if kind == "lounge" else 0.09)
    seat = slab((0, h + thick / 2, 0), (w, thick, d), roundness=pick(random, {0.0: 3, 0.3: 2, 0.6: 1, 1.0: 1}), top=u(0.9, 1))
    back = Back(h + thick, d / 2 - 0.04, w * u(0.75, 1.0), u(0.25, 0.8), u(0, 0.35), u(0.7, 1.1))
    parts = [seat, base(random, w, d, h)]
    stool = kind != "lounge" and base in (four_legs, star, sled)
    if style := pick(random, {board: 3, ladder: 1.6, spindles: 1.6, shell: 1.6, rest: 1, None: 0.6 if stool else 0}):
        parts += style(random, back)
        if random.random() < (0.8 if kind == "lounge" else 0.4):
            parts += arms(random, w, d, h + thick, solid=base is block or random.random() < 0.3)
    return join(parts)


def board(random: Random, back: Back) -> list[Mesh]:
    """One board from the seat up."""
    return [back.panel(0, 1, random.uniform(0.015, 0.12))]


def ladder(random: Random, back: Back) -> list[Mesh]:
    """Posts with 2 to 5 boards across."""
    number = int(random.integers(2, 6))
    levels = numpy.linspace(random.uniform(0.2, 0.5), 1, number)
    return back.posts(random.uniform(0.012, 0.025)) + [back.panel(t - 0.4 / number, t, 0.02) for t in levels]


def spindles(random: Random, back: Back) -> list[Mesh]:
    """Posts with a board above 3 to 8 thin bars."""
    across = numpy.linspace(-0.4, 0.4, int(random.integers(3, 9)))
    bars = [rod(back.point(s, 0), back.point(s, 0.9), 0.009, sides=6) for s in across]
    return [*back.posts(random.uniform(0.012, 0.025)), back.panel(0.87, 1, 0.03), *bars]


def shell(random: Random, back: Back) -> list[Mesh]:
    """A board bent around the sitter, straight or round above."""
    depth, round_above, thick = random.uniform(0.1, 0.6) * back.w, random.random() < 0.5, random.uniform(0.015, 0.06)
    across = numpy.linspace(-0.5, 0.5, 12)
    rings = []
    for t in numpy.linspace(0, 1, 8):
        narrow = numpy.sqrt(1.02 - t**4) if round_above else 1.0
        x, y, z = numpy.array([back.point(s * narrow, t) for s in across]).T
        front = numpy.stack([x, y, z - 4 * depth * across**2], 1)
        rings.append(numpy.concatenate([front, front[::-1] + [0, 0, thick]]))
    return [loft(rings)]


def rest(random: Random, back: Back) -> list[Mesh]:
    """An upper board on one bar."""
    low = random.uniform(0.3, 0.6)
    return [back.panel(low, 1, random.uniform(0.015, 0.08)), rod(back.point(0, -0.1), back.point(0, low + 0.1), 0.025)]


def arms(random: Random, w: float, d: float, y: float, *, solid: bool) -> list[Mesh]:
    """Two arm rests on posts, or solid from the seat up."""
    u, high, thick = random.uniform, random.uniform(0.14, 0.28), random.uniform(0.03, 0.16 if solid else 0.08)
    x, length, front_only = w / 2 + thick / 3, d * u(0.7, 1), random.random() < 0.5
    parts = []
    for side in SIDES:
        if solid:
            parts.append(slab((side * x, y + high / 2 - 0.05, 0), (thick, high + 0.1, d)))
            continue
        parts.append(slab((side * x, y + high, 0), (thick, 0.03, length)))
        ends = (-length * 0.4,) if front_only else (-length * 0.4, length * 0.4)
        parts += [rod((side * x, y - 0.05, z), (side * x, y + high, z), 0.014, sides=6) for z in ends]
    return parts
