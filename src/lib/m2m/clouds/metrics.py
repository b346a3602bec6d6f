"""How near a set of made clouds is to a set of real ones: JSD, coverage, MMD, 1-NNA, from the distances of all pairs.

Each can be fooled. JSD sees where points are, and no shapes. MMD and coverage do not see bad clouds beside good ones. Copies
of the reference set are perfect for all three, and 0 for 1-NNA. What a perfect model gets is what a second real set gets:
measure that beside.

Sources: JSD, coverage, MMD: Achlioptas et al. 2018, arXiv:1707.02392; 1-NNA: Yang et al. 2019, arXiv:1906.12320.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from m2m.clouds.distances import check, columns, emd


class Scores(NamedTuple):
    """The four metrics of a set; JSD in bits, MMD in the unit of the distance, the others shares from 0 to 1."""

    jsd: float  # best 0
    coverage: float  # best near that of a second real set
    mmd: float  # best 0
    one_nna: float  # best 1/2


def scores(generated: Tensor, reference: Tensor, pairs: Callable[..., Tensor] | None = None) -> Scores:
    """JSD, coverage, MMD and 1-NNA of generated clouds (S, N, 3) against reference clouds (T, M, 3).

    Args:
        pairs: the distance, as `chamfer_pairs` or `emd_pairs`, with its convention fixed by `functools.partial`;
            by default Chamfer of means of squares. Called with two sets, or with one for the distances within.
    """
    pairs = pairs or (lambda *sets: chamfer_pairs(*sets, reduction="mean", squared=True))
    between = pairs(generated, reference)
    nna = one_nna(between, pairs(generated), pairs(reference))
    return Scores(jsd(generated, reference), coverage(between), mmd(between), nna)


# --- All pairs of two sets --------------------------------------------------------------------------------------------------


def chamfer_pairs(a: Tensor, b: Tensor | None = None, *, reduction: str, squared: bool) -> Tensor:
    """Chamfer distances of all pairs of clouds a (S, N, D) and b (T, M, D): (S, T), float64, without gradient.

    Conventions as in `distances.chamfer`. Without b, the distances within a (S, S), for half of the work.

    Raises:
        ValueError: as `distances.chamfer`.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction: got {reduction!r}, expected 'mean' or 'sum'")
    _check_sets(a, b)
    other = a if b is None else b
    there, back = _dense(a, other, squared) if a.is_cuda else _looped(a, other, squared, b is None)
    return there + back if reduction == "mean" else there * a.shape[1] + back * other.shape[1]


def emd_pairs(a: Tensor, b: Tensor | None = None, *, reduction: str = "mean", squared: bool = False) -> Tensor:
    """Earth mover's distances of all pairs of clouds a (S, N, D) and b (T, N, D): (S, T), or (S, S) without b.

    As `chamfer_pairs`, for clouds of equal size; exact, so slow: see `distances.emd`.
    """
    _check_sets(a, b)
    out = torch.zeros(len(a), len(a if b is None else b), dtype=torch.float64, device=a.device)
    for s, x in enumerate(a.detach()):
        first = s + 1 if b is None else 0
        rest = (a if b is None else b).detach()[first:]
        out[s, first:] = emd(x.expand(len(rest), *x.shape), rest, reduction=reduction, squared=squared)
    return out + out.T if b is None else out


def _looped(a: Tensor, b: Tensor, squared: bool, same: bool) -> Tensor:
    from m2m.clouds import loops  # numba takes a second to import

    x = columns(a)
    return torch.from_numpy(loops.all_pairs(x, x if same else columns(b), not squared, same, *loops.workspace(x.dtype)))


@torch.no_grad()
def _dense(a: Tensor, b: Tensor, squared: bool, block: int = 2**26) -> Tensor:
    """Mean distances to the nearest, from a to b and from b to a, (2, S, T), from at most `block` distances at a time."""
    rows = max(1, block // (a.shape[1] * b.shape[1]))
    means = torch.zeros(2, len(a), len(b), dtype=torch.float64, device=a.device)
    for s, x in enumerate(a):
        for t in range(0, len(b), rows):
            d = torch.cdist(x, b[t : t + rows], compute_mode="donot_use_mm_for_euclid_dist")
            for k, near in enumerate((d.amin(2), d.amin(1))):
                means[k, s, t : t + rows] = (near * near if squared else near).double().mean(1)
    return means


# --- From distances to numbers ----------------------------------------------------------------------------------------------


def coverage(between: Tensor) -> float:
    """Share of reference clouds that are the nearest to some generated cloud; `between` (generated, reference)."""
    _check_matrix("between", between)
    return between.argmin(1).unique().numel() / between.shape[1]


def mmd(between: Tensor) -> float:
    """Minimum matching distance: mean over reference clouds of the distance to the nearest generated one; `between` (S, T)."""
    _check_matrix("between", between)
    return between.amin(0).mean().item()


def one_nna(between: Tensor, generated: Tensor, reference: Tensor) -> float:
    """Accuracy with which the nearest other cloud tells a generated cloud (S) from a reference cloud (T).

    1/2 where the sets cannot be told apart, 1 where they are apart, 0 for copies. A tie between the sets counts half.

    Args:
        between: distances (S, T).
        generated, reference: distances within the sets (S, S), (T, T), of which the diagonal is not used.
    """
    _check_matrix("between", between)
    right = 0.0
    for name, within, across in (("generated", generated, between.amin(1)), ("reference", reference, between.amin(0))):
        if within.shape != (len(across), len(across)):
            raise ValueError(f"{name}: got shape {tuple(within.shape)}, expected {(len(across), len(across))}, as in between")
        _check_matrix(name, within)
        own = within.masked_fill(torch.eye(len(within), dtype=torch.bool, device=within.device), torch.inf).amin(1)
        right += ((own < across).sum() + 0.5 * (own == across).sum()).item()
    return right / sum(between.shape)


def jsd(generated: Tensor, reference: Tensor, *, resolution: int = 28, radius: float = 1.0) -> float:
    """Jensen-Shannon divergence, in bits, of where in space the points of two sets of clouds (S, N, 3), (T, M, 3) lie.

    Each point counts for the nearest of resolution^3 grid points that fill the cube of half-edge `radius`, its faces
    included; points outside count for the nearest on a face. So 0 for equal occupancy, 1 where no grid point is shared.
    """
    p, q = (occupancy(clouds, resolution, radius) for clouds in (generated, reference))
    middle = (p + q) / 2
    entropy = lambda r: -torch.special.xlogy(r, r).sum() / torch.log(torch.tensor(2.0, dtype=r.dtype, device=r.device))
    return max(0.0, (entropy(middle) - (entropy(p) + entropy(q)) / 2).item())


def occupancy(clouds: Tensor, resolution: int = 28, radius: float = 1.0) -> Tensor:
    """Share of all points of clouds (S, N, 3) at each grid point of `jsd`: (resolution^3,), float64."""
    check("clouds", clouds)
    if clouds.shape[-1] != 3 or not clouds.numel():
        raise ValueError(f"clouds: got shape {tuple(clouds.shape)}, expected at least one cloud (S, N, 3)")
    if resolution != int(resolution) or resolution < 2 or not radius > 0:
        raise ValueError(f"got resolution={resolution}, radius={radius}; expected a whole number from 2 on, a positive length")
    place = (clouds.detach().reshape(-1, 3) / radius + 1) * ((resolution - 1) / 2)
    i, j, k = place.round().clamp(0, resolution - 1).long().unbind(-1)
    count = torch.bincount((i * resolution + j) * resolution + k, minlength=resolution**3)
    return count.double() / count.sum()


# --- What comes in ----------------------------------------------------------------------------------------------------------


def _check_sets(a: Tensor, b: Tensor | None) -> None:
    for name, clouds in [("a", a), ("b", a if b is None else b)]:
        check(name, clouds)
        if clouds.ndim != 3 or not len(clouds):
            raise ValueError(f"{name}: got shape {tuple(clouds.shape)}, expected a set of clouds (S, N, D), at least one")
    if b is not None and (a.shape[2] != b.shape[2] or a.dtype != b.dtype or a.device != b.device):
        raise ValueError(f"b: got shape {tuple(b.shape)} of {b.dtype} on {b.device}, expected a's space, type and device")


def _check_matrix(name: str, distances: Tensor) -> None:
    if distances.ndim != 2 or not distances.numel():
        raise ValueError(f"{name}: got shape {tuple(distances.shape)}, expected distances (S, T) of sets that are not empty")
    if distances.isnan().any():
        raise ValueError(f"{name}: got {distances.isnan().sum()} NaN, expected distances")
