"""The ladder, from convolution to SEGNN, on the published N-body protocol, all rungs with the same data, inputs and steps.

Systems, loss and measures are those of `experiments.nbody`; the rungs are `tensors.ladder.RUNGS`. Two sizes of the training
set: the published 3,000 systems, and 300, which a chapter can run.
"""

from __future__ import annotations

import time

from torch import nn

from m2m import runtime, training
from m2m.experiments import nbody
from m2m.tensors import ladder

# Reported by arXiv:2110.02905 for this protocol, all but the last from arXiv:2102.09844
PUBLISHED = {"TFN": 0.0155, "SE(3)-Transformer": 0.0244, "EGNN": 0.0071, "SEGNN": 0.0043}
LIVE = ("convolution", "group convolution", "EGNN", "SEGNN")  # what a chapter trains
STEPS = {300: 200, 3000: 800}  # training systems: steps
FIT = {"batch_size": 50, "lr": 1e-2}  # of 0.005 and 0.01 the better on validation after 150 steps, for every rung or equal


def tasks(scale: str) -> list[dict]:
    """ "cpu": some rungs with 300 systems; "gpu": the same, and all with 3,000, three seeds."""
    few = [(rung, 300, 0) for rung in LIVE]
    full = [(rung, 3000, seed) for seed in range(3) for rung in ladder.RUNGS]
    listed = {"cpu": few, "gpu": few + full}[scale]
    return [{"rung": rung, "systems": systems, "seed": seed, "steps": STEPS[systems]} | FIT for rung, systems, seed in listed]


def run(*, rung: str, systems: int, seed: int, steps: int, **fit) -> dict:
    """Train one rung and measure it: errors of the test set, equivariance error, time of a training step."""
    model, history = train(rung, systems=systems, seed=seed, steps=steps, **fit)
    data = nbody.sets("isotropic")[0].select(slice(0, fit["batch_size"]))
    measured = nbody.measure(model, "isotropic")
    return measured | {"validation": min(history.validation), "milliseconds": milliseconds(model, data)}


def train(rung: str, *, systems: int, seed: int, steps: int, batch_size: int, lr: float) -> tuple[nn.Module, training.History]:
    """A rung trained on the mean squared error of positions; the weights of the lowest validation error are kept.

    Raises:
        ValueError: an unknown rung.
    """
    if rung not in ladder.RUNGS:
        raise ValueError(f"rung: got {rung!r}, expected one of {', '.join(ladder.RUNGS)}")
    data, validation, _ = nbody.sets("isotropic")
    runtime.seed_everything(seed)
    model, some = ladder.RUNGS[rung]().to(runtime.device()), validation.select(slice(0, 500))
    history = training.fit(
        model, nbody.slice_of(data, systems, seed), nbody.loss, steps=steps, batch_size=batch_size, lr=lr, warmup=20, clip=1.0,
        average=0.99, validate=lambda m: nbody.errors(m, some).mean().item(), validate_every=max(1, steps // 5), patience=5, seed=seed,
        progress=False)  # fmt: skip
    return model.cpu(), history


def milliseconds(model: nn.Module, data, steps: int = 10) -> float:
    """Processor time of a training step on all of `data`, the fastest of some: what else runs can only add to it."""
    batch, times = data[:], []
    for _ in range(steps):
        start = time.process_time()
        model.zero_grad()
        nbody.loss(model, batch).backward()
        times.append(time.process_time() - start)
    return 1e3 * min(times)
