"""Where the origin of a point cloud is and how long its unit: the normalisations that papers on point clouds use.

A distance between clouds means nothing without it: Chamfer's squares grow with the square of the scale.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Scaling(NamedTuple):
    """y = (x - shift) / scale, with shapes that broadcast against clouds (B, N, 3)."""

    shift: Tensor
    scale: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """x to y."""
        return (x - self.shift) / self.scale

    def undo(self, y: Tensor) -> Tensor:
        """y to x."""
        return y * self.scale + self.shift


def unit_sphere(x: Tensor, *, centre: str = "box") -> Tensor:
    """Each cloud of (..., N, 3) about its own centre, with its farthest point at distance 1.

    Args:
        centre: "box", the middle of the axis-aligned box, which does not depend on how dense points are; or "mean".

    Raises:
        ValueError: as `check`; an unknown centre; a cloud whose points are all the same, which has no scale.
    """
    check(x)
    if centre not in ("box", "mean"):
        raise ValueError(f"centre: got {centre!r}, expected 'box' or 'mean'")
    middle = (x.amin(-2, keepdim=True) + x.amax(-2, keepdim=True)) / 2 if centre == "box" else x.mean(-2, keepdim=True)
    radius = (x - middle).norm(dim=-1, keepdim=True).amax(-2, keepdim=True)
    return Scaling(middle, _positive(radius)).apply(x)


def standardisation(x: Tensor, *, per_cloud: bool = False, per_axis: bool = False) -> Scaling:
    """The mean and the standard deviation of clouds (B, N, 3), as PointFlow's code takes them for ShapeNetCore.v2.PC15k.

    By default one mean (3,) and one deviation over the whole set: found on the training clouds and applied to all others, it
    keeps large shapes large. The single deviation is that of all coordinates in one heap, x, y and z together, about their
    common mean; n in its denominator, not n - 1.

    Args:
        per_cloud: mean and deviation of each cloud by itself.
        per_axis: a deviation for each axis, which changes proportions.

    Raises:
        ValueError: as `check`; clouds whose points are all the same, which have no scale.
    """
    check(x)
    if x.ndim != 3:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (B, N, 3)")
    rows = (1,) if per_cloud else (0, 1)
    shift = x.mean(rows, keepdim=True)
    scale = x.std(rows if per_axis else (*rows, 2), correction=0, keepdim=True)
    return Scaling(shift, _positive(scale))


def check(x: Tensor) -> None:
    """Refuse what is not a batch of clouds.

    Raises:
        ValueError: a shape other than (..., N, 3) with N and all else at least 1, whole numbers, NaN or infinity.
    """
    if x.ndim < 2 or x.shape[-1] != 3 or not x.numel():
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (..., N, 3) with at least one cloud and one point")
    if not x.is_floating_point() or not x.isfinite().all():
        raise ValueError(f"x: got {x.dtype} with NaN, infinity or whole numbers, expected finite floating-point numbers")


def _positive(scale: Tensor) -> Tensor:
    if not (scale > 0).all():
        raise ValueError("x: got a cloud whose points are all the same, expected one with some extent")
    return scale
