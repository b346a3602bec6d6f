"""Entropic optimal transport between two clouds, which says how far it may be from the earth mover's distance.

Points carry equal shares of mass, 1/N and 1/M. The plan P moves P_ij from x_i to y_j. With an entropy term it is

    P_ij = exp((f_i + g_j - d_ij) / reg) / (N M),

and each of f and g is had from the other (Sinkhorn 1967; Cuturi 2013, arXiv:1306.0895). Here a round sets f in logarithms,
which never over- or underflows, and then scales rows and columns of P a few times, which costs two matrix-vector products;
what has been learned by scaling is put into g before the next round (Schmitzer 2019, arXiv:1610.06519).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from m2m.clouds.distances import check_pair


ROUND = 50  # steps by scaling before f is set anew
RANGE = 1e8  # of the factors, so that single precision holds them


class Transport(NamedTuple):
    """What `sinkhorn` found for each pair of clouds, all (B,): lower <= earth mover's distance <= cost."""

    cost: Tensor  # of a plan that moves exactly the masses; differentiable, with the plan held fixed
    lower: Tensor  # the dual bound
    error: Tensor  # mass that the plan had in the wrong place before it was mended
    steps: int


def sinkhorn(
    x: Tensor, y: Tensor, *, reg: float, squared: bool = False, tolerance: float = 1e-3, max_steps: int = 1000
) -> Transport:
    """The earth mover's distance, from both sides: the cost of a plan that is nearly the best, and a lower bound.

    The plan of entropic regularisation `reg` is computed until all but `tolerance` of the mass is where it should be, from
    a large regularisation down. What is left is mended (Altschuler et al. 2017, arXiv:1705.09634, algorithm 2), so the
    cost is an upper bound, converged or not; `error` and `steps` say whether it has. The lower bound is that of linear
    programming: no plan is cheaper than mean f + mean g if f_i + g_j <= d_ij.

    Args:
        x, y: clouds (B, N, D) and (B, M, D), or one of each; N and M may differ. Memory is that of N x M distances.
        reg: regularisation, in the unit of d; the cost is too high by about as much.
        squared: d is the squared distance.
        tolerance: share of the mass.
        max_steps: steps after which it is left as it is.

    Raises:
        ValueError: clouds as in `distances.chamfer`; numbers that are not positive.
    """
    check_pair(x, y)
    for name, value in {"reg": reg, "tolerance": tolerance, "max_steps": max_steps}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: got {value}, expected a positive number")
    if x.ndim == 2:
        both = sinkhorn(x[None], y[None], reg=reg, squared=squared, tolerance=tolerance, max_steps=max_steps)
        return Transport(both.cost[0], both.lower[0], both.error[0], both.steps)
    found = [_pair(a, b, reg, squared, tolerance, max_steps) for a, b in zip(x, y)]
    values = x.new_zeros(3, 0) if not found else [torch.stack([one[k] for one in found]) for k in range(3)]
    return Transport(*values, max((one.steps for one in found), default=0))


def _pair(x: Tensor, y: Tensor, reg: float, squared: bool, tolerance: float, max_steps: int) -> Transport:
    d = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    d = d * d if squared else d
    with torch.no_grad():
        plan, f, g, error, steps = _plan(d.detach(), reg, tolerance, max_steps)
        plan = _mend(plan)
        g = (d - f[:, None]).amin(0)
        lower = f.mean() + g.mean()
    return Transport((plan * d).sum(), lower, error, steps)


def _plan(d: Tensor, reg: float, tolerance: float, max_steps: int) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """The plan of costs d (N, M) with its f and g, the mass in wrong columns, and the steps taken."""
    n, m = d.shape
    g, steps = d.new_zeros(m), 0
    now = max(reg, d.max().item())
    while True:
        last = now == reg
        f = now * (math.log(m) - ((g - d) / now).logsumexp(1))
        plan = ((f[:, None] + g - d) / now).exp() / (n * m)
        u, v, error, taken = _scale(plan, tolerance if last else 0.1, min(ROUND if last else 4, max_steps - steps))
        steps += taken
        if last and (error <= tolerance or steps >= max_steps):
            return plan * u[:, None] * v, f + now * u.log(), g + now * v.log(), error, steps
        g = g + now * v.log()
        now = max(reg, now / 2)


def _scale(plan: Tensor, tolerance: float, most: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """Factors u (N,), v (M,) that bring the rows of u P v to 1/N and the columns nearly to 1/M, after at most so many steps."""
    n, m = plan.shape
    u, v = plan.new_ones(n), plan.new_ones(m)
    for step in range(most + 1):
        column = plan.T @ u
        error = (column * v - 1 / m).abs().sum() / 2
        if error <= tolerance or step == most or v.max() > RANGE * v.min():
            break
        v = (1 / m / column).clamp(1 / RANGE, RANGE)  # where a column has underflown it grows from round to round
        u = 1 / n / (plan @ v)
    return u, v, error, step


def _mend(plan: Tensor) -> Tensor:
    """A plan whose rows sum to 1/N and columns to 1/M, with nearly all of the mass where it was."""
    n, m = plan.shape
    plan = plan * (1 / n / plan.sum(1)).clamp(max=1)[:, None]
    plan = plan * (1 / m / plan.sum(0)).clamp(max=1)
    rows, columns = (1 / n - plan.sum(1)).clamp_min(0), (1 / m - plan.sum(0)).clamp_min(0)
    return plan + rows[:, None] * columns / rows.sum().clamp_min(torch.finfo(plan.dtype).tiny)
