"""Training: one loop for every model of the book, from two-dimensional flows to networks on molecules.

`fit` reads top to bottom; the functions under it are its steps. What it promises:

- the same call gives the same weights: order and noise come from `seed`, never from the global random state;
- a run that was cut off goes on from its checkpoint and ends, on a CPU, with bit for bit the weights of a run that was not;
- with several processes (`accelerate launch` on GPUs, `ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2` on CPUs) each
  takes its slice of every batch, and the weights are those of one process up to rounding.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, gather_object
from torch import Tensor, nn

from m2m import checkpoints, runtime


@dataclass
class History:
    """What happened in a training, as lists to plot.

    `loss` and `lr` (learning rate) belong to `step`, and `seconds` is the time elapsed at each of them;
    `validation` belongs to `validation_step`. Steps count updates, from 1.
    """

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    validation_step: list[int] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    def since_best(self) -> int:
        """How many validations have passed since the lowest one."""
        ranked = [value if math.isfinite(value) else math.inf for value in self.validation]
        return len(ranked) - 1 - ranked.index(min(ranked)) if ranked else 0

    def best_step(self) -> int:
        """The step of the lowest validation."""
        return self.validation_step[self.validation.index(min(self.validation))]


class Objective(nn.Module):
    """Model and loss as one module, so that a wrapper around `forward` also sees a loss that calls `model.log_prob`."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Tensor:
        value = self.loss(self.model, batch)
        if not isinstance(value, Tensor) or value.dim() > 0:
            got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"loss: got {got}, expected a scalar tensor (the mean over the batch)")
        return value


@dataclass
class Run:
    """What changes during a training, and so what a checkpoint holds."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor] | None
    best: dict[str, Tensor] | None = None
    history: History = field(default_factory=History)
    step: int = 0


def fit(
    model: nn.Module,
    data: Any,
    loss: Callable[[nn.Module, Any], Tensor],
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = 256,
    lr: float = 1e-3,
    optimizer: str | Callable = "adam",
    weight_decay: float = 0.0,
    schedule: str | Callable[[float], float] = "cosine",
    warmup: int = 0,
    clip: float | None = None,
    average: float | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    validate_every: int | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = 60.0,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    callback: Callable[[nn.Module, History], None] | None = None,
) -> History:
    """Train `model` in place to lower `loss`, leave it in evaluation mode, and return what happened.

    Args:
        data: a tensor, a tuple of tensors of equal length, or an object with `len()` and `[LongTensor] -> batch`.
        loss: (model, batch) -> scalar tensor, the mean over the batch; torch's global generator is seeded for it here.
        steps, epochs: how long, one of the two; an epoch is every full batch once, in an order that depends on (seed, epoch).
        batch_size: examples per step, over all processes together; None takes all the data.
        lr: the highest learning rate.
        optimizer: "adam" (AdamW where there is weight decay), or a callable (parameters, lr=lr) -> torch optimizer.
        schedule: "cosine" (down to 0), "constant", or a callable from the fraction done, in [0, 1), to a factor of `lr`.
        warmup: steps over which the learning rate first rises.
        clip: the largest norm of the gradient; longer ones are shortened to it.
        average: decay of an exponential average of the weights, which then are validated and left in the model.
        validate: model -> number, lower is better, called without gradients and in evaluation mode.
        validate_every: in steps; a twentieth of the run by default, and always after the last step.
        patience: stop after so many validations without a new lowest one, and leave the weights of the lowest in the model.
        checkpoint: file to write every `checkpoint_every` seconds and at the end; if it exists, the training goes on from it.
        device: where to train; by default where the model is, or each process's own device where there are several.
        callback: called with (model, history) after every step; the weights are those of the step, not their average.

    Raises:
        ValueError: an argument that does not fit; a checkpoint that is damaged or was made with other settings.
        FloatingPointError: the loss is not finite; the weights are those before that step.
    """
    rows = _rows(data)
    settings = dict(
        rows=rows, steps=steps, epochs=epochs, batch_size=rows if batch_size is None else batch_size, lr=lr,
        optimizer=optimizer, weight_decay=weight_decay, schedule=schedule, warmup=warmup, clip=clip, average=average,
        validate=validate, validate_every=validate_every, patience=patience,
        checkpoint_every=checkpoint_every, seed=seed)  # fmt: skip
    _check(model, **settings)
    batch_size = settings["batch_size"]
    steps = steps or epochs * (rows // batch_size)
    validate_every = validate_every or max(1, steps // 20)

    accelerator = processes()
    if batch_size % accelerator.num_processes:
        raise ValueError(f"batch_size: got {batch_size}, expected a multiple of the {accelerator.num_processes} processes")
    device = _place(model, device, accelerator)
    objective = accelerator.prepare(Objective(model, loss))
    run = Run(model, _optimizer(model, optimizer, lr, weight_decay), _parameters(model) if average else None)
    settings = _comparable(settings | dict(optimizer=run.optimizer, steps=steps, processes=accelerator.num_processes))

    with _own_noise(seed, accelerator.process_index, device):
        if checkpoint is not None and Path(checkpoint).exists():
            _resume(checkpoint, run, settings, accelerator.process_index, device)
        started = saved = time.perf_counter()
        started -= run.history.seconds[-1] if run.history.step else 0.0
        bar = runtime.progress_bar(steps, "training", progress and accelerator.is_main_process, initial=run.step)
        stop = _exhausted(run, patience)
        for index in () if stop else _order(rows, batch_size, seed, run.step, steps):
            batch = _move(_take(data, index[accelerator.process_index :: accelerator.num_processes]), device)
            factor = rate(run.step / steps, run.step, schedule, warmup)
            value = _step(accelerator, objective, run, batch, factor, clip)
            if average:
                _update(run.average, model, min(average, run.step / (run.step + 9)))
            _record(run.history, step=run.step, loss=value, lr=lr * factor, seconds=time.perf_counter() - started)
            if validate and (run.step % validate_every == 0 or run.step == steps):
                _validate(accelerator, run, validate, keep_best=patience is not None)
                stop = _exhausted(run, patience)
            if callback:
                callback(model, run.history)
            if checkpoint is not None and (stop or run.step == steps or _due(accelerator, saved, checkpoint_every)):
                _save(checkpoint, run, settings, accelerator, device)
                saved = time.perf_counter()
            _show(bar, run.history)
            if stop:
                break
        bar.close()
    _keep(model, run.average, run.best)
    return run.history


def load(path: str | Path, model: nn.Module) -> nn.Module:
    """Put into `model` what a training wrote to `path` (the best or averaged weights where it kept them), and return it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint, is damaged, or is one of another model.
    """
    state = checkpoints.read(path, model)
    model.load_state_dict(state["model"])
    _keep(model, state["average"], state["best"])
    return model


def processes() -> Accelerator:
    """The processes that share a training: one, or as many as a launcher started."""
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a model may have weights that a loss does not reach
    return Accelerator(device_placement=False, mixed_precision="no", kwargs_handlers=[unused])


def rate(done: float, step: int, schedule: str | Callable[[float], float] = "cosine", warmup: int = 0) -> float:
    """The factor of the learning rate at a step, given the fraction `done` of the run; it rises over `warmup` steps."""
    if schedule == "constant":
        factor = 1.0
    elif schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * done))
    else:
        factor = float(schedule(done))
    return factor * min(1.0, (step + 1) / (warmup + 1))


# The steps of the loop


def _order(rows: int, batch_size: int, seed: int, start: int, stop: int) -> Iterator[Tensor]:
    """Indices of the batch of every step; each epoch has an order of its own, so a run can start at any step."""
    for step in range(start, stop):
        epoch, number = divmod(step, rows // batch_size)
        if number == 0 or step == start:
            order = torch.randperm(rows, generator=runtime.generator(_seed("order", seed, epoch)))
        yield order[number * batch_size : (number + 1) * batch_size]


def _step(accelerator: Accelerator, objective: nn.Module, run: Run, batch: Any, factor: float, clip: float | None) -> float:
    if not run.model.training:
        run.model.train()
    run.optimizer.zero_grad()
    loss = objective(batch)
    accelerator.backward(loss)
    value = accelerator.reduce(loss.detach(), "mean").item()
    if not math.isfinite(value):
        raise FloatingPointError(f"step {run.step + 1}: the loss is {value}; a smaller lr or clip=1.0 may help")
    if clip:
        accelerator.clip_grad_norm_(objective.parameters(), clip)
    for group in run.optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
    run.optimizer.step()
    run.step += 1
    return value


@torch.no_grad()
def _update(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    for name, parameter in model.named_parameters():
        average[name].lerp_(parameter, 1 - decay)


@torch.no_grad()
def _validate(accelerator: Accelerator, run: Run, validate: Callable[[nn.Module], float], keep_best: bool) -> None:
    run.model.eval()
    current = _parameters(run.model)
    _keep(run.model, run.average, None)
    value = torch.tensor(float(validate(run.model)), dtype=torch.float64)
    value = value.to(accelerator.device) if accelerator.num_processes > 1 else value
    _record(run.history, validation_step=run.step, validation=accelerator.reduce(value, "mean").item())
    if keep_best and math.isfinite(run.history.validation[-1]) and run.history.since_best() == 0:
        run.best = {name: value.clone() for name, value in run.model.state_dict().items()}
    _keep(run.model, current, None)


def _exhausted(run: Run, patience: int | None) -> bool:
    return patience is not None and run.history.since_best() >= patience


def _due(accelerator: Accelerator, saved: float, every: float) -> bool:
    if time.perf_counter() - saved >= every:
        accelerator.set_trigger()
    return accelerator.check_trigger()  # one process's clock decides for all


@contextmanager
def _own_noise(seed: int, process: int, device: torch.device) -> Iterator[None]:
    """Noise of the loss and of dropout depends on `seed` and the process only; outside, the random state is left as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_seed("noise", seed, process))
        yield


def _record(history: History, **values: float) -> None:
    for name, value in values.items():
        getattr(history, name).append(value)


def _show(bar: Any, history: History) -> None:
    text = {"loss": f"{history.loss[-1]:.4g}"}
    if history.validation:
        text["validation"] = f"{history.validation[-1]:.4g}"
    bar.set_postfix(text, refresh=False)
    bar.update()


# Weights, placed and kept


def _place(model: nn.Module, device: torch.device | str | None, accelerator: Accelerator) -> torch.device:
    if accelerator.num_processes > 1:
        device = accelerator.device
    elif device is None:
        device = next(model.parameters()).device
    device = runtime.device(str(device))
    model.to(device)
    return device


def _optimizer(model: nn.Module, optimizer: str | Callable, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if optimizer == "adam":
        fused = all(parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in parameters)
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=fused)
    return optimizer(parameters, lr=lr)


def _parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@torch.no_grad()
def _keep(model: nn.Module, average: dict[str, Tensor] | None, best: dict[str, Tensor] | None) -> None:
    """Leave in the model its best weights where they were kept, else the averaged ones, else what it has."""
    model.eval()
    if best is not None:
        model.load_state_dict(best)
    elif average is not None:
        for name, parameter in model.named_parameters():
            parameter.copy_(average[name])


# Checkpoints


def _save(path: str | Path, run: Run, settings: dict, accelerator: Accelerator, device: torch.device) -> None:
    """Write a checkpoint so that at any moment the file is either the old one or the new one, whole."""
    noise = {"cpu": torch.get_rng_state()} | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})
    noise = gather_object([noise])
    if not accelerator.is_main_process:
        return
    state = dict(
        settings=settings, step=run.step, model=run.model.state_dict(), optimizer=run.optimizer.state_dict(),
        average=run.average, best=run.best, history=asdict(run.history), noise=noise)  # fmt: skip
    checkpoints.write(path, state)


def _resume(path: str | Path, run: Run, settings: dict, process: int, device: torch.device) -> None:
    state = checkpoints.read(path, run.model)
    before = state["settings"]
    differ = [f"{key} was {before.get(key)!r}, now {now!r}" for key, now in settings.items() if before.get(key) != now]
    if differ:
        raise ValueError(
            f"checkpoint {path}: made with other settings ({'; '.join(differ)}); call with the same, or remove the file"
        )
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.history = state["step"], History(**state["history"])
    run.average, run.best = _move(state["average"], device), _move(state["best"], device)
    torch.set_rng_state(state["noise"][process]["cpu"])
    if "cuda" in state["noise"][process] and device.type == "cuda":
        torch.cuda.set_rng_state(state["noise"][process]["cuda"], device)


# Data and arguments


def _take(data: Any, index: Tensor) -> Any:
    if isinstance(data, tuple):
        return tuple(_take(part, index) for part in data)
    return data[index.to(data.device)] if isinstance(data, Tensor) else data[index]


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {key: _move(part, device) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_move(part, device) for part in value)
    return value.to(device) if hasattr(value, "to") else value


def _seed(*parts: Any) -> int:
    return zlib.crc32(repr(parts).encode())


def _rows(data: Any) -> int:
    parts = data if isinstance(data, tuple) else (data,)
    for part in parts:
        if not (hasattr(part, "__len__") and hasattr(part, "__getitem__")) or isinstance(part, (list, dict, str)):
            expected = "a tensor, a tuple of tensors, or an object with len() and [LongTensor]"
            raise ValueError(f"data: got {type(part).__name__}, expected {expected}")
        if isinstance(part, Tensor) and part.dim() == 0:
            raise ValueError("data: got a tensor of shape (), expected (N, ...)")
    lengths = [len(part) for part in parts]
    if not lengths or len(set(lengths)) > 1 or lengths[0] == 0:
        raise ValueError(f"data: got {lengths} examples, expected one length greater than 0")
    return lengths[0]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _above(value: Any) -> bool:
    return _number(value) and value > 0


def _whole(value: Any) -> bool:
    return _above(value) and isinstance(value, int)


def _check(model, rows, batch_size, steps, epochs, lr, optimizer, weight_decay, schedule, warmup, clip, average,
           validate, validate_every, patience, checkpoint_every, seed) -> None:  # fmt: skip
    trains = isinstance(model, nn.Module) and any(parameter.requires_grad for parameter in model.parameters())
    one = _whole(epochs if steps is None else steps) and None in (steps, epochs)
    for name, got, holds, expected in [
        ("model", type(model).__name__, trains, "a torch.nn.Module with parameters to train"),
        ("steps, epochs", (steps, epochs), one, "one of the two, a whole number above 0"),
        ("batch_size", batch_size, _whole(batch_size) and batch_size <= rows,
         f"1 to {rows}, the size of the data, or None for it"),
        ("lr", lr, _above(lr), "a number above 0"),
        ("optimizer", optimizer, optimizer == "adam" or callable(optimizer), "'adam' or a callable (parameters, lr=lr)"),
        ("weight_decay", weight_decay, _number(weight_decay) and weight_decay >= 0, "a number from 0"),
        ("weight_decay", weight_decay, not weight_decay or optimizer == "adam",
         "0 beside an optimizer of your own, which sets it"),
        ("schedule", schedule, schedule in ("cosine", "constant") or callable(schedule), "'cosine', 'constant' or a callable"),
        ("warmup", warmup, warmup == 0 or _whole(warmup), "a number of steps"),
        ("clip", clip, clip is None or _above(clip), "None or a norm above 0"),
        ("average", average, average is None or _above(average) and average < 1, "None or a decay between 0 and 1, such as 0.999"),
        ("validate", validate, validate is None or callable(validate), "None or a callable model -> number"),
        ("validate_every", validate_every, validate_every is None or _whole(validate_every), "None or a number of steps above 0"),
        ("patience", patience, patience is None or _whole(patience), "None or a number of validations above 0"),
        ("patience", patience, patience is None or validate is not None, "None where there is no `validate`"),
        ("checkpoint_every", checkpoint_every, _number(checkpoint_every) and checkpoint_every >= 0, "seconds, from 0"),
        ("seed", seed, isinstance(seed, int), "a whole number"),
    ]:
        if not holds:
            raise ValueError(f"{name}: got {got!r}, expected {expected}")


def _comparable(settings: dict) -> dict:
    """The settings as plain values, so that a checkpoint can say which of them differ."""
    optimizer, schedule, validate = settings["optimizer"], settings["schedule"], settings["validate"]
    choices = {
        name: str(value)
        for name, value in optimizer.defaults.items()
        if name not in ("lr", "weight_decay", "foreach", "fused")
    }
    plain = settings | {
        "optimizer": f"{type(optimizer).__name__} {choices}",
        "schedule": getattr(schedule, "__name__", str(schedule)),
    }
    return plain | {"validate": validate is not None, "epochs": None, "checkpoint_every": None}
