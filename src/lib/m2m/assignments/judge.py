"""What a `judge.py` is written with: questions, their parts, and the conversion of a student's answer to numbers.

A question has three functions. `inputs(rng)` draws hidden inputs, in the grader. `probe(answer, inputs)` asks the
student's code, in the sandbox; only its own source text goes there, so it imports what it needs. `check(inputs,
output)` compares the output with the grader's own calculation and yields `part(...)`s.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import json
import math
import textwrap
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy
from numpy.typing import ArrayLike

from m2m.assignments import answers, programs


WARM_UP = "from m2m.assignments import child\nchild.warm_up()"


class Malformed(ValueError):
    """An answer that has not the form that was asked for; its message is for the student."""


def nothing(rng: numpy.random.Generator) -> None:
    """The inputs of a question that has none."""


@dataclass(frozen=True)
class Question:
    """A question that the grader marks. `seconds` is processor time for all that it runs; `read` names a section of the
    book."""

    id: str
    title: str
    points: float
    probe: Callable[[object, object], object]
    check: Callable[[object, object], Iterable[dict]]
    inputs: Callable[[numpy.random.Generator], object] = nothing
    seconds: float = 10.0
    read: str = ""


@dataclass(frozen=True)
class Written:
    """A question that a person marks: criteria with their points."""

    id: str
    title: str
    rubric: dict[str, float] = field(default_factory=dict)
    read: str = ""

    @property
    def points(self) -> float:
        return sum(self.rubric.values())


def part(points: float, passed: object, what: str, hint: str = "") -> dict:
    """One mark: `what` was looked at, and a hint for those who did not pass.

    `passed` is True, False, a share between 0 and 1, or a function that returns one of these; a function may meet an
    answer without the form that was asked for, and then this part alone is lost.
    """
    try:
        share = float(passed() if callable(passed) else passed)
    except Malformed as error:
        share, hint = 0.0, str(error)
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    return {"points": round(points * share, 2), "max": points, "what": what, "hint": "" if share == 1 else hint}


def numbers(output: object, shape: tuple[int, ...] = (), name: str | None = None) -> numpy.ndarray:
    """The output, or its entry of this name, as float64 of exactly this shape.

    Raises:
        Malformed: it is something else.
    """
    if name is not None:
        output = entry(output, name)
    expected = f"numbers of shape {shape}" if shape else "one number"
    try:
        array = numpy.asarray(output, dtype=numpy.float64)
    except (TypeError, ValueError, OverflowError):
        raise Malformed(f"expected {expected}, got something else") from None
    if array.shape != shape:
        raise Malformed(f"expected {expected}, got shape {array.shape}")
    return array


def entry(output: object, name: str) -> object:
    """One entry of what a probe returned; a forged answer may not even be a dictionary.

    Raises:
        Malformed: there is none, or there is the error that occurred instead.
    """
    if not isinstance(output, dict) or name not in output:
        raise Malformed(f"no value for {name}")
    value = output[name]
    if isinstance(value, dict) and "error" in value:
        raise Malformed(str(value["error"])[-400:])
    return value


def close(got: ArrayLike, wanted: ArrayLike, absolute: float, relative: float = 0.0) -> bool:
    """Whether all numbers agree; NaN never does."""
    got, wanted = numpy.asarray(got, dtype=float), numpy.asarray(wanted, dtype=float)
    return bool((numpy.abs(got - wanted) <= absolute + relative * numpy.abs(wanted)).all())


# Reading an assignment


@dataclass(frozen=True)
class Assignment:
    """A folder `assignments/<part>`: its questions, and the cells of the master that answers may rely on."""

    name: str
    folder: Path
    title: str
    questions: tuple
    given: tuple[str, ...]
    skeletons: dict[str, frozenset[str]]
    preload: str
    digest: str

    @property
    def points(self) -> float:
        return sum(question.points for question in self.questions)

    def question(self, name: str) -> Question | Written:
        return next(question for question in self.questions if question.id == name)


def load(folder: Path | str) -> Assignment:
    """Read master and judge.

    Raises:
        ValueError: a file is missing, ids repeat, or a question has no answer cell in the master.
    """
    folder = Path(folder).resolve()
    for name in ("master.ipynb", "judge.py"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: no {name}, expected the folder of an assignment")
    module = _module(folder)
    cells, notes = answers.read_notebook(folder / "master.ipynb")
    if notes:
        raise ValueError(f"{folder}/master.ipynb: {'; '.join(notes)}")
    ids = [question.id for question in module.QUESTIONS]
    in_master = [cell.question for cell in cells if cell.part == "answer"]
    if sorted(ids) != sorted(set(in_master)) or len(ids) != len(in_master):
        raise ValueError(
            f"{folder}: got questions {ids} in judge.py and {in_master} in master.ipynb, expected each once in both"
        )
    given = tuple(cell.source for cell in cells if cell.part == "given" and cell.kind == "code")
    skeletons = {cell.question: answers.skeleton(cell.source) for cell in cells if cell.part == "answer"}
    content = b"".join((folder / name).read_bytes() for name in ("master.ipynb", "judge.py"))
    preload, digest = f"{programs.imports_of(list(given))}\n{WARM_UP}", hashlib.sha256(content).hexdigest()[:16]
    return Assignment(folder.name, folder, module.TITLE, tuple(module.QUESTIONS), given, skeletons, preload, digest)


def _module(folder: Path) -> ModuleType:
    """The judge.py of a folder, executed."""
    specification = importlib.util.spec_from_file_location(f"judge_of_{folder.name}", folder / "judge.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@functools.cache
def probe_source(question: Question) -> str:
    """The text of the probe alone, which is all of a judge that enters the sandbox."""
    return textwrap.dedent(inspect.getsource(question.probe))


@functools.lru_cache(maxsize=256)
def draw(question: Question, seed: int) -> object:
    """The hidden inputs of a question for a seed, as JSON has them; the same for a whole class, so drawn once."""
    rng = numpy.random.default_rng([seed, zlib.crc32(question.id.encode())])
    return json.loads(json.dumps(question.inputs(rng)))


def marks(question: Question, inputs: object, output: object) -> tuple[list[dict], str]:
    """The parts that the check yields, and why it stopped early, if it did.

    Raises:
        ValueError: the parts add up to more than the question's points: a fault of the judge, not of the student.
    """
    parts, stopped = [], ""
    try:
        for one in question.check(inputs, output):
            parts.append(one)
    except Malformed as error:
        stopped = str(error)
    except Exception as error:  # an answer of a form that the judge did not foresee
        stopped = f"the answer has not the form that was asked for ({type(error).__name__})"
    if sum(one["max"] for one in parts) > question.points + 1e-9:
        raise ValueError(f"{question.id}: its parts have more than its {question.points} points")
    return parts, stopped
