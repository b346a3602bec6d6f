"""Run a row of each results file again, drawn at random, and keep what came out in results/rerun.json.

    python tools/rerun.py [NAME ...] [--draw 0] [--seconds 300]

A number is the same when it differs by a thousandth at most. Training amplifies the last digit, in which machines and versions
differ; so a number may also lie within three deviations of the rows that differ in the seed alone, as in `experiments.agree`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from pathlib import Path
from statistics import stdev

from tqdm.auto import tqdm

from m2m import experiments

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "results" / "rerun.json"
RELATIVE, ABSOLUTE = 1e-3, 1e-5  # the latter for errors of rounding
VERDICTS = ("the same", "within the spread", "apart")


def numbers(result: dict, path: str = "") -> dict[str, float]:
    """All numbers of a result by their place in it, but for those of a clock."""
    found: dict[str, float] = {}
    for key, value in result.items() if isinstance(result, dict) else enumerate(result):
        name = f"{path}/{key}" if path else str(key)
        if "seconds" in name:
            continue
        if isinstance(value, (dict, list)):
            found |= numbers(value, name)
        elif isinstance(value, (int, float)):
            found[name] = float(value)
    return found


def compare(stored: dict, now: dict, rows: list[dict]) -> dict:
    """The verdict over all numbers of a row, and the place of the one that differs most.

    Raises:
        ValueError: the two results have other numbers.
    """
    before, after = numbers(stored["result"]), numbers(now["result"])
    if before.keys() != after.keys():
        raise ValueError(f"result: got the numbers {sorted(after)}, expected {sorted(before)}")
    alike = [numbers(row["result"]) for row in rows if _but_for_seed(row) == _but_for_seed(stored)]
    verdict, worst, largest = VERDICTS[0], "", 0.0
    for name, value in before.items():
        difference = abs(after[name] - value)
        scale = max(abs(value), abs(after[name]))
        if difference <= RELATIVE * scale + ABSOLUTE or (math.isnan(value) and math.isnan(after[name])):
            continue
        spread = stdev([other[name] for other in alike]) if len(alike) > 1 else 0.0
        found = VERDICTS[1] if difference <= 3 * math.sqrt(2) * spread else VERDICTS[2]
        verdict = max(verdict, found, key=VERDICTS.index)
        if difference / scale > largest:
            worst, largest = name, difference / scale
    return {"verdict": verdict, "numbers": len(before), "differs most": worst, "by": largest}


def _but_for_seed(row: dict) -> dict:
    return {key: value for key, value in row["task"].items() if key != "seed"}


def rerun(name: str, draw: int, seconds: float) -> dict:
    """A row of results/NAME.json that took at most so long, drawn at random, run again.

    Raises:
        ValueError: no row is as quick as that.
    """
    record = experiments.load(ROOT / "results" / f"{name}.json")
    quick = [row for row in record["rows"] if row["seconds"] <= seconds]
    if not quick:
        raise ValueError(f"seconds: got {seconds}, but the quickest row of {name} took {min(row['seconds'] for row in record['rows'])}")
    stored = random.Random(f"{name} {draw}").choice(quick)
    only = {key: [value] for key, value in stored["task"].items()}
    [now] = [row for row in experiments.rows(name, record["scale"], progress=False, only=only) if row["task"] == stored["task"]]
    return {"task": stored["task"], "draw": draw} | compare(stored, now, record["rows"]) | {"seconds": now["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="experiments; by default all that have a results file")
    parser.add_argument("--draw", type=int, default=0, help="another number, another row")
    parser.add_argument("--seconds", type=float, default=300.0, help="only among rows that took no longer")
    options = parser.parse_args()
    there = [name for name in experiments.names() if (ROOT / "results" / f"{name}.json").exists()]
    kept = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    for name in tqdm(options.names or there):
        kept[name] = rerun(name, options.draw, options.seconds)
        part = OUT.with_suffix(".part")
        part.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")
        os.replace(part, OUT)
        print(name, json.dumps(kept[name]))


if __name__ == "__main__":
    main()
