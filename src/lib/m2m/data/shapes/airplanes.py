"""Airplanes at random: airliners, propeller planes, fighters, gliders, deltas. The fuselage is 1 long, its nose at -z."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy import ndarray

from m2m.data.meshes import Mesh, join, lathe, loft, outline, rod, slab
from m2m.data.shapes.supports import Random, pick


class Plan(NamedTuple):
    """Ranges of half the span, root chord, taper, sweep (backwards by outwards) and radius, in fuselage lengths."""

    span: tuple[float, float]
    chord: tuple[float, float]
    taper: tuple[float, float]
    sweep: tuple[float, float]
    radius: tuple[float, float]


PLANS = {
    "airliner": Plan((0.35, 0.62), (0.12, 0.28), (0.2, 0.6), (0.2, 0.8), (0.035, 0.085)),
    "propeller": Plan((0.4, 0.75), (0.12, 0.24), (0.5, 1.0), (-0.05, 0.12), (0.05, 0.1)),
    "fighter": Plan((0.2, 0.42), (0.2, 0.5), (0.1, 0.6), (0.2, 1.1), (0.03, 0.06)),
    "glider": Plan((0.7, 1.2), (0.07, 0.12), (0.4, 0.8), (-0.02, 0.06), (0.03, 0.05)),
    "delta": Plan((0.22, 0.5), (0.5, 0.8), (0.03, 0.3), (0.9, 1.4), (0.03, 0.06)),
    "wing only": Plan((0.5, 0.95), (0.4, 0.7), (0.1, 0.4), (0.4, 0.8), (0.05, 0.08)),
}
WEIGHTS = {"airliner": 4, "propeller": 2.2, "fighter": 2, "glider": 0.7, "delta": 0.9, "wing only": 0.5}


class Wing(NamedTuple):
    """A wing to the right: its root's leading edge, span, chords at root and tip, how far the tip lies behind and above."""

    root: tuple[float, float, float]
    span: float
    chord: float
    tip: float
    back: float
    rise: float

    def at(self, fraction: float, along: float = 0.0) -> ndarray:
        """A point of the wing: `fraction` of the span outwards, `along` the chord from the leading edge."""
        chord = self.chord + (self.tip - self.chord) * fraction
        return self.root + numpy.array([self.span, self.rise, self.back]) * fraction + [0, 0, along * chord]

    def mesh(self, thick: float = 0.12, below: float = 0.5) -> Mesh:
        """Its skin: round in front, sharp behind, `below` times as thick below as above."""
        t = numpy.linspace(0, 1, 9)
        upper = 2 * thick * numpy.sqrt(t) * (1 - t)
        t, y = numpy.concatenate([t, t[-2:0:-1]]), numpy.concatenate([upper, -below * upper[-2:0:-1]])
        profile = numpy.stack([numpy.zeros_like(t), y, t], 1)
        return loft([self.at(0) + self.chord * profile, self.at(1) + self.tip * profile])


def both(part: Mesh) -> list[Mesh]:
    """A part and its mirror image."""
    return [part, part.mirrored()]


def airplane(random: Random) -> Mesh:
    """Fuselage, wings, tail and engines of one of the `PLANS`."""
    u, kind = random.uniform, pick(random, WEIGHTS)
    plan = PLANS[kind]
    span, chord, radius = u(*plan.span), u(*plan.chord), u(*plan.radius)
    middle = u(-0.2, 0.1) if chord < 0.4 else u(0, 0.1)  # of the root chord, from the middle of the fuselage
    root = (0.0, radius * u(-0.8, 0.9), middle - chord / 2)
    wing = Wing(root, span, chord, chord * u(*plan.taper), span * u(*plan.sweep), span * u(-0.06, 0.14))
    parts = both(wing.mesh())
    if kind == "wing only":
        return join([*parts, *fuselage(random, radius, length=chord), *engines(random, wing, radius, jets=True)])
    if kind == "propeller" and random.random() < 0.35:
        parts += second_wing(random, wing, radius)
    if kind == "fighter":
        parts += fighter_parts(random, wing, radius)
    parts += fuselage(random, radius) + tail(random, kind, radius)
    if kind in ("airliner", "propeller"):
        parts += engines(random, wing, radius, jets=kind == "airliner")
    return join(parts)


def fuselage(random: Random, radius: float, length: float = 1.0) -> list[Mesh]:
    """A round body that narrows over a nose and over a longer tail, which may rise."""
    u = random.uniform
    nose, tail, rise = u(0.06, 0.35), u(0.2, 0.55), u(0, 0.9) * radius
    blunt, slender = u(0.4, 0.9), u(0.5, 1.1)
    t = numpy.array([0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1])
    size = radius * (0.04 + numpy.minimum(1, numpy.minimum((t / nose) ** blunt, ((1 - t) / tail) ** slender)))
    centre = rise * numpy.clip((t - 1 + tail) / tail, 0, 1) ** 2
    rim, high = outline(u(0.8, 1), 16), u(0.8, 1.25)
    ring = lambda t, size, centre: numpy.stack([size * rim[:, 0], high * size * rim[:, 1] + centre, 0 * rim[:, 0] + t], 1)
    return [loft([ring(length * (a - 0.5), b, c) for a, b, c in zip(t, size, centre)])]


def second_wing(random: Random, wing: Wing, radius: float) -> list[Mesh]:
    """The upper wing of a biplane and the struts to it."""
    x, y, z = wing.root
    upper = wing._replace(root=(x, y + radius * random.uniform(2, 3.2), z - random.uniform(0, 0.05)))
    return both(upper.mesh()) + both(rod(wing.at(0.6, 0.5), upper.at(0.6, 0.5), 0.006, sides=6))


def tail(random: Random, kind: str, radius: float) -> list[Mesh]:
    """Fins and tailplanes: one fin with planes below or on top, two fins, a V, or a fin alone on a delta."""
    u = random.uniform
    style = "fin" if kind == "delta" else pick(random, {"low": 6, "T": 2, "twin": 1.6, "V": 0.8})
    z, high, span, chord, lean = 0.5 - u(0.14, 0.24), u(0.1, 0.24), u(0.1, 0.26), u(0.07, 0.14), u(0.2, 1)
    upright = lambda plane, cant, x=0.0: plane.mesh(0.06, below=1).turned(2, numpy.pi / 2 - cant).moved((x, radius * 0.5, 0))
    fin = Wing((0, 0, z), high, chord * u(1.1, 1.8), chord * u(0.5, 0.9), high * lean, 0)
    plane = Wing((0, radius * 0.4, z), span, chord, chord * u(0.4, 0.9), span * lean * 0.8, span * u(-0.05, 0.15))
    if style == "fin":
        return [upright(fin, 0)]
    if style == "V":
        return both(upright(fin, u(0.5, 1)))
    if style == "twin":
        return both(plane.mesh(0.08)) + both(upright(fin, u(0, 0.3), x=span * 0.8 if random.random() < 0.5 else radius))
    if style == "T":
        plane = plane._replace(root=(0, high + radius * 0.4, fin.at(0.9)[2]))
    return both(plane.mesh(0.08)) + [upright(fin, 0)]


def engines(random: Random, wing: Wing, radius: float, *, jets: bool) -> list[Mesh]:
    """Two or four nacelles at the wings, two at the tail, or one propeller at the nose."""
    u, size, long = random.uniform, random.uniform(0.018, 0.04), random.uniform(0.08, 0.17)
    place = pick(random, {"wings": 6, "tail": 2} if jets else {"wings": 1, "nose": 1})
    if place == "nose":
        return propeller(random, numpy.array([0.0, 0, -0.51]))
    profile = [(0.8 * size, 0), (size, 0.3 * long), (0.9 * size, 0.7 * long), (0.5 * size, long), (0.0, long)]
    nacelle = lathe(profile, points=12).turned(0, numpy.pi / 2)
    if place == "tail":
        return both(nacelle.moved((radius + size, radius * 0.4, u(0.15, 0.3))))
    parts = []
    for fraction in pick(random, {(u(0.25, 0.4),): 2, (0.28, 0.58): 1}):
        at = wing.at(fraction) + ([0, -1.3 * size, -0.5 * long] if jets else [0, 0, -0.3 * long])
        parts += both(nacelle.moved(at))
        if jets:
            parts += both(slab(at + [0, size, 0.5 * long], (0.008, 1.2 * size, 0.6 * long)))
        else:
            parts += [half for blade in propeller(random, at) for half in both(blade)]
    return parts


def propeller(random: Random, hub: ndarray) -> list[Mesh]:
    """2 to 4 blades around the hub (3,)."""
    number, turn, reach = int(random.integers(2, 5)), random.uniform(0, 6.28), random.uniform(0.07, 0.13)
    tips = [(numpy.cos(a), numpy.sin(a), 0) for a in turn + 2 * numpy.pi * numpy.arange(number) / number]
    return [rod(hub, hub + reach * numpy.array(tip), 0.01, 0.006, sides=4) for tip in tips]


def fighter_parts(random: Random, wing: Wing, radius: float) -> list[Mesh]:
    """A canopy, and often intakes at the sides or missiles at the wing tips."""
    u = random.uniform
    t = numpy.linspace(0, numpy.pi, 9)
    canopy = lathe(numpy.stack([0.6 * radius * numpy.sin(t), 0.13 * (1 - numpy.cos(t))], 1), points=12).turned(0, numpy.pi / 2)
    parts = [canopy.moved((0, 0.8 * radius, u(-0.35, -0.2)))]
    if random.random() < 0.5:
        parts += both(slab((1.2 * radius, -0.2 * radius, 0.1), (radius, 1.2 * radius, u(0.3, 0.7)), roundness=0.3))
    if random.random() < 0.4:
        parts += both(rod(wing.at(1, -0.3), wing.at(1, 1.3), 0.01, sides=6))
    return parts
