"""Tables and desks at random, about as large as real ones in metres. The side with the drawers is at -z."""

from __future__ import annotations

import numpy

from m2m.data.meshes import Mesh, join, slab
from m2m.data.shapes.supports import SIDES, Random, block, column, crossed, four_legs, pick, side_panels, star


def table(random: Random) -> Mesh:
    """A top, what it stands on, sometimes a shelf below, drawers or a frame."""
    u = random.uniform
    w, d, h = u(0.5, 1.9), u(0.4, 1.0), u(0.28, 0.85)
    roundness = pick(random, {0.0: 5, 0.15: 1, 0.5: 1, 1.0: 3})
    if roundness == 1 and random.random() < 0.6:
        d = w = min(w, 1.3)
    inner = 0.72 if roundness >= 0.5 else u(0.85, 1)
    base = pick(random, {four_legs: 5, side_panels: 2, column: 1.5, star: 0.7, crossed: 1, block: 0.4, two_columns: 0.7})
    thick = u(0.015, 0.07)
    parts = [slab((0, h + thick / 2, 0), (w, thick, d), roundness=roundness), base(random, w * inner, d * inner, h)]
    if random.random() < 0.28:
        parts.append(slab((0, h * u(0.15, 0.5), 0), (w * inner * 0.9, 0.025, d * inner * 0.9), roundness=roundness))
    if random.random() < 0.3 and roundness < 0.5:
        parts += drawers(random, w * inner, d * inner, h)
    if random.random() < 0.3:
        parts += [slab((0, h - 0.05, side * d * inner * 0.42), (w * inner * 0.9, 0.08, 0.02)) for side in SIDES]
    return join(parts)


def two_columns(random: Random, w: float, d: float, h: float) -> Mesh:
    """A column left and one right."""
    leg = column(random, d, d, h)
    return join([leg.moved((side * w * 0.3, 0, 0)) for side in SIDES])


def drawers(random: Random, w: float, d: float, h: float) -> list[Mesh]:
    """A block of 1 to 3 drawers at one side or at both."""
    high, wide, number = h * random.uniform(0.2, 0.95), w * random.uniform(0.2, 0.35), int(random.integers(1, 4))
    parts = []
    for side in pick(random, {SIDES: 1, (-1,): 1, (1,): 1}):
        x = side * (w - wide) / 2
        parts.append(slab((x, h - high / 2, 0), (wide, high, d * 0.85)))
        heights = h - high * (numpy.arange(number) + 0.5) / number
        parts += [slab((x, y, -d * 0.44), (wide * 0.4, 0.015, 0.03)) for y in heights]
    return parts
