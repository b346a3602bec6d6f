"""Where a chapter runs: device, seeds, threads and the size of its experiments."""

from __future__ import annotations

import os
import random
import sys
import warnings
from typing import TypeVar

import numpy
import torch

T = TypeVar("T")


def in_colab() -> bool:
    """True inside a Colab runtime."""
    return "google.colab" in sys.modules


def device(name: str | None = None) -> torch.device:
    """The device to compute on: the one named, else the GPU if there is one, else the CPU.

    Raises:
        ValueError: the name is not a device, or this machine does not have it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        has = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise ValueError(f"device: got {name!r}, expected one that this machine has: {', '.join(has)}") from error
    return chosen


def scale_name() -> str:
    """"gpu" where there is one, else "cpu"; the variable M2M_SCALE overrides it.

    Raises:
        ValueError: M2M_SCALE is neither.
    """
    name = os.environ.get("M2M_SCALE") or ("gpu" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "gpu"):
        raise ValueError(f"M2M_SCALE: got {name!r}, expected 'cpu' or 'gpu'")
    return name


def scale(*, cpu: T, gpu: T) -> T:
    """The size of an experiment: `cpu` for a laptop and the tests, `gpu` for a Colab GPU."""
    return {"cpu": cpu, "gpu": gpu}[scale_name()]


def seed_everything(seed: int = 0) -> None:
    """Seed Python, NumPy and PyTorch, for the initial weights of networks; data take a generator of their own."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(seed: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A random generator of its own, so that one draw does not depend on another."""
    return torch.Generator(device=device).manual_seed(seed)


def progress_bar(total: int | None, description: str, shown: bool = True, initial: int = 0, **options):
    """A progress bar in a terminal or notebook, silent in a log; the variable TQDM_DISABLE=1 silences it everywhere.

    Args:
        initial: what was done before, of `total`.
        options: of `tqdm`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets gets the text bar, and needs no advice
        from tqdm.auto import tqdm
    in_notebook = "IPython" in sys.modules and getattr(sys.modules["IPython"].get_ipython(), "kernel", None) is not None
    options |= {} if shown and (in_notebook or sys.stderr.isatty()) else {"disable": True}
    return tqdm(total=total, desc=description, initial=initial, leave=False, **options)


def setup(seed: int = 0) -> torch.device:
    """Start a chapter: seed, fix the number of threads (variable M2M_THREADS), say where it runs in one line."""
    seed_everything(seed)
    if threads := os.environ.get("M2M_THREADS"):
        torch.set_num_threads(int(threads))
    chosen = device()
    print(f"device {chosen.type} · scale {scale_name()} · seed {seed}")
    return chosen
