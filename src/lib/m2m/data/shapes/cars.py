"""Cars at random: from micro cars and roadsters to vans, trucks, limousines and racing cars. The front is at -z.

A car is a lower body between the wheels, a cabin on it, and what its kind adds. Lengths are in lengths of the car.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy

from m2m.data.meshes import Mesh, join, lathe, loft, rod, slab, tube
from m2m.data.shapes.supports import CORNERS, SIDES, Random, pick


class Plan(NamedTuple):
    """Ranges of width, height, hood (of the height) and wheel radius; where the cabin begins and ends along the car.

    `cabin` has four numbers from 0 (front) to 1 (rear): the wind shield's foot and top, the rear window's top and foot.
    """

    width: tuple[float, float]
    height: tuple[float, float]
    hood: tuple[float, float]
    wheel: tuple[float, float]
    cabin: tuple[float, float, float, float] | None


PLANS = {
    "sedan": Plan((0.32, 0.46), (0.25, 0.36), (0.5, 0.7), (0.055, 0.085), (0.28, 0.42, 0.68, 0.84)),
    "hatchback": Plan((0.36, 0.54), (0.32, 0.46), (0.45, 0.66), (0.065, 0.1), (0.22, 0.4, 0.86, 0.97)),
    "off-road": Plan((0.38, 0.58), (0.38, 0.6), (0.45, 0.65), (0.08, 0.15), (0.26, 0.34, 0.9, 0.98)),
    "coupe": Plan((0.36, 0.52), (0.19, 0.3), (0.5, 0.76), (0.06, 0.095), (0.34, 0.52, 0.62, 0.92)),
    "micro": Plan((0.5, 0.75), (0.5, 0.75), (0.4, 0.6), (0.09, 0.15), (0.12, 0.34, 0.86, 0.97)),
    "van": Plan((0.3, 0.5), (0.36, 0.62), (0.3, 0.5), (0.05, 0.09), (0.06, 0.2, 0.98, 0.99)),
    "limousine": Plan((0.16, 0.28), (0.13, 0.22), (0.5, 0.66), (0.035, 0.055), (0.2, 0.28, 0.8, 0.88)),
    "pickup": Plan((0.3, 0.46), (0.28, 0.48), (0.38, 0.55), (0.06, 0.12), (0.24, 0.36, 0.54, 0.58)),
    "truck": Plan((0.22, 0.42), (0.3, 0.6), (0.15, 0.3), (0.04, 0.085), (0.02, 0.06, 0.24, 0.25)),
    "vintage": Plan((0.34, 0.5), (0.38, 0.62), (0.4, 0.58), (0.09, 0.15), (0.4, 0.42, 0.88, 0.9)),
    "roadster": Plan((0.34, 0.54), (0.2, 0.34), (0.5, 0.8), (0.06, 0.11), None),
    "buggy": Plan((0.45, 0.75), (0.35, 0.65), (0.3, 0.5), (0.1, 0.18), None),
    "racer": Plan((0.28, 0.5), (0.15, 0.28), (0.4, 0.65), (0.05, 0.1), None),
}
WEIGHTS = {"sedan": 1.2, "hatchback": 1, "off-road": 1.4, "coupe": 1.2, "micro": 1, "van": 1.1, "limousine": 1}
WEIGHTS |= {"pickup": 1.3, "truck": 1.5, "vintage": 1.2, "roadster": 1.2, "buggy": 1, "racer": 1.3}
BODY_WIDTH = {"racer": (0.35, 0.55), "vintage": (0.55, 0.75), "buggy": (0.4, 0.65)}  # of the car, where wheels stand free
OPEN_SIDES = {"off-road": 0.35, "micro": 0.35, "vintage": 0.5, "van": 0.15}  # how many have pillars and no windows


class Frame(NamedTuple):
    """Measures of one car: width, height, height of the hood and of the floor, wheel radius."""

    w: float
    h: float
    hood: float
    floor: float
    wheel: float


def car(random: Random) -> Mesh:
    """A car of one of the `PLANS`."""
    u, kind = random.uniform, pick(random, WEIGHTS)
    plan, free = PLANS[kind], kind in BODY_WIDTH
    h, wheel = u(*plan.height), u(*plan.wheel)
    frame = Frame(u(*plan.width), h, h * u(*plan.hood), wheel * u(0.45, 1.2), wheel)
    inner = frame._replace(w=frame.w * u(*BODY_WIDTH[kind])) if free else frame
    parts = wheels(random, frame, free=free) + body(random, inner)
    if plan.cabin:
        along = sorted(min(at + u(-0.06, 0.06), 0.99) for at in plan.cabin)
        parts += open_sides(inner, along) if random.random() < OPEN_SIDES.get(kind, 0) else [cabin(random, inner, along)]
    if kind in EXTRAS:
        parts += EXTRAS[kind](random, frame)
    if random.random() < 0.5 and plan.cabin:
        x = inner.w / 2 + 0.02
        parts += [slab((side * x, frame.hood, plan.cabin[0] - 0.46), (0.04, 0.03, 0.02)) for side in SIDES]
    return join(parts)


def wheels(random: Random, frame: Frame, *, free: bool) -> list[Mesh]:
    """Four wheels; with axles where they stand `free` of the body."""
    u, wide = random.uniform, frame.wheel * random.uniform(0.4, 0.9)
    x, place = frame.w / 2, {-1: u(-0.4, -0.26), 1: u(0.22, 0.38)}
    at = [(side * x, frame.wheel, place[end]) for side, end in CORNERS]
    parts = [rod((a, y, z), (a - numpy.sign(a) * wide, y, z), frame.wheel, sides=18) for a, y, z in at]
    if free:
        parts += [rod((-x, frame.wheel, z), (x, frame.wheel, z), 0.008) for z in place.values()]
    return parts


def body(random: Random, frame: Frame) -> list[Mesh]:
    """The lower body up to the hood: lower and narrower at nose and tail."""
    u = random.uniform
    z = numpy.array([-0.5, -0.48, -0.4, -0.2, 0, 0.25, 0.42, 0.48, 0.5])
    front, rear, round_front = u(0.45, 0.95), u(0.6, 1.05), u(0.7, 0.98)
    level = [0.7 * front, 0.85 * front, (1 + front) / 2, 1, 1, 1, (1 + rear) / 2, rear, 0.85 * rear]
    top = frame.floor + (frame.hood - frame.floor) * numpy.array(level)
    side = frame.w / 2 * numpy.array([round_front, 0.5 + round_front / 2, 1, 1, 1, 1, 1, 0.98, 0.94])
    rings = []
    for a, y, x in zip(z, top, side, strict=True):
        waist = frame.floor + 0.4 * (y - frame.floor)
        half = [(0.9 * x, frame.floor), (x, waist), (0.96 * x, 0.94 * y), (0.86 * x, y)]
        rings.append([(b, c, a) for b, c in half] + [(-b, c, a) for b, c in half[::-1]])
    return [loft(rings)]


def cabin(random: Random, frame: Frame, along: list[float]) -> Mesh:
    """Wind shield, roof, rear window and sides that lean inwards."""
    foot_front, top_front, top_rear, foot_rear = along
    low, high = 0.48 * frame.w, 0.48 * frame.w * random.uniform(0.72, 0.96)
    bend = frame.h - random.uniform(0.01, 0.04)
    rings = []
    for y, x, a, b in (
        (frame.hood - 0.02, low, foot_front, foot_rear),
        (bend, high, top_front, top_rear),
        (frame.h, 0.9 * high, top_front + 0.03, top_rear - 0.03),
    ):
        rings.append([(x, y, a - 0.5), (x, y, b - 0.5), (-x, y, b - 0.5), (-x, y, a - 0.5)])
    return loft(rings)


def open_sides(frame: Frame, along: list[float]) -> list[Mesh]:
    """A roof on four pillars, with two benches below it."""
    x, (foot_front, top_front, top_rear, foot_rear) = 0.44 * frame.w, [at - 0.5 for at in along]
    ends = ((foot_front, top_front), (foot_rear, top_rear))
    parts = [rod((side * x, frame.hood, a), (side * x, frame.h, b), 0.012, sides=4) for side in SIDES for a, b in ends]
    high, long = 0.45 * (frame.h - frame.hood), top_rear - top_front
    seats = [top_front + 0.45 * long, top_front + 0.9 * long]
    parts += [slab((0, frame.hood + high / 2, z), (1.8 * x, high, 0.03)) for z in seats]
    return [*parts, slab((0, frame.h, (top_front + top_rear) / 2), (2 * x, 0.02, long))]


# --- What kinds add -------------------------------------------------------------------------------------------------------


def bed(random: Random, frame: Frame) -> list[Mesh]:
    """The walls of a pickup's open bed."""
    high = frame.h * random.uniform(0.15, 0.28)
    y = frame.hood + high / 2
    walls = [slab((side * 0.47 * frame.w, y, 0.28), (0.02, high, 0.42)) for side in SIDES]
    return [*walls, slab((0, y, 0.48), (0.94 * frame.w, high, 0.02))]


def cargo(random: Random, frame: Frame) -> list[Mesh]:
    """A truck's box, a tank, or an open platform."""
    u, style = random.uniform, pick(random, {"box": 3, "tank": 1, "platform": 1})
    start, top = u(-0.22, -0.15), frame.h * u(0.9, 1.25)
    middle, length = (start + 0.5) / 2, 0.5 - start
    if style == "box":
        return [slab((0, (frame.hood + top) / 2, middle), (frame.w, top - frame.hood, length))]
    if style == "tank":
        radius = 0.45 * min(frame.w, top - frame.hood)
        return [rod((0, frame.hood + radius, start), (0, frame.hood + radius, 0.5), radius, sides=18)]
    rails = [slab((side * 0.48 * frame.w, frame.hood + 0.03, middle), (0.01, 0.06, length)) for side in SIDES]
    return [slab((0, frame.hood, middle), (frame.w, 0.02, length)), *rails]


def open_cabin(random: Random, frame: Frame) -> list[Mesh]:
    """A roadster's wind shield and two seats, with a soft roof at times."""
    u, z, high = random.uniform, random.uniform(-0.18, -0.06), frame.h - frame.hood
    lean, w = u(0.03, 0.1), 0.42 * frame.w
    shield = loft(
        [
            [(-w, y, z + a), (w, y, z + a), (w, y, z + a + 0.01), (-w, y, z + a + 0.01)]
            for y, a in ((frame.hood - 0.02, 0), (frame.h, lean))
        ]
    )
    parts = [shield]
    for side in SIDES:
        parts.append(slab((side * w / 2, frame.hood + 0.3 * high, z + 0.27), (0.7 * w, 0.9 * high, 0.03)))
    if random.random() < 0.4:
        parts.append(slab((0, frame.h, z + 0.16), (1.9 * w, 0.01, 0.26)))
    return parts


def racing(random: Random, frame: Frame) -> list[Mesh]:
    """Wings in front and behind, side boxes and the driver's hoop."""
    u, w = random.uniform, frame.w
    y = frame.h * u(0.85, 1.1)
    parts = [slab((0, frame.floor + 0.01, -0.49), (w * u(0.9, 1.2), 0.01, u(0.05, 0.1)))]
    parts.append(slab((0, y, 0.47), (w * u(0.7, 1.1), 0.012, u(0.05, 0.1))))
    parts += [slab((side * 0.3 * w, y - 0.04, 0.47), (0.01, 0.08, 0.08)) for side in SIDES]
    parts += [
        slab((side * 0.33 * w, 0.6 * frame.hood, 0.08), (0.3 * w, 0.6 * frame.hood, u(0.25, 0.42)), roundness=0.3)
        for side in SIDES
    ]
    return [*parts, slab((0, frame.hood * 1.2, u(0.0, 0.12)), (0.18 * w, frame.hood * 0.8, 0.16), top=0.5)]


def roof_rack(random: Random, frame: Frame) -> list[Mesh]:
    """Bars on the roof, and at times the spare wheel behind."""
    y, parts = frame.h + 0.015, []
    if random.random() < 0.5:
        parts += [rod((side * 0.3 * frame.w, y, -0.1), (side * 0.3 * frame.w, y, 0.4), 0.008, sides=6) for side in SIDES]
    if random.random() < 0.5:
        parts.append(rod((0, frame.hood, 0.49), (0, frame.hood, 0.55), frame.wheel, sides=18))
    return parts


def spoiler(random: Random, frame: Frame) -> list[Mesh]:
    """A wing on the tail of every second one."""
    if random.random() < 0.5:
        return []
    y = frame.hood + random.uniform(0.04, 0.1)
    posts = [
        rod((side * 0.3 * frame.w, frame.hood - 0.04, 0.45), (side * 0.3 * frame.w, y, 0.45), 0.01, sides=4) for side in SIDES
    ]
    return [slab((0, y, 0.46), (0.9 * frame.w, 0.012, 0.08)), *posts]


def fenders(random: Random, frame: Frame) -> list[Mesh]:
    """A vintage car's arched fenders, running boards and headlights."""
    radius, x, parts = frame.wheel * random.uniform(1.05, 1.25), frame.w * 0.42, []
    angle = numpy.linspace(0.2, numpy.pi - 0.2, 8)
    for side, end in CORNERS:
        y, z = frame.wheel + radius * numpy.sin(angle), 0.32 * end + radius * numpy.cos(angle)
        arch = [[(side * x - w, b, c), (side * x + w, b, c)] for b, c in zip(y, z, strict=True) for w in [0.16 * frame.w]]
        parts.append(loft(arch, closed=False))
    parts += [slab((side * x, frame.floor, 0), (0.2 * frame.w, 0.01, 0.64 - 2 * radius)) for side in SIDES]
    lights = [lathe([(0.0, 0), (0.04, 0.02), (0.0, 0.06)], points=10).turned(0, numpy.pi / 2) for _ in SIDES]
    return parts + [light.moved((side * 0.6 * x, 0.8 * frame.hood, -0.5)) for light, side in zip(lights, SIDES, strict=True)]


def cage(random: Random, frame: Frame) -> list[Mesh]:
    """A buggy's bars, seats and the engine behind."""
    u, x, radius = random.uniform, frame.w * 0.25, random.uniform(0.01, 0.02)
    front, top_front, top_rear = u(-0.3, -0.15), u(-0.12, 0), u(0.12, 0.25)
    path = [(0.8 * frame.hood, front), (frame.h, top_front), (frame.h, top_rear), (0.8 * frame.hood, 0.45)]
    bars = [tube([(side * x, y, z) for y, z in path], radius) for side in SIDES]
    bars += [rod((-x, frame.h, z), (x, frame.h, z), radius) for z in (top_front, top_rear)]
    seats = [slab((side * x / 2, frame.hood * 1.2, 0.1), (0.8 * x, 0.6 * (frame.h - frame.hood), 0.03)) for side in SIDES]
    return [*bars, *seats, slab((0, frame.hood, 0.35), (1.2 * x, 0.3 * frame.h, u(0.1, 0.2)), roundness=0.3)]


EXTRAS = {
    "vintage": fenders,
    "buggy": cage,
    "pickup": bed,
    "truck": cargo,
    "roadster": open_cabin,
    "racer": racing,
    "off-road": roof_rack,
    "coupe": spoiler,
}
