"""Grade a folder of submissions: several at a time, or on a Dask cluster, and on again where a stopped run ended.

Every submission has one file `results/<student>.json`, written in one step when it is complete. There is no other
state, so a run that was killed loses at most the submissions that it was grading, and machines need to share nothing.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from m2m import runtime
from m2m.assignments import answers, grading, judge, sandbox
from m2m.assignments.judge import Assignment

OWN = threading.local()  # each thread keeps its started sandbox


def submissions(folder: Path, roster: list[str] | None = None) -> dict[str, tuple[Path | None, list[str]]]:
    """Student -> (file or None, notes). A file `ada.ipynb`, or a folder `ada/` with a notebook of any name, is Ada's.

    Raises:
        ValueError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"submissions: got {folder}, expected a folder")
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            found[path.name] = _inside(path)
        else:
            name = path.name.partition(".ipynb")[0] if ".ipynb" in path.name else path.stem
            notes = (
                []
                if path.suffix == ".ipynb"
                else [f"the file is called {path.name}; a name that ends in .ipynb was expected"]
            )
            found[name] = _safe(path, notes)
    for student in roster or []:
        found.setdefault(student, (None, []))
    return found


def _inside(folder: Path) -> tuple[Path | None, list[str]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    notebooks = [path for path in files if path.suffix == ".ipynb" and ".ipynb_checkpoints" not in path.parts]
    if len(notebooks) == 1:
        return _safe(notebooks[0], [])
    if notebooks:
        newest = max(notebooks, key=lambda path: (path.stat().st_mtime, path.name))
        return _safe(newest, [f"{len(notebooks)} notebooks; the newest, {newest.name}, was graded"])
    readable = [path for path in files if answers.read_notebook(path)[0]]
    if readable:
        return _safe(readable[0], [f"the file is called {readable[0].name}; a name that ends in .ipynb was expected"])
    return None, []


def _safe(path: Path, notes: list[str]) -> tuple[Path | None, list[str]]:
    """A link could make the grader read a file of its own."""
    return (None, [*notes, f"{path.name} is a link and was not followed"]) if path.is_symlink() else (path, notes)


def write_json(path: Path, content: object) -> None:
    """The whole file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def result_path(out: Path, student: str) -> Path:
    """Where a run keeps the result of a student: `out/results/STUDENT.json`, with what no file name allows quoted."""
    return Path(out) / "results" / f"{urllib.parse.quote(student, safe=' @+,=')}.json"


def results(out: Path) -> list[dict]:
    """All results of a run, by student.

    Raises:
        ValueError: there are none.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((Path(out) / "results").glob("*.json"))]
    if not found:
        raise ValueError(f"{out}: no results; grade first")
    return sorted(found, key=lambda result: result["student"])


def run_settings(out: Path, assignment: Assignment, kind: str, seed: int | None, said: list[str]) -> dict:
    """Seed and sandbox of a run: those of the run that is continued, if there is one."""
    path = Path(out) / "run.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if stored.get("digest") == assignment.digest and seed in (None, stored.get("seed")):
        seed = stored["seed"]
    settings = {
        "assignment": assignment.name,
        "digest": assignment.digest,
        "sandbox": kind,
        "said": said,
        "seed": secrets.randbelow(2**31) if seed is None else seed,
    }
    write_json(path, settings)
    return settings


def grade_class(
    folder: Path,
    assignment: Assignment,
    out: Path,
    jobs: int = 1,
    kind: str = "auto",
    seed: int | None = None,
    roster: list[str] | None = None,
    dask: str | None = None,
    progress: bool = True,
) -> list[dict]:
    """Grade what is not yet graded and return all results.

    Args:
        out: folder for run.json and results/.
        jobs: submissions at a time.
        kind: of the sandbox, or "auto".
        seed: of the hidden inputs; by default a new secret one, or that of the run that is continued.
        dask: the address of a scheduler, or "local" for a cluster of `jobs` processes on this machine.
    """
    if jobs < 1:
        raise ValueError(f"jobs: got {jobs}, expected at least 1")
    out = Path(out)
    found = submissions(folder, roster)
    kind, said = sandbox.choose(kind)
    settings = run_settings(out, assignment, kind, seed, said)
    for line in said:
        print(line)
    waiting = {student: entry for student, entry in found.items() if not is_graded(out, student, entry[0], settings)}
    bar = runtime.progress_bar(len(found), "submissions", progress, initial=len(found) - len(waiting))
    with bar:
        for result in (on_dask if dask else in_threads)(waiting, assignment, settings, jobs, dask, [folder, out]):
            result["notes"] = found[result["student"]][1] + result["notes"]
            write_json(result_path(out, result["student"]), result)
            bar.update()
    return results(out)


def is_graded(out: Path, student: str, path: Path | None, settings: dict) -> bool:
    """Whether the stored result is of this file, this assignment and this seed, and complete."""
    try:
        stored = json.loads(result_path(out, student).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    wanted = (settings["digest"], settings["seed"], grading.fingerprint(path), "")
    return (stored["digest"], stored["seed"], stored["sha256"], stored["failed"]) == wanted


def own_sandbox(kind: str, assignment: Assignment, hidden: list[Path]) -> sandbox.Sandbox:
    """The sandbox of this thread, started at its first submission."""
    if getattr(OWN, "key", None) != (kind, assignment.digest):
        if hasattr(OWN, "sandbox"):
            OWN.sandbox.close()
        OWN.sandbox = sandbox.Sandbox(kind, assignment.preload, [assignment.folder, *hidden])
        OWN.key = (kind, assignment.digest)
        atexit.register(OWN.sandbox.close)
    return OWN.sandbox


def in_threads(
    waiting: dict, assignment: Assignment, settings: dict, jobs: int, _: object, hidden: list
) -> Iterator[dict]:
    """Results as they come, from `jobs` threads with a sandbox each."""
    started: list[sandbox.Sandbox] = []

    def one(student: str) -> dict:
        box = own_sandbox(settings["sandbox"], assignment, hidden)
        started.append(box)
        return grading.grade(waiting[student][0], assignment, settings["seed"], box, student)

    pool = ThreadPoolExecutor(jobs)
    try:
        for future in as_completed([pool.submit(one, student) for student in waiting]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        for box in set(started):
            box.close()


def on_dask(waiting: dict, assignment: Assignment, settings: dict, jobs: int, address: str, _: list) -> Iterator[dict]:
    """Results as they come, from the workers of a cluster; files travel with the tasks."""
    import dask.distributed

    if address == "local":
        client = dask.distributed.Client(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
    else:
        client = dask.distributed.Client(address)
    files = {name: (assignment.folder / name).read_bytes() for name in ("master.ipynb", "judge.py")}
    with client:
        shared = client.scatter(files, broadcast=True)
        tasks = [
            client.submit(
                grade_bytes,
                student,
                path.name if path else None,
                path.read_bytes() if path else b"",
                shared,
                assignment.name,
                settings,
                pure=False,
            )
            for student, (path, _) in waiting.items()
        ]
        for task in dask.distributed.as_completed(tasks):
            yield task.result()
        if address == "local":
            client.shutdown()


def grade_bytes(student: str, name: str | None, content: bytes, files: dict, assignment: str, settings: dict) -> dict:
    """Grade one submission on a machine that has neither the submission nor the assignment on its disk."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / assignment
        home.mkdir()
        for file, text in files.items():
            (home / file).write_bytes(text)
        path = Path(folder) / Path(name).name if name else None
        if path:
            path.write_bytes(content)
        loaded = judge.load(home)
        return grading.grade(path, loaded, settings["seed"], own_sandbox(settings["sandbox"], loaded, []), student)
