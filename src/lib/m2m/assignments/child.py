"""Inside the sandbox: run the program of one question, ask its probe, write the answer as JSON.

Everything here may be patched by the student's code, which runs in the same process. That is allowed: whatever arrives
at the other end of the pipe is only an answer, and the grader compares its values with its own.
"""

from __future__ import annotations

import json
import linecache
import math
import os
import resource
import signal
import sys
import traceback
from pathlib import Path

from m2m.assignments import namespaces
from m2m.assignments.answers import without_magics

FILE_BYTES, OPEN_FILES = 50_000_000, 256


class Answer:
    """The names that the student's code defined, as attributes: `answer.log_prob(x)`."""

    def __init__(self, names: dict):
        self._names = names

    def __getattr__(self, name: str) -> object:
        if name not in self._names:
            raise NameError(f"the answer does not define {name!r}")
        return self._names[name]


def plain(value: object) -> object:
    """The value as JSON knows it: arrays and tensors become lists, functions their value or {"error": ...}."""
    if callable(value) and not hasattr(value, "detach"):
        try:
            return plain(value())
        except Exception as error:
            return {"error": describe(error)}
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"expected numbers, text, lists or tensors, got {type(value).__name__}")


def run_cell(label: str, source: str, names: dict) -> None:
    """Execute a cell under a file name that shows in tracebacks."""
    source, name = without_magics(source), f"<{label}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), names)


def describe(error: BaseException) -> str:
    """The error with its place in the student's cells."""
    places = [
        f"{frame.filename[1:-1]}, line {frame.lineno}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename[:1] == "<"
    ]
    return "\n".join([*places[-3:], f"{type(error).__name__}: {error}"])[:2000]


def answer(program: list, probe: str, inputs: object) -> dict:
    """{"value": ...} from the probe, or {"error": ...}."""
    try:
        names: dict = {"__name__": "__main__"}
        for label, source in program:
            run_cell(label, source, names)
        if not probe:
            return {"value": None}
        own: dict = {}
        exec(compile(probe, "<the question>", "exec"), own)
        ask = next(value for key, value in own.items() if key != "__builtins__" and callable(value))
        return {"value": plain(ask(Answer(names), inputs))}
    except BaseException as error:  # a SystemExit is an error here like any other
        return {"error": describe(error)}


def warm_up() -> None:
    """What torch imports at the first use of vmap and of an optimiser: seconds, once instead of for every answer."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
        torch.func.vmap(torch.func.jacrev(torch.sin))(torch.ones(2))
        torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0).step()


def limit(seconds: float, megabytes: int, processes: int) -> None:
    """Processor time, memory beyond what is there now, number of processes, size of files."""

    def at_most(what: int, value: int, more: int = 0) -> None:
        hard = resource.getrlimit(what)[1]
        soft, new = (value, value + more) if hard == resource.RLIM_INFINITY else (min(value, hard), hard)
        resource.setrlimit(what, (soft, min(new, value + more)))

    at_most(resource.RLIMIT_CPU, math.ceil(seconds), 1)  # first a signal that says why, then one that cannot be ignored
    at_most(resource.RLIMIT_FSIZE, FILE_BYTES)
    at_most(resource.RLIMIT_NOFILE, OPEN_FILES)
    at_most(resource.RLIMIT_CORE, 0)
    at_most(resource.RLIMIT_NPROC, processes)
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[0])
        at_most(resource.RLIMIT_AS, pages * os.sysconf("SC_PAGE_SIZE") + megabytes * 2**20)


def main(request: dict, question: dict, answer_pipe: int, output_pipe: int) -> None:
    """The whole life of the process that answers one question. Does not return."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        namespaces.prctl(namespaces.PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((nothing, 0), (output_pipe, 1), (output_pipe, 2), (answer_pipe, 3)):
        os.dup2(source, target)
    os.closerange(4, OPEN_FILES * 16)
    os.set_inheritable(3, False)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
    limit(question["seconds"], request["megabytes"], request["processes"])
    own = os.getpid()
    text = json.dumps(answer(question["program"], question["probe"], question["inputs"])).encode()
    if os.getpid() != own:  # a copy that the student's code made of this process: it has no answer to give
        os._exit(0)
    while text:
        text = text[os.write(3, text) :]
    os._exit(0)
