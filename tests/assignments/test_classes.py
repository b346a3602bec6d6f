"""A class: the same scores twice, with any number of jobs, after a kill, on a Dask cluster, from the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import faults
from conftest import ROOT
from m2m.assignments import __main__ as command_line
from m2m.assignments import classes, sandbox

TIMES = ("seconds",)


@pytest.fixture(scope="module")
def small(tiny):
    return tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory, own):
    """Six submissions with different scores."""
    place = tmp_path_factory.mktemp("class")
    wrong = {"q1": faults.answer("", faults.WRONG)}
    for k, changed in enumerate([{}, wrong, {"q2": "# answer: q2\nmass = 1"}, {}, wrong, {}]):
        (place / f"student {k}.ipynb").write_text(
            json.dumps(faults.notebook({name: (own | changed)[name] for name in ("q1", "q2")}))
        )
    return place


def timeless(results):
    """The results without what differs between two runs."""
    if isinstance(results, dict):
        return {key: timeless(value) for key, value in results.items() if key not in TIMES}
    return [timeless(value) for value in results] if isinstance(results, list) else results


@pytest.fixture(scope="module")
def once(namespace, folder, small, tmp_path_factory):
    return classes.grade_class(folder, small, tmp_path_factory.mktemp("once"), 1, namespace, seed=5, progress=False)


def test_scores(once):
    assert [row["score"] for row in once] == [3, 1, 2, 3, 1, 3]
    assert {row["seed"] for row in once} == {5}
    assert all(set(row["versions"]) == {"torch", "numpy", "moons-to-molecules"} for row in once)


def test_twice_and_with_two_jobs(once, namespace, folder, small, tmp_path):
    again = classes.grade_class(folder, small, tmp_path, 2, namespace, seed=5, progress=False)
    assert timeless(again) == timeless(once)


def test_another_seed_draws_other_inputs_and_gives_the_same_scores(once, namespace, folder, small, tmp_path):
    other = classes.grade_class(folder, small, tmp_path, 1, namespace, seed=6, progress=False)
    assert [row["score"] for row in other] == [row["score"] for row in once]


def test_dask_gives_the_same(once, namespace, folder, small, tmp_path):
    pytest.importorskip("dask.distributed")
    there = classes.grade_class(folder, small, tmp_path, 2, namespace, seed=5, dask="local", progress=False)
    assert timeless(there) == timeless(once)


def test_a_killed_run_goes_on(once, namespace, folder, small, tmp_path):
    """The process is killed after the second result; the second run grades the others only."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:2]\n"
        "from m2m.assignments import classes, judge\n"
        "classes.grade_class(sys.argv[3], judge.load(sys.argv[2]), sys.argv[4], 1, 'namespace', seed=5, progress=False)\n"
    )
    arguments = [sys.executable, "-c", program, str(ROOT / "src/lib"), str(small.folder), str(folder), str(tmp_path)]
    running = subprocess.Popen(arguments, start_new_session=True)
    done = []
    while len(done) < 2 and running.poll() is None:
        done = list((tmp_path / "results").glob("*.json"))
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").glob("*.json")}
    assert 2 <= len(before) < 6, "the control: it was killed half-way"
    after = classes.grade_class(
        folder, small, tmp_path, 1, namespace, progress=False
    )  # the seed is that of the killed run
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [(row["student"], row["score"]) for row in after] == [(row["student"], row["score"]) for row in once]
    assert {row["seed"] for row in after} == {5}


def test_a_changed_submission_is_graded_again(namespace, folder, small, own, tmp_path):
    place, out = tmp_path / "class", tmp_path / "out"
    place.mkdir()
    (place / "ada.ipynb").write_text(json.dumps(faults.notebook(own | {"q2": "# answer: q2\nmass = 1"})))
    assert classes.grade_class(place, small, out, 1, namespace, seed=5, progress=False)[0]["score"] == 2
    (place / "ada.ipynb").write_text(json.dumps(faults.notebook(own)))
    assert classes.grade_class(place, small, out, 1, namespace, progress=False)[0]["score"] == 3


def test_a_sandbox_that_fails_leaves_rows_and_is_tried_again(namespace, folder, small, tmp_path, monkeypatch):
    def fail(*_):
        raise sandbox.SandboxError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(sandbox.Sandbox, "run", fail)
        patch.setattr(sandbox, "works", lambda kind: "")
        rows = classes.grade_class(folder, small, tmp_path, 1, namespace, seed=5, progress=False)
    assert len(rows) == 6 and all("no room" in row["failed"] and row["score"] == 0 for row in rows)
    assert [row["score"] for row in classes.grade_class(folder, small, tmp_path, 1, namespace, progress=False)] == [
        3,
        1,
        2,
        3,
        1,
        3,
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda part, here: classes.grade_class(here / "none", part, here, progress=False), "expected a folder"),
        (lambda part, here: classes.grade_class(here, part, here, jobs=0), "expected at least 1"),
        (lambda part, here: classes.results(here), "no results"),
    ],
)
def test_wrong_input(small, tmp_path, call, message):
    with pytest.raises(ValueError, match=message):
        call(small, tmp_path)


def test_a_half_written_result_does_not_count(small, tmp_path):
    path = classes.result_path(tmp_path, "ada")
    path.parent.mkdir()
    path.write_text('{"score": 99')
    assert not classes.is_graded(tmp_path, "ada", None, {"digest": "", "seed": 1})


def test_names_cannot_leave_the_folder(tmp_path):
    assert classes.result_path(tmp_path, "../../ada").parent == tmp_path / "results"


def test_command_line(namespace, own, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    place, out = tmp_path / "flows", tmp_path / "grades-flows"
    place.mkdir()
    (place / "ada.ipynb").write_text(json.dumps(faults.notebook(own)))
    (tmp_path / "roster").write_text("ada\nbob\n\n")
    assert (
        command_line.main(["grade", str(place), "--jobs", "2", "--seed", "3", "--roster", str(tmp_path / "roster")])
        == 0
    )
    said = capsys.readouterr().out
    assert (
        "2 submissions, sandbox 'namespace', seed 3" in said
        and "7 of 36  ada" in said
        and "nothing was handed in" in said
    )
    for command in ("manual", "feedback", "export"):
        assert command_line.main([command, str(out)]) == 0
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert made >= {
        "run.json",
        "manual.csv",
        "results/ada.json",
        "results/bob.json",
        "feedback/ada.html",
        "export/scores.csv",
        "export/canvas.csv",
        "export/moodle.csv",
        "export/gradescope/bob/results.json",
    }
    assert command_line.main(["feedback", str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
    assert command_line.main(["build", "--out", str(tmp_path / "built")]) == 0
    assert (tmp_path / "built" / "flows.ipynb").exists()
