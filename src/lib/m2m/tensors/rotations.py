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


def check(R: Tensor) -> None:
    """ValueError unless R is (..., 3, 3), floating, finite, orthogonal and of determinant +1."""
    if R.ndim < 2 or R.shape[-2:] != (3, 3) or R.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"R must be (..., 3, 3) of float32 or float64, got {tuple(R.shape)} of {R.dtype}")
    tolerance = 1e-4 if R.dtype == torch.float32 else 1e-9
    error = (R.detach().mT @ R.detach() - torch.eye(3, dtype=R.dtype, device=R.device)).abs()
    if not bool((error <= tolerance).all()):
        raise ValueError("R must be orthogonal")
    if bool((torch.linalg.det(R.detach()) < 0).any()):
        raise ValueError("R must have determinant +1, got a reflection")
