"""Rotations of space."""

from __future__ import annotations

import torch
from torch import Tensor

from m2m.messages.lie import hat


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


def about(axis: Tensor | list[float], angle: Tensor | float) -> Tensor:
    """Rotations by angles (...) in radians about axes (..., 3), counter-clockwise seen from the tip: (..., 3, 3).

    Rodrigues' formula, R = 1 + sin(t) K + (1 - cos(t)) K^2, where K v = axis x v. float64 unless a tensor says otherwise.

    Raises:
        ValueError: an axis of length 0, or not of 3 numbers.
    """
    axis = axis if isinstance(axis, Tensor) else torch.tensor(axis, dtype=torch.float64)
    angle = torch.as_tensor(angle, dtype=axis.dtype, device=axis.device)[..., None, None]
    length = torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
    if axis.shape[-1:] != (3,) or not bool((length > 0).all()):
        raise ValueError(f"axis: got shape {tuple(axis.shape)}, expected (..., 3) and no axis of length 0")
    k = hat(axis / length)
    return torch.eye(3, dtype=k.dtype, device=k.device) + angle.sin() * k + (1 - angle.cos()) * (k @ k)


def check(R: Tensor) -> None:
    """ValueError unless R is (..., 3, 3) of float32 or float64, orthogonal (so without NaN), and turns: determinant +1.

    Entries of R R^T may differ from those of the identity by 1e-4 in float32, 1e-9 in float64.
    """
    if R.ndim < 2 or R.shape[-2:] != (3, 3) or R.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"R: got shape {tuple(R.shape)} of {R.dtype}, expected (..., 3, 3) of float32 or float64")
    R = R.detach()
    error = (R @ R.mT - torch.eye(3, dtype=R.dtype, device=R.device)).abs()
    if not bool((error <= (1e-4 if R.dtype == torch.float32 else 1e-9)).all()):
        raise ValueError(f"R: R R^T differs from the identity by {error.max().item():.2g}, expected orthogonal matrices")
    if bool((torch.linalg.det(R) < 0).any()):
        raise ValueError("R: got determinant -1, a reflection; expected rotations, of determinant +1")
