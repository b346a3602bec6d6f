"""The eight shapes made of four cubes in space, two of which are mirror images of each other.

Source: Thomas et al., Tensor field networks, https://arxiv.org/abs/1802.08219, section 5.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from m2m.messages import graph
from m2m.tensors import rotations

CUBES = {
    "left": [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 1, 0)],
    "right": [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, -1, 0)],
    "square": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)],
    "line": [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)],
    "corner": [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)],
    "L": [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0)],
    "T": [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 1)],
    "zigzag": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 1, 0)],
}
NAMES = list(CUBES)
MIRROR_PAIR = (0, 1)  # "left" and "right"


def shapes(dtype: torch.dtype = torch.float32) -> Tensor:
    """The centres of the cubes of all shapes, in the order of `NAMES`, (8, 4, 3); a cube has edges of length 1."""
    return torch.tensor([CUBES[name] for name in NAMES], dtype=dtype)


def turned(count: int, *, generator: torch.Generator | None = None, shift: float = 10.0, dtype=torch.float32) -> Tensor:
    """`count` rotated and translated copies of all shapes, (count, 8, 4, 3).

    Rotations are uniform over SO(3), translations normal with standard deviation `shift`. Shapes turn and move each by itself.

    Raises:
        ValueError: count is not a whole number from 1 on, or shift is negative.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1 or not shift >= 0:
        raise ValueError(f"count, shift: got {count}, {shift}, expected a whole number from 1 on and a distance from 0 on")
    R = rotations.random(count, 8, generator=generator, dtype=torch.float64)
    t = shift * torch.randn(count, 8, 1, 3, generator=generator, dtype=torch.float64)
    return (shapes(torch.float64) @ R.mT + t).to(dtype)


def edges(count: int) -> Tensor:
    """All pairs of cubes of the same shape for `count` shapes as one graph of 4 count nodes, (2, 12 count)."""
    return graph.complete(graph.of_sizes([4] * count))
