"""Scans of objects as a depth camera takes them in a room: one view, with noise, cropped by a box that does not fit.

Simulated after the protocol of ScanObjectNN (https://arxiv.org/abs/1908.04616), whose 15 classes these are: the camera stands
roughly in front of the object and sees one side of it; floor, wall and a neighbour come into the picture; what lies in a
shifted and enlarged box is kept. Clouds are centred and scaled, so size says nothing. **Gravity is -z**, and the objects look
towards +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import torch
from numpy import ndarray
from numpy.random import Generator
from torch import Tensor

from m2m import arguments
from m2m.data import cloud_scaling, furniture, solids

NAMES = furniture.NAMES
RAYS = 4  # as many for each point that is wanted
LEAST = 0.25  # share of the points that are the object's


@dataclass
class Scans:
    """Clouds of the same size; `[rows]` gives some of them.

    x: (n, points, 3) float32, mean 0, largest norm 1; y: class of each (n,), a place in `NAMES`; mask: (n, points) of bool,
    true on the object and false on what stood around it.
    """

    x: Tensor
    y: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Scans:
        return Scans(self.x[rows], self.y[rows], self.mask[rows])

    def to(self, device: torch.device | str) -> Scans:
        return Scans(*(value.to(device) for value in vars(self).values()))

    def first(self, points: int) -> Scans:
        """The first points of each cloud, which are in random order, centred and scaled anew."""
        if not 1 <= points <= self.x.shape[1]:
            raise ValueError(f"points: got {points}, expected 1 to {self.x.shape[1]}, the points there are")
        x = cloud_scaling.unit_sphere(self.x[:, :points], centre="mean")
        return Scans(x, self.y, self.mask[:, :points])


def make(number: int, points: int = 128, *, seed: int = 0, **options) -> Scans:
    """Scans of the 15 classes in turn; scan i depends on the seed and i only, not on how many are asked for.

    Args:
        number, points: how many scans, and points in each.
        options: of `scan`.

    Raises:
        ValueError: number or points below 1.

    >>> make(30).x.shape
    torch.Size([30, 128, 3])
    """
    arguments.whole(number=number, points=points)
    classes = numpy.arange(number) % len(NAMES)
    made = [scan(NAMES[c], numpy.random.default_rng((seed, i)), points, **options) for i, c in enumerate(classes)]
    x, mask = (torch.from_numpy(numpy.stack(part)) for part in zip(*made, strict=True))
    return Scans(x.float(), torch.from_numpy(classes), mask)


def scan(
    name: str,
    draw: Generator,
    points: int = 128,
    *,
    noise: float = 0.015,
    margin: float = 0.12,
    shift: float = 0.8,
    wall: float = 0.7,
    warp: float = 0.1,
) -> tuple[ndarray, ndarray]:
    """One scan of a new object of a class: points (points, 3), and which are the object's (points,).

    Args:
        noise: standard deviation of the noise of each coordinate, as a share of the object's largest edge.
        margin: how far the box reaches beyond the object, in the same unit.
        shift: how far the box may be moved sideways, as a share of the object's width and depth, half of it to each side.
        wall: probability of a wall behind.
        warp: spread of the factors by which width, depth and height are changed.
    """
    object_ = furniture.mesh(name, draw) * (1 + warp * draw.normal(size=3)).clip(0.7, 1.3)
    low, high = object_.min((0, 1)), object_.max((0, 1))
    size = (high - low).max()
    around = surroundings(low, high, size, draw, wall)
    while True:
        moved = shift * draw.uniform(-0.5, 0.5, 3) * (high - low) * (1, 1, 0)
        corners = low + moved - margin * size, high + moved + margin * size
        x, mask = view(object_, around, corners, size, RAYS * points, draw)
        x = x + noise * size * draw.normal(size=x.shape)
        kept = ((x > corners[0]) & (x < corners[1])).all(1)
        if kept.sum() >= points:
            chosen = draw.choice(numpy.flatnonzero(kept), points, replace=False)
            if mask[chosen].mean() > LEAST:
                return normalised(x[chosen]), mask[chosen]


def surroundings(low: ndarray, high: ndarray, size: float, draw: Generator, wall: float) -> ndarray:
    """The floor, and perhaps a wall behind and a box beside the object, which is from `low` to `high`: (T, 3, 3)."""
    made = [solids.box((0, 0, -0.01), (9 * size, 9 * size, 0.02))]
    if draw.random() < wall:
        made.append(solids.box((0, low[1] - draw.uniform(0.05, 0.2) * size, 0), (9 * size, 0.02, 9 * size)))
    if draw.random() < 0.5:
        left, gap = draw.random() < 0.5, draw.uniform(0.3, 0.6) * size
        x = low[0] - gap if left else high[0] + gap
        made.append(solids.box((x, draw.uniform(-0.3, 0.3) * size, 0.3 * size), (0.4 * size, 0.4 * size, 0.6 * size)))
    return numpy.concatenate(made)


def view(
    object_: ndarray, around: ndarray, corners: tuple[ndarray, ndarray], size: float, rays: int, draw: Generator
) -> tuple[ndarray, ndarray]:
    """What a camera in front sees along rays to random places in a box: the points met (R, 3), and which are the object's."""
    turn, rise, far = 0.7 * draw.normal(), draw.uniform(0.1, 0.6), draw.uniform(1.6, 2.6) * size
    towards = numpy.array([numpy.sin(turn) * numpy.cos(rise), numpy.cos(turn) * numpy.cos(rise), numpy.sin(rise)])
    eye = (corners[0] + corners[1]) / 2 + far * towards
    directions = draw.uniform(*corners, (rays, 3)) - eye
    distance, met = solids.seen(numpy.concatenate([object_, around]), eye, directions)
    hit = met >= 0
    return eye + distance[hit, None] * directions[hit], met[hit] < len(object_)


def normalised(x: ndarray) -> ndarray:
    """Points (n, 3) with their mean at the origin and the farthest at distance 1."""
    x = x - x.mean(0)
    return x / numpy.linalg.norm(x, axis=1).max()
