"""Point clouds of chairs, tables, airplanes, lamps and cars, generated: as many as wanted, with known splits, and no licence.

A shape is fixed by (category, split, seed, number), so shape 7 of the test set is the same however many are asked for, and no
shape is in two splits. `clouds` draws points from their surfaces; `draw` tells one drawing of the same shapes from another.
y is up and the front looks to -z, as in ShapeNetCore.v2. `furniture` has real chairs, tables and lamps to test on.

How wide the categories are: the mean Chamfer distance from 40 test shapes to the nearest of 200 training shapes, over that to
another draw of itself, at 2,048 points, is 7.2 for chairs, 5.1 for tables, 5.8 for airplanes, 10.5 for lamps, 2.2 for cars.
"""

from __future__ import annotations

import numpy
import torch
from torch import Tensor

from m2m import arguments
from m2m.data import cloud_scaling, meshes
from m2m.data.meshes import Mesh
from m2m.data.shapes.airplanes import airplane
from m2m.data.shapes.cars import car
from m2m.data.shapes.chairs import chair
from m2m.data.shapes.lamps import lamp
from m2m.data.shapes.real import Furniture, furniture
from m2m.data.shapes.tables import table

__all__ = ["CATEGORIES", "POINTS", "SPLITS", "Furniture", "clouds", "furniture", "mesh"]
CATEGORIES = {"chair": chair, "table": table, "airplane": airplane, "lamp": lamp, "car": car}
SPLITS = ("train", "validation", "test")
POINTS = 2048


def mesh(category: str, number: int = 0, *, split: str = "train", seed: int = 0) -> Mesh:
    """Shape `number` of a split, as a mesh.

    Raises:
        ValueError: an unknown category or split, a negative number or seed.
    """
    return CATEGORIES[category](numpy.random.default_rng([*_key(category, split, number=number, seed=seed), 0]))


def clouds(
    category: str,
    count: int,
    *,
    split: str = "train",
    points: int = POINTS,
    first: int = 0,
    seed: int = 0,
    draw: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Points drawn uniformly by area from `count` shapes, (count, points, 3), each shape in its own unit sphere.

    Args:
        category: "chair", "table", "airplane", "lamp" or "car".
        split: "train", "validation" or "test".
        first: the number of the first shape.
        seed: another seed gives other shapes.
        draw: another draw gives other points of the same shapes: two draws differ by the sampling alone.

    Raises:
        ValueError: an unknown category or split, a count or points below 1, a negative number.
    """
    arguments.whole(count=count, points=points)
    drawn = numpy.empty((count, points, 3))
    for row in range(count):
        random = numpy.random.default_rng([*_key(category, split, number=first + row, seed=seed, draw=draw), 1])
        drawn[row] = meshes.sample(mesh(category, first + row, split=split, seed=seed), points, random)
    return cloud_scaling.unit_sphere(torch.from_numpy(drawn)).to(dtype)


def _key(category: str, split: str, **numbers: int) -> list[int]:
    """What the random numbers of a shape start from."""
    for name, value, known in (("category", category, tuple(CATEGORIES)), ("split", split, SPLITS)):
        if value not in known:
            raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    arguments.whole(0, **numbers)
    return [list(CATEGORIES).index(category), SPLITS.index(split), *numbers.values()]
