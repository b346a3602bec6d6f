"""Write the page book/speed.md: the benches beside each other, from results/bench_*.json, and the first figures.

    python tools/speed.py       `make bench` runs the benches and then this

Every number comes from a results file. What is said in words is in `speed_words`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from claims import ROOT
from first_figure import table as first_figures
from speed_words import AIMS, BEHIND, SAME, TOPICS

HEAD = """\
# Speed

How long m2m takes beside the libraries that one would otherwise use. `make bench` times all of it and writes this
page; a test compares the page with the files.

Everything runs on one CPU thread. What is counted is processor time, which other work on the machine does not add to.
The libraries take turns in one process, round after round, in an order drawn anew each round, after calls that do not
count; what is compiled is compiled before. The tables have medians over the rounds. Two times are called *level* where
the ranges between their quartiles overlap. Ratios carry over to other machines better than milliseconds do. Extra
memory is what one call needs beyond what was there before it, and the same where it is less than 2 MiB apart.

The numbers, with their spread, are in `results/bench_*.json`.

| Bench | Command | Commit | Machine | Versions |
|:--|:--|:--|:--|:--|
"""
COLUMNS = """
| Task | Library | Its time over m2m's | m2m, ms | Extra MiB: m2m, library | The same work? |
|:--|:--|--:|--:|--:|:--|
"""
NOT_FIRST = """
## Where m2m is not first

Each form of m2m that computes the task's function, wherever another library takes less time, or less extra memory.
"""
LEVEL = "What is first here is level with m2m: another run may order them differently."
AIMED = """
## Aims

Set beforehand: how many times m2m's time the other library should take at least. The aims for EGNN were set for the
authors' code, in whose place stands the paper's formula "as printed". Aims for code that the benches do not time are
left out.

| Topic | Task | m2m | Library | Aim | Measured | Reached |
|:--|:--|:--|:--|--:|--:|:--|
"""
UNSAID = "not said yet"
MEBIBYTES = 2.0  # memory that is less apart is the same


@dataclass(frozen=True)
class Row:
    """A library's time for a task: the median and quartiles in milliseconds; what was not measured is None."""

    task: str
    library: str
    median: float
    low: float
    high: float
    mebibytes: float | None = None
    parameters: int | None = None
    above: float | None = None  # share by which a regularised distance is above the exact one

    @property
    def ours(self) -> bool:
        return self.library.startswith("m2m")


@dataclass(frozen=True)
class Behind:
    """A form of m2m that is not first: how many times the first one's time or memory it takes."""

    topic: str
    task: str
    form: str
    first: str
    what: str
    times: float
    level: bool


def rows(record: dict) -> list[Row]:
    """The rows of a results file in one form; those of flows have a dimension and an operation in place of a task.

    Raises:
        ValueError: not processor time of one thread, a task without a row of m2m, two rows of a library.
    """
    if record["clock"] != "processor time" or record["machine"]["threads"] != 1:
        raise ValueError(
            f"got {record['clock']} of {record['machine']['threads']} threads, expected processor time of one"
        )
    found = []
    for row in record["rows"]:
        task = row["task"] if "task" in row else f"D = {row['dim']}, {row['operation']}"
        numbers = {name: row.get(name) for name in ("median", "low", "high", "mebibytes", "parameters", "above")}
        found.append(Row(task, row["library"].replace("m2m compiled", "m2m, compiled"), **numbers))
    for task, its in tasks(found).items():
        names = [row.library for row in its]
        if "m2m" not in names or len(set(names)) < len(names):
            raise ValueError(f"{task}: got rows of {', '.join(names)}, expected m2m and each library once")
    return found


def tasks(found: list[Row]) -> dict[str, list[Row]]:
    return {task: [row for row in found if row.task == task] for task in dict.fromkeys(row.task for row in found)}


def level(a: Row, b: Row) -> bool:
    return a.low <= b.high and b.low <= a.high


def digits(value: float) -> str:
    """Three digits: 0.0943, 1.70, 46.0, 127; all those before the point of a larger number."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:#.3g}".rstrip(".")


def records(root: Path = ROOT) -> dict[str, dict]:
    """The results files that are there, by topic."""
    paths = {topic: root / "results" / f"bench_{topic}.json" for topic in TOPICS}
    return {topic: json.loads(path.read_text(encoding="utf-8")) for topic, path in paths.items() if path.exists()}


def same(topic: str, row: Row) -> str:
    """Whether a library does the same work, in words."""
    fits = (
        text for library, task, text in SAME[topic] if re.search(library, row.library) and re.search(task, row.task)
    )
    return next(fits, UNSAID)


def another(topic: str, row: Row) -> bool:
    """Whether a form of m2m is another function, which says nothing about who is first."""
    return row.library != "m2m" and same(topic, row).startswith("no")


# --- Who is first -----------------------------------------------------------------------------------------------------


def behind(topic: str, found: list[Row]) -> list[Behind]:
    """The forms of m2m that another library is faster than, and where m2m needs more memory than another."""
    lost = []
    for task, its in tasks(found).items():
        others = [row for row in its if not row.ours]
        first = min(others, key=lambda row: row.median, default=None)
        for form in (row for row in its if row.ours and not another(topic, row)):
            if first and first.median < form.median:
                times = form.median / first.median
                lost.append(Behind(topic, task, form.library, first.library, "time", times, level(form, first)))
            smaller = [row for row in others if row.mebibytes is not None]
            least = min(smaller, key=lambda row: row.mebibytes, default=None)
            if least and form.library == "m2m" and form.mebibytes is not None and form.mebibytes - least.mebibytes >= MEBIBYTES:
                times = form.mebibytes / least.mebibytes if least.mebibytes else math.inf
                lost.append(Behind(topic, task, form.library, least.library, "memory", times, False))
    return lost


def why(one: Behind) -> str:
    if one.level:
        return LEVEL
    fits = (
        text
        for topic, task, form, what, text in BEHIND
        if (topic, what) == (one.topic, one.what) and re.search(task, one.task) and re.search(form, one.form)
    )
    return next(fits, f"Why: {UNSAID}.")


def not_first(lost: list[Behind]) -> str:
    """The section on what m2m is not first at: the reasons, each with the rows that it is the reason of."""
    parts = [NOT_FIRST if lost else NOT_FIRST + "\nNowhere.\n"]
    for reason in sorted({why(one): None for one in lost}, key=lambda text: text == LEVEL):
        parts.append(
            f"\n{reason}\n\n| Topic | Task | m2m | First | | m2m's over the first's |\n|:--|:--|:--|:--|:--|--:|\n"
        )
        for one in (one for one in lost if why(one) == reason):
            parts.append(
                f"| {TOPICS[one.topic][0]} | {one.task} | {one.form} | {one.first} | {one.what} | {digits(one.times)} |\n"
            )
    return "".join(parts)


# --- The page ---------------------------------------------------------------------------------------------------------


def page(root: Path = ROOT) -> str:
    """The Markdown of book/speed.md."""
    files = records(root)
    found = {topic: rows(record) for topic, record in files.items()}
    parts = [HEAD, *(_file(topic, record) for topic, record in files.items()), "\n## The benches\n"]
    parts += [_topic(topic, its) for topic, its in found.items()]
    parts.append(not_first([one for topic, its in found.items() for one in behind(topic, its)]))
    parts += [AIMED, *_aims(found)]
    return "".join(parts) + first_figures(root)


def _file(topic: str, record: dict) -> str:
    machine, versions = (
        record["machine"],
        ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    )
    where = f"{machine['processor']}, {machine['cores']} cores, load {machine.get('load', 'unknown')}"
    return f"| {TOPICS[topic][0]} | `{record['command']}` | {record['commit']} | {where} | {versions} |\n"


def _topic(topic: str, found: list[Row]) -> str:
    name, what, fast = TOPICS[topic]
    lines = []
    for its in tasks(found).values():
        [m2m] = (row for row in its if row.library == "m2m")
        others = [row for row in its if row is not m2m]
        lines += [_line(topic, m2m, row) for row in others] or [
            f"| {m2m.task} | m2m alone | 1 | {digits(m2m.median)} | | |\n"
        ]
    return f"\n### {name}\n\n{what}\n\n**What makes m2m fast.** {fast}\n{COLUMNS}{''.join(lines)}"


def _line(topic: str, m2m: Row, row: Row) -> str:
    ratio = digits(row.median / m2m.median) + (", level" if level(row, m2m) else "")
    memory = "" if None in (m2m.mebibytes, row.mebibytes) else f"{m2m.mebibytes:,.1f}, {row.mebibytes:,.1f}"
    exact = "" if None in (m2m.above, row.above) else f"; {row.above:.1%} above the exact distance, m2m {m2m.above:.1%}"
    return f"| {row.task} | {row.library} | {ratio} | {digits(m2m.median)} | {memory} | {same(topic, row)}{exact} |\n"


def _aims(found: dict[str, list[Row]]) -> list[str]:
    """A line for each aim whose task and libraries have been measured."""
    lines = []
    for topic, task, form, library, aim in AIMS:
        its = {row.library: row for row in found.get(topic, []) if row.task == task}
        if form in its and library in its:
            measured = its[library].median / its[form].median
            verdict = "yes" if measured >= aim else "**no**"
            lines.append(
                f"| {TOPICS[topic][0]} | {task} | {form} | {library} | {digits(aim)} | {digits(measured)} | {verdict} |\n"
            )
    return lines


def main() -> None:
    (ROOT / "book" / "speed.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
