"""The fork server: imports torch once, then forks a fresh sandboxed process for every submission.

It never reads a submission, a judge or a result: the process that it forks reads the request, so nothing of one student
is in the memory that the next one inherits.

    python -m m2m.assignments.server '{"mode": "namespace", "root": "/tmp/...", "preload": "import torch"}'

Input: a byte b"g", then a frame with the request. Output: frames, one per question, and {"over": true} at the end.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from m2m.assignments import namespaces, supervisor
from m2m.assignments.frames import read_frame, write_frame


def folders_on_path() -> list[str]:
    """What Python needs to see: its own folders and those on its path."""
    wanted = [sys.prefix, sys.base_prefix, *filter(os.path.isdir, sys.path)]
    shortest: list[str] = []
    for folder in sorted({os.path.abspath(path) for path in wanted}, key=len):
        if not any(Path(folder).is_relative_to(other) for other in [*shortest, *namespaces.SYSTEM_FOLDERS]):
            shortest.append(folder)
    return shortest


def in_namespaces(root: Path) -> None:
    """A forked process: new namespaces, then process 1 in them with the minimal view."""
    told_out, told_in = os.pipe()
    mapped_out, mapped_in = os.pipe()
    pid = os.fork()
    if pid:
        os.close(told_in), os.close(mapped_out)
        if os.read(told_out, 1):
            namespaces.write_user_maps(pid)
            os.write(mapped_in, b"m")
        os.close(told_out), os.close(mapped_in)
        os.waitpid(pid, 0)
        return
    os.close(told_out), os.close(mapped_in)
    namespaces.unshare()
    namespaces.prctl(namespaces.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of rights clears it, so it comes after
    os.write(told_in, b"u")
    os.read(mapped_out, 1)
    alone_in(root)


def alone_in(root: Path) -> None:
    """From the new namespaces: process 1 answers the request in the minimal view. Does not return."""
    inner = os.fork()
    if inner:
        os.waitpid(inner, 0)
        os._exit(0)
    request = read_frame(0)
    namespaces.enter_view(root, folders_on_path())
    namespaces.give_up_rights()
    namespaces.prctl(namespaces.PR_SET_PDEATHSIG, signal.SIGKILL)
    supervisor.supervise(request, lambda record: write_frame(1, record), alone=True)
    write_frame(1, {"end": True})
    os._exit(0)


def in_process(root: Path) -> None:
    """A forked process with limits and an empty folder; it sees every file that its user sees."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    request = read_frame(0)
    folder = tempfile.mkdtemp(dir=root)
    os.chdir(folder)
    if os.geteuid() == 0 and others_can_read():
        os.chown(folder, namespaces.NOBODY, namespaces.NOBODY)
        become_nobody()
    if sys.platform == "linux":
        namespaces.prctl(namespaces.PR_SET_PDEATHSIG, signal.SIGKILL)
        namespaces.prctl(namespaces.PR_SET_CHILD_SUBREAPER, 1)
        namespaces.prctl(namespaces.PR_SET_DUMPABLE, 0)
    request["processes"] += processes_of(os.getuid())
    supervisor.supervise(request, lambda record: write_frame(1, record), alone=False)
    write_frame(1, {"end": True})
    os._exit(0)


def become_nobody() -> None:
    """Give up the rights of root, for good."""
    os.setgroups([]), os.setresgid(*[namespaces.NOBODY] * 3), os.setresuid(*[namespaces.NOBODY] * 3)


def others_can_read() -> bool:
    """Whether a user without rights could import what Python has installed."""
    pid = os.fork()
    if pid == 0:
        become_nobody()
        os._exit(0 if all(os.access(path, os.R_OK | os.X_OK) for path in folders_on_path()) else 1)
    return os.waitpid(pid, 0)[1] == 0


def processes_of(user: int) -> int:
    """How many processes and threads the user has: the kernel counts them all against the limit."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            count += len(os.listdir(process / "task")) if process.stat().st_uid == user else 0
        except OSError:
            continue
    return count


def serve(fork: Callable[[Path], None], root: Path) -> None:
    """Until the input ends: one submission, one forked process."""
    while os.read(0, 1) == b"g":
        try:
            fork(root)
        except OSError as error:
            write_frame(1, {"failed": str(error)})
            if os.getpid() != SERVER:
                os._exit(1)
        for left in root.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        write_frame(1, {"over": True})


if __name__ == "__main__":
    SERVER = os.getpid()
    settings = json.loads(sys.argv[1])
    namespaces.prctl(namespaces.PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing runs on when the grader is killed
    exec(settings["preload"], {})
    gc.collect()
    gc.freeze()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    write_frame(1, {"visible": folders_on_path()})
    serve({"namespace": in_namespaces, "process": in_process}[settings["mode"]], Path(settings["root"]))
