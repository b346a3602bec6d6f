"""Charged particles that attract and repel each other: the N-body problem of the field, simulated here.

The force on particle i is F_i = strength * sum_j q_i q_j (x_i - x_j) / d_ij^3, masses are 1, and there may be walls. The
integrator is that of the published data, line for line: v += dt F(x), then x += dt v, where each *component* of F is held
within +- 0.1 / dt. That clamp, like a wall, depends on the axes, so the published world is not quite rotation invariant.

Source: Kipf et al., Neural Relational Inference (arXiv:1802.04687), in three dimensions by Fuchs et al. (arXiv:2006.10503)
and Satorras et al. (arXiv:2102.09844).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor

from m2m import arguments, runtime
from m2m.messages import graph

CHUNK = 1000  # simulations at a time, so that the arrays of a step stay in the processor's cache
NEAR = 1e-60  # squared distance below which a force is not computed: it is 0 between particles at the same place


# --- The simulator --------------------------------------------------------------------------------------------------------


def start(
    samples: int,
    n: int = 5,
    *,
    speed: float = 0.5,
    spread: float | None = None,
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Random first states: positions and velocities (samples, n, 3) in float64 and charges +-1 (samples, n).

    Args:
        speed: |v_i|, the same for all.
        spread: standard deviation of positions; by default (n / 5)^(1/3), the same density for all n.
        stretch: factors for positions and directions along x, y and z; other than ones, they prefer a direction.

    Raises:
        ValueError: a number of systems or particles, or a factor, that is not positive.
    """
    arguments.whole(samples=samples, n=n)
    factors = torch.as_tensor(stretch, dtype=torch.float64)
    if factors.shape != (3,) or not (factors.isfinite() & (factors > 0)).all():
        raise ValueError(f"stretch: got {stretch}, expected three positive factors")
    spread = (n / 5) ** (1 / 3) if spread is None else spread
    for name, value in {"speed": speed, "spread": spread}.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: got {value}, expected a positive number")
    q = torch.randint(2, (samples, n), generator=generator).double() * 2 - 1
    x, v = (torch.randn(samples, n, 3, generator=generator, dtype=torch.float64) * factors for _ in range(2))
    return spread * x, speed * torch.nn.functional.normalize(v, dim=-1), q


@torch.no_grad()
def simulate(
    x: Tensor,
    v: Tensor,
    q: Tensor,
    steps: int,
    *,
    every: int = 100,
    dt: float = 1e-3,
    strength: float = 1.0,
    wall: float | None = None,
    field: tuple[float, float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Move all systems `steps` steps on, each by itself, computing in float64.

    Args:
        x, v: positions and velocities (samples, n, 3).
        q: charges (samples, n).
        every: steps between saved frames; frame k is the state after (k + 1) * every steps.
        dt: time of a step.
        wall: particles bounce off the six planes at +- wall.
        field: a homogeneous electric field, which adds the force q_i * field.

    Returns:
        Positions and velocities of the frames, (samples, steps // every, n, 3) in the type of x. The velocities are those
        that made the last move, half a step behind, as in the published data.

    Raises:
        ValueError: shapes that do not fit, NaN, dt <= 0, steps < every, particles outside the walls.
    """
    arguments.whole(steps=steps, every=every)
    _check_state(x, v, q, wall)
    if not (math.isfinite(dt) and dt > 0):
        raise ValueError(f"dt: got {dt}, expected a positive time")
    if not math.isfinite(strength):
        raise ValueError(f"strength: got {strength}, expected a finite number")
    if field is not None and (len(field) != 3 or not all(map(math.isfinite, field))):
        raise ValueError(f"field: got {field}, expected three finite numbers")
    if steps < every:
        raise ValueError(f"steps: got {steps}, expected at least one frame of {every} steps")
    step = dict(steps=steps, every=every, dt=dt, strength=strength, wall=wall, field=field)
    parts = [_run(*part, **step) for part in zip(*(t.double().split(CHUNK) for t in (x, v, q)), strict=True)]
    return tuple(torch.cat(frames).to(x.dtype) for frames in zip(*parts, strict=True))


def _run(x, v, q, *, steps, every, dt, strength, wall, field) -> tuple[Tensor, Tensor]:
    """The loop over steps. Arrays are (n, 3 S), so that all differences x_i - x_j are one product with a matrix of +-1."""
    samples, n, _ = x.shape
    x, v = (t.permute(1, 2, 0).reshape(n, -1) for t in (x, v))
    first, second = torch.triu_indices(n, n, 1, device=x.device)
    pair = torch.arange(len(first), device=x.device)
    difference = x.new_zeros(len(pair), n)  # (P, n): rows x_first - x_second
    difference[pair, first], difference[pair, second] = 1.0, -1.0
    charge = strength * (q[:, first] * q[:, second]).T  # (P, S)
    push = 0.0 if field is None else (q.T[:, None] * q.new_tensor(field)[:, None]).reshape(n, -1)
    largest = 0.1 / dt
    saved = []
    for i in range(1, steps + 1):
        r = (difference @ x).view(len(pair), 3, samples)
        inverse = (r * r).sum(1).clamp_min_(NEAR).rsqrt_()
        force = difference.T @ (r * (charge * inverse**3)[:, None]).view(len(pair), 3 * samples)
        v = v.add((force + push).clamp_(-largest, largest), alpha=dt)
        x = x.add(v, alpha=dt)
        if wall is not None:
            v = torch.where(x > wall, -v.abs(), torch.where(x < -wall, v.abs(), v))
            x = torch.where(x > wall, 2 * wall - x, torch.where(x < -wall, -2 * wall - x, x))
        if i % every == 0:
            saved.append((x, v))
    return tuple(torch.stack(t).view(-1, n, 3, samples).permute(3, 0, 1, 2) for t in zip(*saved, strict=True))


def energy(x: Tensor, v: Tensor, q: Tensor, strength: float = 1.0) -> Tensor:
    """Kinetic plus potential energy, (...,), for x and v (..., n, 3) and q (..., n)."""
    first, second = torch.triu_indices(x.shape[-2], x.shape[-2], 1, device=x.device)
    distance = (x[..., first, :] - x[..., second, :]).norm(dim=-1)
    return 0.5 * (v * v).sum((-1, -2)) + strength * (q[..., first] * q[..., second] / distance).sum(-1)


# --- The data sets --------------------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """Some systems as one graph of N nodes: x0, v0, x1, v1 (N, 3), q (N,), edge_index (2, E), a = q_i q_j (E, 1), batch (N,)."""

    x0: Tensor
    v0: Tensor
    x1: Tensor
    v1: Tensor
    q: Tensor
    edge_index: Tensor
    a: Tensor
    batch: Tensor

    def to(self, device: torch.device | str) -> Batch:
        return Batch(**{part.name: getattr(self, part.name).to(device) for part in fields(self)})


@dataclass
class Pairs:
    """A data set: states (x0, v0) and what they become, x1, v1 (samples, n, 3), with charges q (samples, n).

    `pairs[index]` with a tensor of row numbers (or a slice) is a `Batch`, so `training.fit` takes the set as it is.
    """

    x0: Tensor
    v0: Tensor
    x1: Tensor
    v1: Tensor
    q: Tensor

    def __len__(self) -> int:
        return len(self.q)

    def __getitem__(self, index: Tensor | slice) -> Batch:
        parts = [part[index] for part in (self.x0, self.v0, self.x1, self.v1, self.q)]
        edge_index, batch = _complete(*parts[-1].shape)
        x0, v0, x1, v1, q = (part.flatten(0, 1) for part in parts)
        edge_index, batch = edge_index.to(q.device), batch.to(q.device)
        return Batch(x0, v0, x1, v1, q, edge_index, (q[edge_index[0]] * q[edge_index[1]])[:, None], batch)

    def select(self, index: Tensor | slice) -> Pairs:
        """The data set of some rows."""
        return Pairs(self.x0[index], self.v0[index], self.x1[index], self.v1[index], self.q[index])

    def rotated(self, rotation: Tensor) -> Pairs:
        """The same systems turned by `rotation`, (3, 3), or by one for each system, (samples, 3, 3)."""
        turn = rotation.expand(len(self), 3, 3).transpose(-1, -2)
        return Pairs(self.x0 @ turn, self.v0 @ turn, self.x1 @ turn, self.v1 @ turn, self.q)

    def to(self, device: torch.device | str) -> Pairs:
        return Pairs(*(getattr(self, part.name).to(device) for part in fields(self)))


def pairs(
    samples: int,
    n: int = 5,
    *,
    frames: tuple[int, int] = (30, 40),
    every: int = 100,
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **physics,
) -> Pairs:
    """Simulate systems and keep two frames of each; the defaults are the protocol of Satorras et al. (arXiv:2102.09844).

    Args:
        frames: the frame that is given and the one to predict.
        stretch: as in `start`; the published sets are not stretched.
        physics: dt, strength, field, wall of `simulate`.

    Raises:
        ValueError: frames that are not two numbers from 0 on, the second one larger.
    """
    given, wanted = frames
    if not 0 <= given < wanted:
        raise ValueError(f"frames: got {frames}, expected two numbers from 0 on, the second one larger")
    x, v, q = start(samples, n, stretch=stretch, generator=runtime.generator(seed))
    x, v = simulate(x, v, q, (wanted + 1) * every, every=every, **physics)
    return Pairs(*(t.to(dtype).contiguous() for t in (x[:, given], v[:, given], x[:, wanted], v[:, wanted], q)))


def boxed(samples: int, n: int = 5, *, seed: int = 0, dtype: torch.dtype = torch.float32, wall: float = 5.0) -> Pairs:
    """The protocol of Fuchs et al. (arXiv:2006.10503): walls at +- 5, 500 steps ahead, from every frame of the run in turn.

    Sample k starts at frame 44 k / samples of 49 frames of 100 steps. Published: 5,000 to train and 1,000 to test.
    """
    x, v, q = start(samples, n, generator=runtime.generator(seed))
    x, v = simulate(x.clamp(-wall, wall), v, q, 4900, every=100, wall=wall)
    row = torch.arange(samples)
    given = 44 * row // samples
    return Pairs(*(t.to(dtype) for t in (x[row, given], v[row, given], x[row, given + 5], v[row, given + 5], q)))


@lru_cache(maxsize=4)
def splits(
    train: int = 3000,
    validation: int = 2000,
    test: int = 2000,
    *,
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
    seed: int = 43,
) -> tuple[Pairs, Pairs, Pairs]:
    """The published split sizes; the three sets have seeds of their own, and a smaller set is not the start of a larger."""
    sizes = (train, validation, test)
    return tuple(pairs(size, stretch=stretch, seed=1000 * seed + k) for k, size in enumerate(sizes))


def learned_time(data: Pairs) -> float:
    """The time t for which x0 + t v0 is closest to x1 in the mean square: the best linear predictor."""
    return ((data.v0 * (data.x1 - data.x0)).sum() / (data.v0**2).sum()).item()


@lru_cache(maxsize=8)
def _complete(samples: int, n: int) -> tuple[Tensor, Tensor]:
    """Edges and graph numbers of `samples` complete graphs of n nodes."""
    batch = graph.of_sizes([n] * samples)
    return graph.complete(batch), batch


def _check_state(x: Tensor, v: Tensor, q: Tensor, wall: float | None) -> None:
    if x.ndim != 3 or x.shape[-1] != 3 or v.shape != x.shape or q.shape != x.shape[:2]:
        got = f"shapes {tuple(x.shape)}, {tuple(v.shape)}, {tuple(q.shape)}"
        raise ValueError(f"x, v, q: got {got}, expected (samples, n, 3) twice and (samples, n)")
    for name, value in {"x": x, "v": v, "q": q}.items():
        if not value.isfinite().all():
            raise ValueError(f"{name}: got {(~value.isfinite()).sum()} numbers that are NaN or infinite")
    if wall is not None and not (wall > 0 and (x.abs() <= wall).all()):
        raise ValueError(f"wall: got {wall}, expected a positive number with all particles within")
