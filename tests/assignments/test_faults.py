"""One class with every fault that we know: each gets what its values deserve, and the next is graded all the same."""

import json
import os
import shutil
import socket
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import numpy
import pytest

import faults
from m2m.assignments import checking, classes, grading, judge, sandbox
from m2m.assignments.answers import STUB

ALL_FAULTS = [*faults.ATTACKS, *faults.FILE_ATTACKS]


def tree(folder):
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def canary():
    """A folder that anyone may change, if they can reach it."""
    folder = Path(tempfile.mkdtemp(prefix="canary-"))
    folder.chmod(0o777)
    (folder / "secret.txt").write_text("the hidden tests")
    (folder / "secret.txt").chmod(0o666)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def graded(namespace, warm_up, own, canary, tmp_path_factory):
    """(results by student, points that each deserves)."""
    folder, out = tmp_path_factory.mktemp("submissions"), tmp_path_factory.mktemp("out")
    deserved = faults.write_structures(
        folder, own, "# answer: q1\ndef log_prob(x):\n    " + STUB.replace("\n", "\n    ")
    )
    places = {"canary": str(canary), "results": str(out / "results"), "master": str(warm_up.folder / "master.ipynb")}
    codes = {name: (before, after, points) for name, (before, after, points) in faults.ATTACKS.items()}
    codes |= {
        name: (before.format(**places), after, points) for name, (before, after, points) in faults.FILE_ATTACKS.items()
    }
    for name, (before, after, points) in codes.items():
        text = json.dumps(faults.notebook(own | {"q1": faults.answer(before, after)}))
        (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")
        deserved[name] = points
    before = tree(canary), tree(folder), tree(warm_up.folder)
    rows = classes.grade_class(
        folder, warm_up, out, jobs=1, kind=namespace, seed=1, roster=["never came"], progress=False
    )
    assert (tree(canary), tree(folder), tree(warm_up.folder)) == before, "a file outside the sandbox was touched"
    return {row["student"]: row for row in rows}, deserved | {"never came": 0.0}


def test_everyone_has_a_row_with_what_the_values_deserve(graded):
    rows, deserved = graded
    assert set(rows) == set(deserved)
    assert {name: row["score"] for name, row in rows.items()} == deserved
    assert all(row["sandbox"] == "namespace" and not row["failed"] for row in rows.values())


@pytest.mark.parametrize("name", ALL_FAULTS)
def test_a_fault_costs_its_own_question_only(graded, name):
    questions = graded[0][name]["questions"]
    assert [questions[q]["points"] for q in ("q2", "q3", "q4")] == [1, 2, 2]


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("infinite loop", "killed"),
        ("ignores every signal", "killed"),
        ("long sleep", "time"),
        ("kill -9 itself", "killed"),
        ("segfault", "killed"),
        ("exits at once", "silent"),
        ("exits", "error"),
        ("memory hog", "error"),
        ("answers with a megabyte", "too long"),
        ("forged answer", "graded"),
        ("patches torch", "graded"),
    ],
)
def test_reasons(graded, name, status):
    row = graded[0][name]["questions"]["q1"]
    assert row["status"] == status
    assert row["message"] or row["parts"]


def test_output_is_truncated_and_never_fatal(graded):
    assert len(graded[0]["60 MB of output"]["questions"]["q1"]["output"]) < 25_000


def test_nothing_is_to_be_seen_or_reached(graded):
    said = {name: row["questions"]["q1"]["output"] for name, row in graded[0].items() if "q1" in row["questions"]}
    assert said["reads hidden tests"].strip() == "found []"
    assert said["reads its callers"].strip() == "seen []"
    assert said["a namespace of its own"].split() == ["unshare", "-1", "mount", "-1"]
    assert "wrote to a pipe" not in said["forged frames"]
    assert said["kill -9 all others"].strip()  # it says why it could not


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("duplicated cell", "2 cells"),
        ("deleted cell", "no cell with this id"),
        ("not utf-8", "Latin-1"),
        ("wrong name", ".ipynb was expected"),
        ("bad json", "not valid JSON"),
        ("deep json", "not valid JSON"),
        ("link", "not followed"),
        ("never came", "nothing was handed in"),
        ("odd cells", "left out"),
        ("tampered tests", ""),
    ],
)
def test_what_is_odd_is_noted(graded, name, note):
    assert note in " ".join(graded[0][name]["notes"])


# Negative controls: the same attacks where nothing protects


def in_this_process(before, after, warm_up):
    """How graders work that run the answer and the tests in one process: the same check, next to the student's code."""
    names = {}
    for source in warm_up.given:
        exec(source, names)
    exec(textwrap.dedent(before) + after, names)
    question = warm_up.question("q1")
    inputs = judge.draw(question, 1)
    import torch

    x = torch.tensor(inputs["x"], dtype=torch.float64)
    output = {"values": names["log_prob"](x).tolist(), "shaped": names["log_prob"](x[:40].view(8, 5)).tolist()}
    return sum(one["points"] for one in judge.marks(question, inputs, output)[0])


def test_patches_work_on_a_grader_in_the_same_process(warm_up, monkeypatch):
    patch = "import numpy\nnumpy.abs = lambda a: 0 * numpy.asarray(a)\n"
    monkeypatch.setattr(numpy, "abs", numpy.abs)  # restored afterwards
    assert in_this_process("", faults.RIGHT, warm_up) == 2
    assert in_this_process("", faults.WRONG, warm_up) == 0
    assert in_this_process(patch, faults.WRONG, warm_up) == 2


@pytest.mark.parametrize("name", ["deletes files", "writes the gradebook", "reads hidden tests"])
def test_files_are_in_reach_of_a_plain_process(warm_up, own, canary, hand_in, name):
    before, after, _ = faults.FILE_ATTACKS[name]
    inside = canary / "inside"
    inside.mkdir(mode=0o777)
    inside.chmod(0o777)
    (inside / "secret.txt").write_text("the hidden tests")
    (inside / "secret.txt").chmod(0o666)
    before = before.format(
        canary=str(inside), results=str(inside / "none"), master=str(warm_up.folder / "master.ipynb")
    )
    before = before.replace('os.walk("/")', "[]")  # a plain process would walk through the whole machine
    path = hand_in(q1=faults.answer(before, after))
    with sandbox.Sandbox("process", warm_up.preload) as plain:
        row = grading.grade(path, checking.only(warm_up, "q1"), 1, plain, "ada")["questions"]["q1"]
    if name == "reads hidden tests":
        assert "the hidden tests" in row["output"]
    else:
        assert not (inside / "secret.txt").exists() or "999" in (inside / "secret.txt").read_text()
    shutil.rmtree(inside, ignore_errors=True)


def test_network(box, warm_up):
    """A listening socket of this machine: out of reach in the sandbox, in reach of a plain process."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=lambda: [listener.accept() for _ in range(2)], daemon=True).start()
    address = listener.getsockname()
    source = (
        f"import socket\ntry:\n    socket.create_connection({address!r}, 2)\n    value = 1\n"
        "except OSError:\n    value = 0"
    )
    question = {
        "id": "q",
        "program": [["q", source]],
        "probe": "def probe(answer, _): return answer.value",
        "inputs": None,
        "seconds": 20,
    }
    assert grading.value_of(box.run([question])["q"]["answer"])[0] == 0
    with sandbox.Sandbox("process") as plain:
        assert grading.value_of(plain.run([question])["q"]["answer"])[0] == 1
    listener.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_nothing_is_left_running(box, warm_up, hand_in):
    before, after, _ = faults.ATTACKS["leaves a process behind"]
    mark = "import ctypes\nctypes.CDLL(None).prctl(15, b'left-behind', 0, 0, 0)\n"
    path = hand_in(q1=faults.answer(mark + textwrap.dedent(before), after))
    grading.grade(path, checking.only(warm_up, "q1"), 1, box, "ada")
    names = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names.append((process / "comm").read_text().strip())
        except OSError:
            continue
    assert "left-behind" not in names and str(os.getpid()) in os.listdir("/proc")
