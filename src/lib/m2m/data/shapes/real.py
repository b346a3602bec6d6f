"""Real furniture: what a model that has only seen generated shapes is tested on."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

FURNITURE = ("chair", "table", "lamp")
UNIT = 32767


class Furniture(NamedTuple):
    """Clouds x (B, 2048, 3) in the unit sphere, and for each its category, name, author, licence and source."""

    x: Tensor
    category: list[str]
    name: list[str]
    author: list[str]
    licence: list[str]
    source: list[str]


def furniture(category: str | None = None) -> Furniture:
    """60 chairs, 43 tables and 19 lamps that designers modelled for Sweet Home 3D, or those of one category.

    Points are drawn uniformly by area, each cloud is in its own unit sphere about the middle of its box, y is up, the front at
    -z, as for `shapes.clouds`; positions are rounded to 1/32767. Desks are tables; street lights and chandeliers are lamps.
    Authors and licences (CC0 or CC BY 3.0) are by item: name them where you show one.

    Raises:
        ValueError: an unknown category.
    """
    if category is not None and category not in FURNITURE:
        raise ValueError(f"category: got {category!r}, expected one of {', '.join(FURNITURE)}")
    with resources.as_file(resources.files("m2m.data") / "files" / "furniture.npz") as path, numpy.load(path) as data:
        rows = data["category"] == category if category else slice(None)
        x = torch.from_numpy(data["x"][rows].astype("float32") / UNIT)
        return Furniture(x, *(data[column][rows].tolist() for column in Furniture._fields[1:]))
