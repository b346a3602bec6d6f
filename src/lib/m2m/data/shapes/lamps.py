"""Lamps at random, about as large as real ones in metres: on tables, floors and desks, on a bow, from the ceiling."""

from __future__ import annotations

import numpy

from m2m.data.meshes import Mesh, join, lathe, rod, slab, tube
from m2m.data.shapes.supports import Random, pick


def lamp(random: Random) -> Mesh:
    """A table lamp, a floor lamp, a desk lamp with a joint, an arc lamp or one that hangs."""
    kind = pick(random, {table_lamp: 4, floor_lamp: 2.5, desk_lamp: 2, arc_lamp: 0.8, pendant: 1.7})
    return join(kind(random))


def shade(random: Random, size: float = 1.0) -> tuple[Mesh, float]:
    """A shade that is open below, from y = 0 on, and its height: cylinder, cone, dome or globe."""
    r, h = size * random.uniform(0.12, 0.26), size * random.uniform(0.1, 0.32)
    up = numpy.linspace(0, 1, 9)
    dome = [(r * numpy.sqrt(max(1 - t * t, 0)), h * t) for t in up]
    globe = [(r * numpy.sin(a), r - r * numpy.cos(a)) for a in numpy.pi * up]
    cone = [(r, 0), (r * random.uniform(0.25, 0.9), h)]
    profile = pick(random, {"cylinder": 1, "cone": 2, "dome": 1, "globe": 1})
    profile = {"cylinder": [(r, 0), (r, h)], "cone": cone, "dome": dome, "globe": globe}[profile]
    return lathe(profile, roundness=pick(random, {1.0: 3, 0.15: 1})), profile[-1][1]


def foot(random: Random, radius: float) -> Mesh:
    """A flat disc to stand on."""
    return lathe([(0.0, 0), (radius, 0), (radius * random.uniform(0.7, 1), 0.03), (0.0, 0.03)])


def table_lamp(random: Random) -> list[Mesh]:
    """A shade on a stick or on a turned body."""
    u, h = random.uniform, random.uniform(0.2, 0.5)
    top, high = shade(random, u(0.7, 1.3))
    top = top.moved((0, h - high * u(0, 0.4), 0))
    if random.random() < 0.4:
        return [foot(random, u(0.06, 0.16)), rod((0, 0, 0), (0, h, 0), u(0.008, 0.03)), top]
    y = numpy.linspace(0, h, 12)
    wave = 1 + 0.5 * numpy.sin(u(0, 6.28) + u(2, 7) * y / h)
    body = 0.012 + u(0.04, 0.13) * wave * (1 - u(0.3, 0.9) * y / h)
    return [lathe(numpy.stack([body, y], 1), roundness=pick(random, {1.0: 4, 0.15: 1})), foot(random, body[0]), top]


def floor_lamp(random: Random) -> list[Mesh]:
    """A shade on a long stick with a foot, or on three legs."""
    u, h = random.uniform, random.uniform(0.9, 1.6)
    top, high = shade(random, u(0.8, 1.5))
    top = top.moved((0, h - high * u(0, 0.3), 0))
    if random.random() < 0.6:
        return [foot(random, u(0.1, 0.2)), rod((0, 0, 0), (0, h, 0), u(0.008, 0.025)), top]
    reach, turn = u(0.15, 0.4), u(0, 6.28)
    feet = [(reach * numpy.cos(turn + a), 0, reach * numpy.sin(turn + a)) for a in 2 * numpy.pi * numpy.arange(3) / 3]
    return [*(rod(start, (0, h, 0), 0.012) for start in feet), top]


def desk_lamp(random: Random) -> list[Mesh]:
    """Two arms with a joint and a small tilted shade."""
    u = random.uniform
    lower, upper, low, high = u(0.2, 0.4), u(0.2, 0.4), u(-0.5, 0.2), u(0.5, 1.6)
    joint = numpy.array([0, 0.02 + lower * numpy.cos(low), -lower * numpy.sin(low)])
    end = joint + [0, upper * numpy.cos(high), -upper * numpy.sin(high)]
    head, tall = shade(random, u(0.4, 0.7))
    head = head.moved((0, -tall, 0)).turned(0, u(0, 0.8)).moved(end)
    return [foot(random, u(0.07, 0.14)), rod((0, 0.02, 0), joint, 0.01), rod(joint, end, 0.01), head]


def arc_lamp(random: Random) -> list[Mesh]:
    """A shade that hangs from a bow."""
    u = random.uniform
    reach, h = u(0.4, 0.9), u(1.0, 1.6)
    angle = numpy.linspace(0, u(1.9, 2.6), 12)
    bow = numpy.stack([numpy.zeros(12), h * numpy.sin(angle), -reach * (1 - numpy.cos(angle)) / 1.5], 1)
    head, tall = shade(random, u(0.7, 1.2))
    return [foot(random, u(0.12, 0.2)), tube(bow, 0.012), head.moved(bow[-1] - [0, tall, 0])]


def pendant(random: Random) -> list[Mesh]:
    """A shade on a cord from the ceiling; two or three on one board at times."""
    u, length, number = random.uniform, random.uniform(0.15, 1.0), pick(random, {1: 4, 2: 0.5, 3: 0.8})
    head, tall = shade(random, u(0.8, 1.3))
    hung = [head, rod((0, tall, 0), (0, tall + length, 0), 0.006)]
    if number == 1:
        return [*hung, lathe([(0.06, 0), (0.04, 0.03), (0.0, 0.03)]).moved((0, tall + length, 0))]
    x = 0.5 * (numpy.arange(number) - (number - 1) / 2)
    lamps = [part.moved((a, 0, 0)) for a in x for part in hung]
    return [*lamps, slab((0, tall + length, 0), (0.5 * number, 0.03, 0.08))]
