"""Rows run again: what counts as the same, within the spread, or apart; and what is kept of it."""

import json
import math

import pytest

import claims
import repository
import rerun
from m2m import experiments

RESULTS = repository.ROOT / "results"


def row(value, seed=0, **result):
    return {"task": {"model": "a", "seed": seed}, "result": {"loss": value} | result, "seconds": 1.0}


ROWS = [row(1.0), row(1.1, seed=1), row(0.9, seed=2)]  # a deviation of 0.1: differences up to 0.42 are within the spread


@pytest.mark.parametrize(
    "value, verdict",
    [(1.0, "the same"), (1.0009, "the same"), (1.002, "within the spread"), (1.4, "within the spread"), (1.5, "apart")],
)
def test_verdicts(value, verdict):
    found = rerun.compare(ROWS[0], row(value), ROWS)
    assert found["verdict"] == verdict
    assert (found["differs most"] == "loss") == (verdict != "the same")


def test_the_spread_is_that_of_rows_that_differ_in_the_seed_alone():
    others = [row(1.0), {"task": {"model": "b", "seed": 1}, "result": {"loss": 9.0}, "seconds": 1.0}]
    assert rerun.compare(others[0], row(1.002), others)["verdict"] == "apart"


def test_the_worst_number_decides():
    stored, now = row(1.0, list=[1.0, 2.0], deep={"x": 0.0}), row(1.0, list=[1.0, 3.0], deep={"x": 1e-7})
    found = rerun.compare(stored, now, [stored])
    assert found == {"verdict": "apart", "numbers": 4, "differs most": "list/1", "by": pytest.approx(1 / 3)}


def test_clocks_and_texts_are_not_compared():
    assert rerun.numbers({"training_seconds": 3.0, "milliseconds": 2, "drawing": "0af", "x": {"y": [1, True]}}) == {"x/y/0": 1.0, "x/y/1": 1.0}


def test_nan_is_the_same_as_nan_only():
    assert rerun.compare(row(math.nan), row(math.nan), [])["verdict"] == "the same"
    assert rerun.compare(row(math.nan), row(1.0), [])["verdict"] == "apart"
    assert rerun.compare(row(1.0), row(math.nan), [])["verdict"] == "apart"


def test_other_numbers_are_an_error():
    with pytest.raises(ValueError, match="got the numbers .'loss', 'more'., expected .'loss'."):
        rerun.compare(ROWS[0], row(1.0, more=1.0), ROWS)


def test_a_row_again(tmp_path, monkeypatch):
    monkeypatch.setattr(rerun, "ROOT", tmp_path)
    (tmp_path / "results").mkdir()
    experiments.rows("shapes_and_masses", "cpu", progress=False, out=tmp_path / "results" / "shapes_and_masses.json",
                     only={"model": ["MLP"], "seed": [0]})  # fmt: skip
    found = rerun.rerun("shapes_and_masses", draw=0, seconds=1e6)
    assert found["verdict"] == "the same" and found["numbers"] > 2
    with pytest.raises(ValueError, match="the quickest row of shapes_and_masses took"):
        rerun.rerun("shapes_and_masses", draw=0, seconds=0.0)


def test_every_long_run_has_had_a_row_run_again():
    kept = json.loads((RESULTS / "rerun.json").read_text())
    for name in experiments.names():
        stored = experiments.load(RESULTS / f"{name}.json")["rows"]
        assert kept[name]["task"] in [row["task"] for row in stored], f"{name}: python tools/rerun.py {name}"
        assert kept[name]["verdict"] in rerun.VERDICTS


def test_the_page_says_what_came_out(tmp_path):
    (tmp_path / "results").mkdir()
    record = {"experiment": "x", "command": "python -m x", "machine": {"cpu": "c", "gpu": None, "threads": 1}, "rows": ROWS}
    (tmp_path / "results" / "x.json").write_text(json.dumps(record))
    (tmp_path / "results" / "bench_x.json").write_text("{}")
    (tmp_path / "results" / "rerun.json").write_text(json.dumps({"x": rerun.compare(ROWS[0], row(1.5), ROWS)}))
    [line] = claims.long_runs(tmp_path).removeprefix(claims.LONG_RUNS).splitlines()
    assert line == "| `x.json` | `python -m x` | 3 | 0 min | c, 1 thread | apart: loss by 33.3 % |"
