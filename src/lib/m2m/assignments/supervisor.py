"""Inside the sandbox, before any student's code: one process per question, its limits, its pipes, its end.

Each question gets a process of its own, forked from this one, so that a question that hangs, crashes or spoils its
process takes no other with it. In its own process namespace this is process 1: no signal from inside can end it, and
when it ends, the kernel ends everything that the student started.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from m2m.assignments import child, frames

ANSWER_BYTES, OUTPUT_BYTES = 1_000_000, 20_000


def supervise(request: dict, send: Callable[[dict], None], alone: bool) -> None:
    """Run every question of the request and send a record of each as soon as it is there.

    Args:
        request: {"questions": [{id, program, probe, inputs, seconds}], "megabytes", "processes"}.
        alone: this is process 1 of its own process namespace.
    """
    for question in request["questions"]:
        send(run(request, question, alone))


def run(request: dict, question: dict, alone: bool) -> dict:
    """The record of one question: status, answer (text, at most 1 MB), output (text, truncated), seconds."""
    start = time.monotonic()
    (answer_out, answer_in), (output_out, output_in) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child.main(request, question, answer_in, output_in)
        finally:
            os._exit(70)
    os.close(answer_in), os.close(output_in)
    ended, texts = collect(pid, {answer_out: ANSWER_BYTES, output_out: OUTPUT_BYTES}, start + frames.PATIENCE * question["seconds"])
    if ended:
        _, status = os.waitpid(pid, 0)
    kill_all(pid, alone)
    for pipe in (answer_out, output_out):
        os.close(pipe)
    return record_of(question["id"], time.monotonic() - start, status if ended else None, *texts)


def record_of(
    name: str, seconds: float, status: int | None, answered: tuple[bytes, bool], printed: tuple[bytes, bool]
) -> dict:
    """The record of a question whose process ended with this wait status, None if it did not end."""
    (answer, too_long), (output, cut) = answered, printed
    record = {
        "id": name,
        "seconds": round(seconds, 3),
        "output": output.decode("utf-8", "replace") + (" [cut here]" if cut else ""),
    }
    if status is None:
        return record | {"status": "time", "answer": ""}
    if os.WIFSIGNALED(status):
        return record | {"status": "killed", "signal": os.WTERMSIG(status), "answer": ""}
    if too_long:
        return record | {"status": "too long", "answer": ""}
    return record | {"status": "answered" if answer else "silent", "answer": answer.decode("utf-8", "replace")}


def collect(pid: int, pipes: dict[int, int], deadline: float) -> tuple[bool, list[tuple[bytes, bool]]]:
    """Read the pipes until the process ends or time is over; what exceeds a pipe's limit is read and dropped.

    Returns:
        Whether the process ended, and for each pipe its bytes and whether some were dropped.
    """
    watch = os.pidfd_open(pid)
    kept = {pipe: bytearray() for pipe in pipes}
    dropped = dict.fromkeys(pipes, False)
    still_open, ended = set(pipes), False
    for pipe in pipes:
        os.set_blocking(pipe, False)
    while not ended and (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([*still_open, watch], [], [], left)
        ended = watch in ready
        for pipe in [*still_open]:
            # After the end once more, for what lies in the pipe; never for ever, since a grandchild may go on writing
            for piece in _pieces(pipe, 64 if ended else 1):
                if not piece:
                    still_open.discard(pipe)
                    break
                room = pipes[pipe] - len(kept[pipe])
                kept[pipe] += piece[:room]
                dropped[pipe] |= len(piece) > room
    os.close(watch)
    return ended, [(bytes(kept[pipe]), dropped[pipe]) for pipe in pipes]


def _pieces(pipe: int, most: int) -> Iterator[bytes]:
    for _ in range(most):
        try:
            yield os.read(pipe, 65536)
        except BlockingIOError:
            return


def kill_all(pid: int, alone: bool) -> None:
    """End whatever the question left behind, and whatever that starts meanwhile."""
    while True:
        try:
            if alone:
                os.kill(-1, signal.SIGKILL)
            else:
                for process in [*descendants(os.getpid()), pid]:
                    _kill(process)
        except ProcessLookupError:
            pass
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        except ChildProcessError:
            return


def _kill(process: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, where the system has /proc."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for name in task.read_text().split():
                found += [int(name), *descendants(int(name))]
        except OSError:
            continue
    return found
