"""The experiments behind the book's tables: small and live in a chapter, in full from the command line.

A module `m2m/experiments/NAME.py` has two functions: `tasks(scale)` lists settings (plain values, with a seed),
and `run(**task)` trains or measures and returns named numbers. Then

    python -m m2m.experiments NAME --scale gpu --out results/NAME.json

runs them all and writes each result as soon as it is there; started again, it goes on with those that are missing.
In a chapter `rows(NAME)` gives the small ones, live, `load("results/NAME.json")` the long run's, and `agree` compares the two.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import pkgutil
import platform
import shlex
import subprocess
import time
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

import numpy
import torch

import m2m
from m2m import runtime, training


def names() -> list[str]:
    """The experiments there are."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))


def rows(
    name: str,
    scale: str = "cpu",
    progress: bool = True,
    out: str | Path | None = None,
    seeds: Sequence[int] | None = None,
    only: dict[str, Sequence] | None = None,
    device: str | None = None,
) -> list[dict]:
    """Run the tasks of an experiment and return a row `{"task", "result", "seconds"}` for each.

    Args:
        scale: "cpu" or "gpu", the size that `tasks` is asked for.
        out: results file; tasks that it has with the same settings are not run again, and each new row is written at once.
        seeds: only the tasks with these seeds.
        only: only the tasks whose settings are among these, such as `{"model": ["maf", "iaf"]}`.
        device: passed on to `run` where it takes a device.

    Raises:
        ValueError: unknown name, scale or filter, or `out` belongs to another experiment or scale.
    """
    module = _module(name)
    if scale not in ("cpu", "gpu"):
        raise ValueError(f"scale: got {scale!r}, expected 'cpu' or 'gpu'")
    tasks = [_plain(task) for task in module.tasks(scale)]
    chosen = _choose(tasks, (only or {}) | ({} if seeds is None else {"seed": seeds}))
    run, processes = _runner(module, device), training.processes()
    record = _start(name, scale, out, tasks, shlex.join(_command(name, scale, out, seeds, only, device)))
    processes.wait_for_everyone()  # all have read what is done before one writes
    done = []
    bar = runtime.progress_bar(len(chosen), name, progress and processes.is_main_process)
    for task in chosen:
        row = next((row for row in record["rows"] if row["task"] == task), None)
        if row is None:
            row = _measure(run, task)
            record["rows"] = sorted(record["rows"] + [row], key=lambda row: tasks.index(row["task"]))
            if out is not None and processes.is_main_process:
                _write(Path(out), record)
        done.append(row)
        bar.update()
    bar.close()
    return done


def load(path: str | Path) -> dict:
    """A results file: experiment, command, commit, scale, machine, versions, seconds and rows.

    A relative path is looked for here, in the folders above, and in the repository of the library; an installed library
    without its repository reads the file that was published with its version.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not a results file.
    """
    path = Path(path)
    folders = (Path.cwd(), *Path.cwd().parents, *Path(m2m.__file__).parents)
    found = next((folder / path for folder in folders if (folder / path).is_file()), None)
    text = found.read_bytes() if found else _published(path)
    try:
        record = json.loads(text)
    except ValueError as error:
        raise ValueError(f"results file {path}: damaged, it is not JSON ({error})") from error
    needed = ("experiment", "command", "commit", "scale", "machine", "versions", "rows")
    missing = [key for key in needed if not isinstance(record, dict) or key not in record]
    if missing or any(not isinstance(row, dict) or not {"task", "result", "seconds"} <= row.keys() for row in record["rows"]):
        lacks = ", ".join(missing) or "task, result or seconds in a row"
        raise ValueError(f"results file {path}: not a results file, it lacks {lacks}")
    return record


def agree(
    live: Sequence[dict], long: Sequence[dict], keys: Sequence[str], value: str, spread: float = 3.0, floor: float = 0.0
) -> list[dict]:
    """Compare live rows with those of a long run, and fail where they differ by more than their spread.

    Rows are grouped by the settings `keys`. A group agrees when the means over seeds of the result `value` differ by at most
    `spread` times the standard deviation over seeds (of one live and one long run together), or by at most `floor`.

    Returns:
        A row per group that both have: the settings, the two means, their difference, what is allowed.

    Raises:
        AssertionError: a group does not agree.
        ValueError: no common group, a key or value that rows lack, or a single seed on both sides and no `floor`.
    """
    sides = [_grouped(side, keys, value) for side in (live, long)]
    common = [group for group in sides[0] if group in sides[1]]
    if not common:
        shown = [", ".join(sorted(side)[:5]) for side in sides]
        raise ValueError(f"keys: no group of {list(keys)} in common; live has {shown[0]}, the long run has {shown[1]}")
    table = []
    for group in common:
        settings = dict(zip(keys, json.loads(group), strict=True))
        table.append(settings | _compared(settings, sides[0][group], sides[1][group], spread, floor))
    apart = [row for row in table if not row["difference"] <= row["allowed"]]  # a nan does not agree
    if apart:
        number = lambda value: f"{value:.4g}" if isinstance(value, float) else str(value)
        listed = "; ".join(", ".join(f"{key} {number(part)}" for key, part in row.items()) for row in apart)
        raise AssertionError(f"live and long run disagree on {value}: {listed}")
    return table


# Running


def _module(name: str) -> ModuleType:
    if name not in names():
        raise ValueError(f"experiment: got {name!r}, expected one of: {', '.join(names()) or 'none there yet'}")
    return importlib.import_module(f"{__name__}.{name}")


def _runner(module: ModuleType, device: str | None) -> Callable[..., dict]:
    if device is None:
        return module.run
    if "device" not in inspect.signature(module.run).parameters:
        raise ValueError(f"device: got {device!r}, but this experiment chooses its device itself; expected None")
    chosen = runtime.device(device)
    return lambda **task: module.run(**task, device=chosen)


def _measure(run: Callable[..., dict], task: dict) -> dict:
    runtime.seed_everything(task.get("seed", 0))  # a row does not depend on which tasks ran before it
    started = time.perf_counter()
    result = run(**task)
    seconds = round(time.perf_counter() - started, 3)
    if not isinstance(result, dict):
        raise ValueError(f"run: returned {type(result).__name__} for {task}, expected a dict of numbers")
    return {"task": task, "result": _plain(result), "seconds": seconds}


def _choose(tasks: list[dict], only: dict[str, Sequence]) -> list[dict]:
    for key, wanted in only.items():
        there = {json.dumps(task.get(key)): task.get(key) for task in tasks if key in task}
        unknown = [value for value in wanted if json.dumps(_plain(value)) not in there]
        if unknown or not wanted:
            raise ValueError(f"{key}: got {list(wanted)}, expected some of {list(there.values())}")
    return [task for task in tasks if all(task.get(key) in _plain(list(wanted)) for key, wanted in only.items())]


def _plain(value: Any) -> Any:
    """The value as a results file gives it back: numbers of PyTorch and NumPy as numbers, tuples as lists."""

    def listed(value: Any) -> Any:
        if isinstance(value, (torch.Tensor, numpy.ndarray, numpy.generic)):
            return value.tolist()
        raise ValueError(f"result: got {type(value).__name__}, expected numbers, texts, and lists or dicts of them")

    return json.loads(json.dumps(value, default=listed))


# Results files


def _start(name: str, scale: str, out: str | Path | None, tasks: list[dict], command: str) -> dict:
    """A new record, or the one in `out` with the rows whose settings are still asked for."""
    commit, changed = _commit()
    record = dict(experiment=name, command=command, commit=commit, uncommitted_changes=changed, scale=scale,
                  machine=_machine(), versions=_versions(), seconds=0.0, rows=[])  # fmt: skip
    if out is None or not Path(out).exists():
        return record
    before = load(Path(out).absolute())
    if (before["experiment"], before["scale"]) != (name, scale):
        has = f"experiment {before['experiment']!r} at scale {before['scale']!r}"
        raise ValueError(f"out: {out} has {has}, expected {name!r} at {scale!r}")
    record["rows"] = [row for row in before["rows"] if row["task"] in tasks]
    if left := len(before["rows"]) - len(record["rows"]):
        warnings.warn(f"{out}: {left} rows have settings that {name} no longer asks for, and are left out", stacklevel=3)
    origin = {key: before.get(key) for key in ("commit", "uncommitted_changes", "machine", "versions")}
    earlier = before.get("earlier", []) + ([origin] if any(origin[key] != record[key] for key in origin) else [])
    return record | ({"earlier": earlier} if earlier else {})  # where rows come from that were there already


def _write(path: Path, record: dict) -> None:
    record["seconds"] = round(sum(row["seconds"] for row in record["rows"]), 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    head = {key: value for key, value in record.items() if key != "rows"}
    lines = ",\n".join("  " + json.dumps(row) for row in record["rows"])  # a row a line, so that changes can be read
    part.write_text(json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n{lines}\n ]\n}}\n')
    os.replace(part, path)


def _command(name: str, scale: str, out, seeds, only, device) -> list[str]:
    words = ["python", "-m", __name__, name, "--scale", scale]
    if out is not None:
        words += ["--out", Path(out).name if Path(out).is_absolute() else Path(out).as_posix()]  # no folder of this machine
    if seeds is not None:
        words += ["--seeds", *map(str, seeds)]
    words += [f"--only={key}={','.join(map(str, values))}" for key, values in (only or {}).items()]
    return words + (["--device", device] if device else [])


def _commit() -> tuple[str, bool | None]:
    """The commit of the library's source and whether it has changes since; ("unknown", None) outside its repository."""
    folder = Path(m2m.__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # an installed copy may lie inside another repository
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--", "."))
    except (OSError, subprocess.CalledProcessError):
        return "unknown", None


def _machine() -> dict:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    processes = training.processes().num_processes
    return dict(cpu=cpu, cores=os.cpu_count(), threads=torch.get_num_threads(), gpu=gpu, processes=processes)


def _versions() -> dict[str, str]:
    return dict(python=platform.python_version(), torch=torch.__version__, numpy=numpy.__version__, m2m=m2m.__version__)


def _published(path: Path) -> bytes:
    """A results file from the book's repository at the library's version, for a library installed without it, as on Colab."""
    advice = f"`python -m m2m.experiments {path.stem} --scale gpu --out {path}` makes it"
    try:
        links = metadata.metadata("moons-to-molecules").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        links = []
    repository = next((link.split(",", 1)[1].strip() for link in links if link.startswith("Repository,")), "")
    if path.is_absolute() or not repository or "." in repository.removeprefix("https://github.com/").split("/")[0]:
        raise FileNotFoundError(f"results file {path}: there is no such file; {advice}")
    address = f"{repository}/raw/v{m2m.__version__}/{path.as_posix()}"
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return answer.read()
    except OSError as error:
        raise FileNotFoundError(f"results file {path}: neither here nor at {address} ({error}); {advice}") from error


# Comparing


def _grouped(side: Sequence[dict], keys: Sequence[str], value: str) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for row in side:
        for place, wanted in (("task", keys), ("result", [value])):
            if absent := [key for key in wanted if key not in row[place]]:
                raise ValueError(
                    f"{'keys' if place == 'task' else 'value'}: got {absent[0]!r}, expected some of {sorted(row[place])}"
                )
        groups.setdefault(json.dumps([row["task"][key] for key in keys]), []).append(float(row["result"][value]))
    return groups


def _compared(group: dict, live: list[float], long: list[float], spread: float, floor: float) -> dict:
    deviations = [stdev(values) if all(map(math.isfinite, values)) else math.nan for values in (live, long) if len(values) > 1]
    if not deviations and not floor:
        raise ValueError(f"spread: one live and one long row for {group}, expected two seeds on one side, or a floor")
    allowed = max(spread * math.sqrt(2 * mean(d * d for d in deviations)) if deviations else 0.0, floor)
    return dict(live=mean(live), long=mean(long), difference=abs(mean(live) - mean(long)), allowed=allowed)
