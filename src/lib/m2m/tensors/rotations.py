"""Rotations of space."""

from __future__ import annotations

import torch
from torch import Tensor


def random(*shape: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Rotation matrices drawn uniformly from SO(3), (*shape, 3, 3).

    A unit quaternion uniform on the 3-sphere gives a uniform rotation (Shoemake, Graphics Gems III, 1992).
    """
    q = torch.randn(*shape, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = torch.nn.functional.normalize(q, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).reshape(*shape, 3, 3).to(dtype)
