"""How much memory a call needs beyond what is there before it."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import torch


def extra(build: Callable[..., Callable[[], object]], *arguments: str, device: torch.device) -> float | None:
    """MiB by which one call of `build(*arguments, device)` raises the peak, in a process of its own.

    Returns:
        None on a system that does not tell.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            return round(pool.apply(_extra, (build, arguments, device.type)), 1)
        except (OSError, StopIteration):
            return None


def _extra(build: Callable[..., Callable[[], object]], arguments: tuple[str, ...], device: str) -> float:
    torch.set_num_threads(1)
    torch.empty(0, device=device)
    call = build(*arguments, torch.device(device))
    call()  # what is compiled and kept is not counted
    gc.collect()
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    call()
    return max(0, _status("VmHWM") - before) / 2**10


def _status(key: str) -> int:
    """A line of /proc/self/status, KiB."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
