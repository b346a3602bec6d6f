"""Timing that survives a busy machine: cases take turns in one process, and ratios are what is read.

On the CPU it is processor time, which other processes do not add to; on a GPU it is wall time between two synchronisations.
Cases take turns, so that what slows the machine down for a while slows all of them, in an order drawn anew each round, so
that none always follows the one that leaves the cache in the worst state.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch


@dataclass(frozen=True)
class Timing:
    """Milliseconds per call: the median of the rounds and the quartiles around it."""

    median: float
    low: float
    high: float
    rounds: int


class Clock:
    """Seconds of work done so far on a device."""

    def __init__(self, device: torch.device):
        self.device = device

    def __call__(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()


def keep_memory() -> None:
    """Ask glibc to keep freed memory. Given back and fetched again at random, it made single rounds up to 1.5 times slower."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        trim_threshold, mmap_threshold = -1, -3
        libc.mallopt(trim_threshold, 2**31 - 1), libc.mallopt(mmap_threshold, 2**25)
    except (OSError, AttributeError):
        pass


def take_turns(
    cases: Mapping[str, Callable[[], object]], *, clock: Clock, rounds: int = 15, block: float = 0.05, budget: float = 60.0
) -> dict[str, Timing]:
    """Time the cases round after round, each for about `block` seconds a round, after two calls that do not count.

    Args:
        rounds: how often each case has its turn, at most.
        budget: seconds after which no new round begins; there are at least three.

    Returns:
        The timings of the cases that run; for the others, the error is printed.
    """
    repeats, seconds = {}, {}
    for name, call in cases.items():
        try:
            call()
            start = clock()
            call()
            once = clock() - start
        except Exception as error:  # a peer that fails should not end the run
            print(f"{name} fails: {type(error).__name__}: {str(error).splitlines()[0][:200]}", file=sys.stderr)
            continue
        repeats[name], seconds[name] = max(1, min(1000, int(block / max(once, 1e-7)))), []
    order = random.Random(0)
    began = time.perf_counter()
    gc.collect()
    gc.freeze()  # what is there now is not looked through again each round
    gc.disable()
    try:
        for done in range(rounds):
            if done >= 3 and time.perf_counter() - began > budget:
                break
            for name, count in order.sample(list(repeats.items()), len(repeats)):
                if count > 1:
                    cases[name]()  # not counted: the cache, and perhaps a thread, are still busy with the case before
                start = clock()
                for _ in range(count):
                    cases[name]()
                seconds[name].append((clock() - start) / count)
            gc.collect()
    finally:
        gc.unfreeze()
        gc.enable()
    return {name: _timing(values) for name, values in seconds.items()}


def _timing(values: list[float]) -> Timing:
    low, median, high = (1e3 * q for q in statistics.quantiles(values, n=4, method="inclusive"))
    return Timing(median, low, high, len(values))


def machine(device: torch.device) -> dict:
    """What the numbers were measured on."""
    processor = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor()
    )
    described = {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
    }
    if hasattr(os, "getloadavg"):
        described["load"] = round(os.getloadavg()[0], 1)
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def versions(*packages: str) -> dict[str, str]:
    """The versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that was measured, with a + if files differ from it."""
    git = lambda *words: subprocess.run(
        ["git", *words], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--", "../src", ".") else "")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
