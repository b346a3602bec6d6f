"""Checks that a chapter and the tests share. Each returns a number: near zero for a right model, large for a broken one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from m2m.tensors import rotations


def claim(name: str, statement: str, *, value, holds: bool, live: bool = True, literature: str | None = None) -> None:
    """Settle a claim of the book: print it on one line, and raise when it does not hold.

    Args:
        name: chapter.claim, such as "two_moons.gap".
        statement: what is claimed, as one sentence with its bound.
        value: what was measured; a number or a short text.
        holds: whether the measurement supports the statement.
        live: measured by this cell; False when it was read from a results file.
        literature: where a published statement differs or agrees, the verdict on it.

    Raises:
        AssertionError: the claim does not hold.
    """
    value = value.item() if hasattr(value, "item") else value
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    for what, text in {"name": name, "statement": statement, "value": shown, "literature": literature or "none"}.items():
        if "|" in text or "\n" in text or not text.strip() or (what == "name" and " " in text):
            raise ValueError(f"claim: got {what}={text!r}, expected one line of text without '|', and a name without spaces")
    line = f"claim {name} holds | {statement} | value {shown} | {'live' if live else 'long run'}"
    if not holds:
        raise AssertionError(line.replace(" holds |", " does NOT hold |", 1))
    print(line + (f" | literature: {literature}" if literature else ""))


# --- Symmetry -------------------------------------------------------------------------------------------------------------


def relative_error(got: Tensor, expected: Tensor) -> float:
    """max|got - expected| / max|expected| of two tensors (...,) of one shape, NaN if there is a NaN.

    Raises:
        ValueError: the shapes differ.
    """
    if got.shape != expected.shape:
        raise ValueError(f"got shape {tuple(got.shape)}, expected {tuple(expected.shape)}, that of the other output")
    scale = expected.abs().max().clamp_min(torch.finfo(expected.dtype).tiny)
    return ((got - expected).abs().max() / scale).item()


def _largest(errors: Iterable[float]) -> float:
    """The largest error, and NaN if one is: Python's `max` may drop a NaN, and the broken model would pass."""
    return torch.tensor(list(errors), dtype=torch.float64).max().item()


def equivariance_error(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    act: Callable[[Tensor, Tensor], Tensor] | None = None,
    *,
    samples: int = 10,
    generator: torch.Generator | None = None,
) -> float:
    """Largest relative difference between f(R x) and R f(x) over random rotations R.

    Args:
        f: maps points (..., 3) to an output.
        x: points, (..., 3).
        act: how R (3, 3) acts on the output; by default as on vectors (..., 3).
    """
    act = act or (lambda r, y: y @ r.T)
    y = f(x)
    turns = rotations.random(samples, generator=generator, dtype=x.dtype).to(x.device)
    return _largest(relative_error(f(x @ r.T), act(r, y)) for r in turns)


def rotation_error(feature: Callable[[Tensor], Tensor | float], x: Tensor, **options) -> float:
    """Largest relative change of an invariant feature of the points x (..., 3) over random rotations."""

    def as_tensor(p: Tensor) -> Tensor:
        value = feature(p)
        return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)

    return equivariance_error(as_tensor, x, lambda r, y: y, **options)


def permutation_error(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    equivariant: bool = True,
    samples: int = 10,
    generator: torch.Generator | None = None,
) -> float:
    """Largest relative difference under random reorderings of the rows of x (N, ...).

    `equivariant`: the output has the same rows, which must move along; otherwise the output must not change.
    """
    y = f(x)
    orders = [torch.randperm(len(x), generator=generator).to(x.device) for _ in range(samples)]
    return _largest(relative_error(f(x[order]), y[order] if equivariant else y) for order in orders)


# --- Bijectors ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def inverse_error(bijector: nn.Module, z: Tensor) -> float:
    """max|z - inverse(forward(z))| and the mismatch of the two log-determinants, whichever is larger; z (B, D)."""
    x, log_det = bijector.forward(z)
    back, log_det_back = bijector.inverse(x)
    return _largest([(back - z).abs().max().item(), (log_det + log_det_back).abs().max().item()])


def jacobian(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """dx/dz of a map at one point z (D,) by autograd, (D, D)."""
    return torch.autograd.functional.jacobian(lambda point: f(point[None])[0], z)


def log_det_error(bijector: nn.Module, z: Tensor) -> float:
    """Largest difference, over the rows of z (B, D), between the log-determinant stated and autograd's Jacobian."""
    stated = bijector.forward(z)[1].detach()
    exact = torch.stack([torch.linalg.slogdet(jacobian(lambda p: bijector.forward(p)[0], row))[1] for row in z])
    return (stated - exact).abs().max().item()
