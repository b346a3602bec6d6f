"""Fifteen classes of objects around a house, those of ScanObjectNN, drawn at random: `mesh(name, draw)` gives triangles.

Each stands on the floor z = 0 with its middle near the z-axis and its front towards +y, in metres. Proportions, parts and styles
vary; the functions below are the classes. The names and their order are ScanObjectNN's (https://arxiv.org/abs/1908.04616).
"""

from __future__ import annotations

import numpy
from numpy import ndarray
from numpy.random import Generator

from m2m.data.solids import box, loft, outline, path, rod, slab, turned

BOTH = (-1, 1)


def mesh(name: str, draw: Generator) -> ndarray:
    """Triangles (T, 3, 3), in metres, of a new object of a class of `NAMES`.

    Raises:
        ValueError: an unknown name.
    """
    if name not in MAKERS:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(NAMES)}")
    return numpy.concatenate(MAKERS[name](draw))


# --- Parts ----------------------------------------------------------------------------------------------------------------


def legs(u, width: float, depth: float, height: float) -> list[ndarray]:
    """Four legs, straight or splayed, with rungs now and then."""
    r, out, x, y = u(0.015, 0.035), u(-0.15, 0.15), width / 2 - 0.05, depth / 2 - 0.05
    out = max(out, 0.0) * height
    made = [rod((s * x, t * y, height), (s * (x + out), t * (y + out), 0), r, u(0.5, 1)) for s in BOTH for t in BOTH]
    if u() < 0.3:
        z = height * u(0.2, 0.6)
        made += [rod((s * x, -y, z), (s * x, y, z), 0.7 * r) for s in BOTH]
    return made


def foot(u, height: float, radius: float) -> list[ndarray]:
    """One leg in the middle: a turned column, or a star."""
    if u() < 0.5:
        r = u(0.02, 0.06)
        return [turned([(0, 0), (radius, 0), (0.8 * radius, 0.03), (r, 0.08), (r, height)])]
    start, count = u(0, 6.3), int(u(3, 6))
    turn = start + 2 * numpy.pi * numpy.arange(count) / count
    arms = [rod((0, 0, 0.08), (radius * numpy.cos(t), radius * numpy.sin(t), 0.02), 0.025) for t in turn]
    return arms + [rod((0, 0, 0.05), (0, 0, height), u(0.02, 0.04))]


def panels(width: float, depth: float, height: float, thick: float) -> list[ndarray]:
    """Two sides that stand on the floor."""
    return [box((s * (width - thick) / 2, 0, height / 2), (thick, depth, height)) for s in BOTH]


# --- Classes --------------------------------------------------------------------------------------------------------------


def bag(g):
    """A bag: a tapering body with two bows to carry it: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h = u(0.3, 0.5), u(0.12, 0.28), u(0.3, 0.5)
    ring = outline(u(0.2, 0.7)) / 2 * (w, d)
    levels = ((0, 0.85, 0.8), (0.1, 1, 1), (0.6, 0.98, 0.9), (1, 0.85, u(0.2, 0.6)))
    body = loft([numpy.hstack([ring * (s, t), numpy.full((12, 1), z * h)]) for z, s, t in levels])
    turn, rise = numpy.linspace(0, numpy.pi, 7), u(0.08, 0.3)
    bow = numpy.stack([0.3 * w * numpy.cos(turn), 0 * turn, h + rise * numpy.sin(turn)], 1)
    return [body, *(path(bow + (0, s * 0.2 * d, 0), 0.015) for s in BOTH)]


def bin_(g):
    """A round or square bin, some with a lid: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    r, h, square = u(0.12, 0.24), u(0.3, 0.65), g.choice([0.0, 0.9])
    low = r * u(0.7, 1)
    made = [turned([(0, 0), (low, 0), (r, h), (0.94 * r, h), (0.8 * low, 0.03), (0, 0.03)], square=square)]
    return made + ([turned([(1.05 * r, h), (0.9 * r, h + 0.07), (0, h + 0.11)], square=square)] if u() < 0.4 else [])


def box_(g):
    """A carton, shut, or open with two flaps: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h, t = u(0.2, 0.6), u(0.2, 0.5), u(0.12, 0.5), 0.008
    made = [box((0, 0, t), (w, d, t)), *panels(w, d, h, t), *(box((0, s * d / 2, h / 2), (w, t, h)) for s in BOTH)]
    if u() < 0.5:
        return [*made, box((0, 0, h), (w, d, t))]
    return made + [box((s * (w / 2 + 0.06), 0, h + u(-0.06, 0.06)), (0.13, d, t)) for s in BOTH]


def cabinet(g):
    """A cabinet with rows and columns of doors, each with a handle: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h, n, m = u(0.4, 1.3), u(0.3, 0.6), u(0.5, 2.0), int(u(1, 4)), int(u(1, 4))
    made, (a, b) = [box((0, 0, h / 2), (w, d, h))], (w / n, h / m)
    for i in range(n):
        for j in range(m):
            x, z = (i + 0.5) * a - w / 2, (j + 0.5) * b
            made += [box((x, d / 2 + 0.01, z), (0.92 * a, 0.02, 0.92 * b)), box((x, d / 2 + 0.03, z), (0.2 * a, 0.03, 0.02))]
    return made


def chair(g):
    """A chair with a back of one of three styles, some with arms: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h, thick, lean = u(0.36, 0.6), u(0.36, 0.56), u(0.36, 0.52), u(0.02, 0.1), u(0, 0.25)
    made, rise, square = [slab((0, 0, h), (w, d, thick), u(0.2, 1))], u(0.3, 0.7), u() < 0.6
    made += legs(u, w, d, h) if square else foot(u, h, u(0.2, 0.3)) if u() < 0.6 else [box((0, 0, h / 2), (w, d, h))]
    back = lambda z, x=0.0: numpy.array([x, -d / 2 + 0.02 - lean * z, h + z])
    style = u()
    if style < 0.5:  # one panel
        ring = numpy.array([(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)]) * (
            u(0.8, 1) * w,
            u(0.02, 0.08),
            1,
        )
        made.append(loft([back(0 if u() < 0.7 else 0.3 * rise) + ring, back(rise) + ring * (u(0.7, 1.1), 1, 1)]))
    else:  # two posts with slats across, or with a frame and bars
        made += [rod(back(0, s * 0.45 * w), back(rise, s * 0.45 * w), u(0.012, 0.025)) for s in BOTH]
        across = numpy.linspace(0.3, 0.97, int(u(2, 5))) if style < 0.8 else (0.97,)
        made += [rod(back(f * rise, -0.45 * w), back(f * rise, 0.45 * w), 0.03) for f in across]
        bars = numpy.linspace(-0.36, 0.36, int(u(3, 6))) if style >= 0.8 else ()
        made += [rod(back(0, f * w), back(0.95 * rise, f * w), 0.012, sides=4) for f in bars]
    if u() < 0.4:  # arms
        z = u(0.15, 0.26)
        made += [box((s * w / 2, 0, h + z), (0.06, 0.9 * d, 0.03)) for s in BOTH]
        made += [rod((s * w / 2, 0.35 * d, h), (s * w / 2, 0.35 * d, h + z), 0.015) for s in BOTH]
    return made


def desk(g):
    """A desk with a block of drawers at one side: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h = u(1.0, 1.7), u(0.5, 0.8), u(0.68, 0.78)
    made, side, drawers = [box((0, 0, h), (w, d, u(0.02, 0.06)))], g.choice(BOTH), u(0.15, 0.85) * h
    made += legs(u, w, d, h) if u() < 0.5 else panels(w, 0.9 * d, h, u(0.02, 0.08))
    if u() < 0.5:
        made.append(box((0, -0.4 * d, 0.7 * h), (0.95 * w, 0.02, u(0.2, 0.55) * h)))
    x, wide = side * 0.33 * w, u(0.2, 0.32) * w
    made.append(box((x, 0, h - drawers / 2), (wide, 0.85 * d, drawers)))
    return made + [box((x, 0.44 * d, h - drawers * f), (0.4 * wide, 0.03, 0.02)) for f in (0.25, 0.75)]


def display(g):
    """A screen on a stand: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, z = u(0.4, 1.2), u(0.06, 0.18)
    h = w * u(0.5, 0.65)
    stand = slab((0, 0, 0.01), (w * u(0.3, 0.5), 0.22, 0.02), u())
    return [box((0, 0, z + h / 2), (w, u(0.02, 0.08), h)), rod((0, -0.03, 0), (0, -0.03, z + 0.1), 0.025), stand]


def door(g):
    """A door in its frame, with a handle: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, h = u(0.7, 1.0), u(1.9, 2.2)
    made = [
        box((0, 0, h / 2), (w, 0.04, h)),
        box((0.4 * w, 0.05, 1.0), (0.1, 0.04, 0.03)),
        box((0, 0, h + 0.03), (w + 0.15, 0.1, 0.07)),
    ]
    made += [box((s * (w / 2 + 0.04), 0, h / 2), (0.07, 0.1, h)) for s in BOTH]
    return made + ([box((0, 0.025, f * h), (0.7 * w, 0.02, 0.35 * h)) for f in (0.28, 0.72)] if u() < 0.6 else [])


def shelf(g):
    """A shelf with three to six boards and things on them: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h = u(0.5, 1.4), u(0.22, 0.4), u(0.7, 2.0)
    levels = numpy.linspace(0.05, h, int(u(3, 7)))
    made = panels(w, d, h, 0.025) + [box((0, 0, z), (w, d, 0.025)) for z in levels]
    if u() < 0.5:
        made.append(box((0, -d / 2, h / 2), (w, 0.01, h)))
    return made + [box((u(-0.35, 0.35) * w, 0, z + 0.1), (u(0.03, 0.3), 0.6 * d, 0.18)) for z in levels[:-1] if u() < 0.6]


def table(g):
    """A table, from round to square, on legs, a foot or panels: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, h, square = u(0.5, 1.7), u(0.45, 0.95), u(0.3, 0.8), g.choice([0.0, 0.5, 0.95, 0.95])
    made, inner = [slab((0, 0, h), (w, d, u(0.02, 0.07)), square)], 0.72 if square < 0.4 else 1.0
    style = u()
    if style < 0.55:
        made += legs(u, w * inner, d * inner, h)
    elif style < 0.8:
        made += foot(u, h, u(0.3, 0.4) * min(w, d))
    else:
        made += [part * (0.8, 1, 1) for part in panels(w * inner, 0.9 * d * inner, h, u(0.03, 0.12))]
    if u() < 0.25:
        made.append(slab((0, 0, h * u(0.15, 0.5)), (0.8 * w * inner, 0.8 * d * inner, 0.025), square))
    return made


def bed(g):
    """A bed with a headboard and one or two pillows: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, z, n = u(0.9, 1.8), u(0.2, 0.4), 2.0
    made = [box((0, 0, z), (w, n, 0.12)), box((0, 0, z + 0.16), (0.97 * w, 0.97 * n, 0.2)), *legs(u, w, n, z)]
    made.append(box((0, -n / 2, z + u(0.25, 0.45)), (w, 0.06, u(0.4, 0.9))))
    places, wide = ((-0.24, 0.24), 0.4) if w > 1.2 else ((0.0,), 0.7)
    return made + [slab((f * w, -0.4 * n, z + 0.32), (wide * w, 0.35, 0.12), 0.6, top=0.6) for f in places]


def pillow(g):
    """A pillow, lying or tilted: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    w, d, t, tilt = u(0.35, 0.7), u(0.3, 0.5), u(0.1, 0.22), u(0, 1.2)
    ring, levels = outline(0.6) / 2 * (w, d), numpy.linspace(-1, 1, 7)
    rings = [numpy.hstack([ring * (1 - 0.8 * abs(f) ** 3), numpy.full((12, 1), f * t / 2)]) for f in levels]
    c, s = numpy.cos(tilt), numpy.sin(tilt)
    body = loft(rings) @ numpy.array([(1, 0, 0), (0, c, -s), (0, s, c)])
    return [body - (0, 0, body[..., 2].min())]


def sink(g):
    """A basin with a tap, on a column or a block: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    r, deep, z = u(0.18, 0.3), u(0.1, 0.2), 0.8
    profile = [
        (0, z),
        (0.5 * r, z),
        (0.92 * r, z + deep),
        (1.05 * r, z + deep),
        (1.05 * r, z + deep - 0.03),
        (0.6 * r, z - 0.04),
        (0, z - 0.05),
    ]
    top = z + deep
    tap = path([(0, -r, top), (0, -r, top + 0.18), (0, -0.6 * r, top + 0.2), (0, -0.5 * r, top + 0.15)], 0.015)
    under = turned([(0.09, 0), (0.07, 0.4), (0.1, z)]) if u() < 0.5 else box((0, 0, z / 2), (2.6 * r, 2.1 * r, z))
    return [turned(profile, square=g.choice([0.0, 0.5, 0.9]), stretch=(u(1, 1.4), 1)), tap, under]


def sofa(g):
    """A sofa with one to three seats: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    n, d, h, a = int(u(1, 4)), u(0.7, 0.95), u(0.25, 0.32), u(0.1, 0.25)
    w = n * u(0.55, 0.7)
    made = [box((0, 0, h / 2 + 0.06), (w, d, h)), box((0, 0.1 - d / 2, h + u(0.2, 0.32)), (w, 0.2, u(0.4, 0.65)), (1, 0.7))]
    made += [box((s * (w + a) / 2, 0, 0.8 * h + 0.06), (a, d, 1.6 * h + u(0, 0.15))) for s in BOTH] + legs(u, w, d, 0.07)
    return made + [
        slab(((i + 0.5) / n * w - w / 2, 0.05, h + 0.13), (0.95 * w / n, 0.75 * d, 0.14), 0.7, top=0.93) for i in range(n)
    ]


def toilet(g):
    """A toilet: bowl, tank, and the lid down or up: a list of triangles (T, 3, 3) in metres."""
    u = g.uniform
    r, ring = u(0.16, 0.2), outline(0.1)
    levels = ((0, 0.65), (0.2, 0.6), (0.36, 1), (0.4, 1.05), (0.4, 0.8), (0.25, 0.3), (0.25, 0))
    bowl = [numpy.hstack([ring * (s * r, 1.3 * s * r) + (0, 0.1 * s), numpy.full((12, 1), z)]) for z, s in levels]
    tank = box((0, -0.22, 0.56), (u(0.34, 0.45), u(0.14, 0.2), u(0.28, 0.42)))
    lid = ((0, 0.1, 0.42), (2.1 * r, 2.7 * r, 0.03)) if u() < 0.5 else ((0, -0.1, 0.62), (2.1 * r, 0.03, 2.5 * r))
    return [loft(bowl, caps=False), tank, box(*lid)]


MAKERS = {
    "bag": bag, "bin": bin_, "box": box_, "cabinet": cabinet, "chair": chair, "desk": desk, "display": display, "door": door,
    "shelf": shelf, "table": table, "bed": bed, "pillow": pillow, "sink": sink, "sofa": sofa, "toilet": toilet,
}  # fmt: skip
NAMES = tuple(MAKERS)
