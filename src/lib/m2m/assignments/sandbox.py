"""The grader's side of the sandbox: choose a kind, start its fork server, send a submission, receive the answers.

- namespace: Linux namespaces, no network, no file but Python's own and an empty folder.
- container: the same in a container of docker or podman, a fresh one for each submission; slower by the import of
  torch.
- process: limits only. The student's code sees every file that the grading user sees.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import m2m
from m2m.assignments import containers, frames

KINDS = ("auto", "namespace", "container", "process")
MEGABYTES, PROCESSES = 1500, 24
START_SECONDS, SLACK_SECONDS = 180, 20
WARNING = (
    "Sandbox 'process': limits only. Submissions can read and change the files of the user who grades,"
    " and reach the network. Use it for submissions that you trust, or on a machine that holds nothing else."
)


class SandboxError(RuntimeError):
    """The sandbox itself did not work; nothing is known about the submission."""


class Sandbox:
    """A started sandbox of one kind; `run` may be called again and again, from one thread.

    Args:
        kind: "namespace", "container" or "process".
        preload: import statements to be executed once, before the first submission.
        hidden: paths that a submission must not see; a ValueError if the sandbox would show them.

    Raises:
        SandboxError: this is not Linux.
    """

    def __init__(self, kind: str, preload: str = "", hidden: Sequence[Path] = ()):
        if kind not in KINDS[1:]:
            raise ValueError(f"sandbox: got {kind!r}, expected one of {', '.join(KINDS[1:])}")
        if sys.platform != "linux":
            raise SandboxError(f"sandboxes need Linux, this is {sys.platform}; on Windows it runs in WSL")
        self.kind, self.preload, self.hidden = kind, preload, [Path(path).resolve() for path in hidden]
        self.root = Path(tempfile.mkdtemp(prefix="m2m-sandbox-"))
        self.root.chmod(0o711)
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, questions: list[dict], megabytes: int = MEGABYTES, processes: int = PROCESSES) -> dict[str, dict]:
        """A record for every question, whatever happens inside.

        Args:
            questions: {"id", "program": [[label, source]], "probe": source, "inputs": JSON, "seconds"} each.

        Raises:
            SandboxError: the sandbox could not be entered.
        """
        records: dict[str, dict] = {}
        waiting = list(questions)
        while waiting:
            request = {"questions": waiting, "megabytes": megabytes, "processes": processes}
            self._attempt(request, records)
            waiting = [question for question in waiting if question["id"] not in records]
            if waiting:  # the first of them was running when everything around it died
                lost = waiting.pop(0)
                records[lost["id"]] = {"id": lost["id"], "status": "lost", "answer": "", "output": "", "seconds": 0.0}
        return records

    def _attempt(self, request: dict, records: dict[str, dict]) -> None:
        if self.process is None:
            self._start()
        limits = iter([question["seconds"] for question in request["questions"]] + [0, 0])
        try:
            os.write(self.process.stdin.fileno(), b"g")
            frames.write_frame(self.process.stdin.fileno(), request)
            while not (frame := self._read(frames.PATIENCE * next(limits, 0) + SLACK_SECONDS)).get("end"):
                if "failed" in frame:
                    raise SandboxError(frame["failed"])
                if "over" in frame:
                    raise EOFError
                records[frame["id"]] = frame
            self._read(SLACK_SECONDS)
        except (EOFError, OSError, ValueError, KeyError):
            self._stop()
        except SandboxError:
            self._stop()
            raise
        if self.kind == "container":
            self._stop()

    def _read(self, seconds: float) -> dict:
        output = self.process.stdout.fileno()
        if not select.select([output], [], [], seconds)[0] or (frame := frames.read_frame(output)) is None:
            raise EOFError
        return frame

    def _command(self) -> list[str]:
        settings = {
            "mode": "namespace" if self.kind == "namespace" else "process",
            "preload": self.preload,
            "root": "/sandbox" if self.kind == "container" else str(self.root),
        }
        python = [sys.executable, "-P", "-m", "m2m.assignments.server", json.dumps(settings)]
        if self.kind != "container":
            return python
        try:
            return containers.command(python, environment("namespace"), library())
        except OSError as error:
            raise SandboxError(str(error)) from error

    def _start(self) -> None:
        self.process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=environment(self.kind),
            start_new_session=True,
        )
        try:
            visible = self._read(START_SECONDS)["visible"]
        except (EOFError, OSError, ValueError, KeyError) as error:
            self._stop()
            raise SandboxError("the program in the sandbox did not start") from error
        for path in self.hidden if self.kind != "process" else ():
            for folder in visible:
                if path.is_relative_to(Path(folder).resolve()):
                    self._stop()
                    raise ValueError(f"sandbox: {path} lies in {folder}, which submissions can read; move it elsewhere")

    def _stop(self) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process.stdin.close(), self.process.stdout.close()
            self.process = None

    def close(self) -> None:
        self._stop()
        shutil.rmtree(self.root, ignore_errors=True)


def library() -> str:
    """The folder from which m2m is imported."""
    return str(Path(m2m.__file__).parent.parent)


def environment(kind: str) -> dict[str, str]:
    """All that a submission sees of the grader's environment variables, and what keeps one process on one core."""
    threads = {
        name: "1"
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "M2M_THREADS")
    }
    names = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/sandbox",
        "USER": "student",
        "LANG": "C.UTF-8",
        "PYTHONPATH": library(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": "/tmp",
        "NUMBA_CACHE_DIR": "/tmp",
        "TQDM_DISABLE": "1",
        "M2M_SCALE": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }
    engine = {key: value for key, value in os.environ.items() if key.startswith(("DOCKER_", "XDG_", "CONTAINER"))}
    if kind == "container":
        engine |= {"PATH": os.environ.get("PATH", names["PATH"]), "HOME": os.environ.get("HOME", "/")}
    return names | threads | (engine if kind == "container" else {})


# Which one


def works(kind: str) -> str:
    """An empty text if a sandbox of this kind runs a program here, else the reason why not."""
    question = {
        "id": "try",
        "program": [["try", "value = 6 * 7"]],
        "probe": "def probe(answer, _): return answer.value",
        "inputs": None,
        "seconds": 20,
    }
    try:
        with Sandbox(kind) as sandbox:
            record = sandbox.run([question])["try"]
    except (SandboxError, OSError, subprocess.SubprocessError) as error:
        return str(error)
    return (
        ""
        if record["answer"] == '{"value": 42}'
        else f"a program ended as {record['status']!r}: {record['output'][-300:]}"
    )


def choose(kind: str = "auto") -> tuple[str, list[str]]:
    """The kind to use, and what the report should say about the choice.

    Raises:
        SandboxError: the kind asked for does not work here.
    """
    if kind != "auto":
        if reason := works(kind):
            raise SandboxError(f"sandbox {kind!r} does not work here: {reason}")
        return kind, [WARNING] if kind == "process" else []
    said = []
    for candidate in ("namespace", "container"):
        if not (reason := works(candidate)):
            return candidate, said
        said.append(f"sandbox {candidate!r} does not work here: {reason}")
    return "process", [*said, WARNING]
