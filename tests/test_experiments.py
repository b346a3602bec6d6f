"""Long runs: rows, results files that grow row by row, and the comparison of a live slice with the long run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy
import pytest
import torch

from m2m import experiments
from m2m.experiments import __main__ as command

# An experiment that counts its runs in a file; it stands where the book's experiments stand.
TOY = """
import os, time
from pathlib import Path

import torch

def tasks(scale):
    size = {"cpu": 1, "gpu": 10}[scale]
    return [dict(model=model, size=size, shape=(2, 3), seed=seed) for model in ("maf", "iaf") for seed in range(3)]

def run(model, size, shape, seed):
    with Path(os.environ["TOY_RUNS"]).open("a") as file:
        print(model, seed, file=file)
    time.sleep(float(os.environ.get("TOY_SLEEP", 0)))
    if os.environ.get("TOY_FAIL") == f"{model} {seed}":
        raise RuntimeError("stopped on purpose")
    return dict(nll=torch.tensor(size + seed / 10), noise=torch.rand(2))
"""
PLACED = """
import sys
from m2m import experiments
experiments.__path__.insert(0, sys.argv[1])
from m2m.experiments import __main__ as m
m.main(sys.argv[2:])
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Place the experiment `toy`, and return a function that says which tasks ran."""
    (tmp_path / "placed").mkdir()
    (tmp_path / "placed" / "toy.py").write_text(TOY)
    monkeypatch.setattr(experiments, "__path__", [str(tmp_path / "placed"), *experiments.__path__])
    monkeypatch.setenv("TOY_RUNS", str(tmp_path / "runs"))
    yield lambda: (tmp_path / "runs").read_text().splitlines() if (tmp_path / "runs").exists() else []
    sys.modules.pop("m2m.experiments.toy", None)


ALL = ["maf 0", "maf 1", "maf 2", "iaf 0", "iaf 1", "iaf 2"]


def test_rows(toy):
    rows = experiments.rows("toy")
    assert toy() == ALL
    assert rows[1]["task"] == {"model": "maf", "size": 1, "shape": [2, 3], "seed": 1}
    assert rows[1]["result"]["nll"] == pytest.approx(1.1) and len(rows[1]["result"]["noise"]) == 2 and rows[1]["seconds"] >= 0
    assert experiments.rows("toy", "gpu")[0]["result"]["nll"] == 10


def test_filters(toy):
    experiments.rows("toy", seeds=[2, 0], only={"model": ["iaf"]})
    assert toy() == ["iaf 0", "iaf 2"]
    with pytest.raises(ValueError, match=r"seed: got \[7\], expected some of \[0, 1, 2\]"):
        experiments.rows("toy", seeds=[7])
    with pytest.raises(ValueError, match=r"model: got \['glow'\], expected some of \['maf', 'iaf'\]"):
        experiments.rows("toy", only={"model": ["glow"]})
    with pytest.raises(ValueError, match="depth: got"):
        experiments.rows("toy", only={"depth": [1]})


def test_the_results_file_says_where_its_rows_come_from(toy, tmp_path):
    out = tmp_path / "deep" / "toy.json"
    rows = experiments.rows("toy", out=out, seeds=[0, 1])
    record = experiments.load(out)
    assert record["rows"] == rows
    assert record["experiment"] == "toy" and record["scale"] == "cpu"
    assert record["command"] == "python -m m2m.experiments toy --scale cpu --out toy.json --seeds 0 1"
    assert record["machine"].keys() == {"cpu", "cores", "threads", "gpu", "processes"}
    assert record["versions"].keys() == {"python", "torch", "numpy", "m2m"}
    assert record["seconds"] == pytest.approx(sum(row["seconds"] for row in rows), abs=2e-3)
    assert str(tmp_path) not in out.read_text() and os.listdir(out.parent) == ["toy.json"]


def test_an_interrupted_run_goes_on_and_gives_the_same_rows(toy, tmp_path, monkeypatch):
    results = lambda path: [(row["task"], row["result"]) for row in experiments.load(path)["rows"]]
    monkeypatch.setenv("TOY_FAIL", "iaf 0")
    with pytest.raises(RuntimeError, match="on purpose"):
        experiments.rows("toy", out=tmp_path / "cut.json")
    assert len(results(tmp_path / "cut.json")) == 3
    monkeypatch.delenv("TOY_FAIL")
    experiments.rows("toy", out=tmp_path / "cut.json")
    assert toy() == ["maf 0", "maf 1", "maf 2", "iaf 0", "iaf 0", "iaf 1", "iaf 2"]
    experiments.rows("toy", out=tmp_path / "whole.json")
    assert results(tmp_path / "cut.json") == results(tmp_path / "whole.json")


def test_a_killed_run_leaves_a_whole_file(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_SLEEP", "0.3")
    out = tmp_path / "toy.json"
    process = subprocess.Popen([sys.executable, "-c", PLACED, str(tmp_path / "placed"), "toy", "--out", str(out)])
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not out.exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(experiments.load(out)["rows"])
    started = len(toy())
    assert 1 <= done < 6
    monkeypatch.setenv("TOY_SLEEP", "0")
    experiments.rows("toy", out=out)
    assert len(toy()) - started == 6 - done and len(experiments.load(out)["rows"]) == 6


def test_parts_of_a_run_come_together_in_order(toy, tmp_path):
    for seeds in ([2], [0, 1]):
        experiments.rows("toy", out=tmp_path / "toy.json", seeds=seeds)
    assert [f"{row['task']['model']} {row['task']['seed']}" for row in experiments.load(tmp_path / "toy.json")["rows"]] == ALL


def test_rows_of_other_settings_are_left_out_and_said_so(toy, tmp_path):
    out = tmp_path / "toy.json"
    experiments.rows("toy", out=out)
    record = json.loads(out.read_text())
    record["rows"][0]["task"]["size"] = 2
    out.write_text(json.dumps(record))
    with pytest.warns(UserWarning, match="1 rows have settings that toy no longer asks for"):
        experiments.rows("toy", out=out)
    assert toy() == [*ALL, "maf 0"] and len(experiments.load(out)["rows"]) == 6


def test_rows_of_an_earlier_commit_are_marked(toy, tmp_path, monkeypatch):
    out = tmp_path / "toy.json"
    monkeypatch.setattr(experiments, "_commit", lambda: ("a" * 40, False))
    experiments.rows("toy", out=out, seeds=[0])
    experiments.rows("toy", out=out, seeds=[1])
    assert "earlier" not in experiments.load(out)
    monkeypatch.setattr(experiments, "_commit", lambda: ("b" * 40, False))
    experiments.rows("toy", out=out)
    record = experiments.load(out)
    assert record["commit"] == "b" * 40 and [origin["commit"] for origin in record["earlier"]] == ["a" * 40]


def test_the_commit(tmp_path, monkeypatch):
    git = lambda *arguments: subprocess.run(
        ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments],
        check=True,
        capture_output=True,
    )
    (tmp_path / "__init__.py").write_text("")
    monkeypatch.setattr(experiments.m2m, "__file__", str(tmp_path / "__init__.py"))
    assert experiments._commit() == ("unknown", None)
    git("init")
    assert experiments._commit() == ("unknown", None)  # inside a repository, but not of it
    git("add", "__init__.py")
    git("commit", "-m", "first")
    commit, changed = experiments._commit()
    assert len(commit) == 40 and changed is False
    (tmp_path / "__init__.py").write_text("changed = True")
    assert experiments._commit() == (commit, True)


def test_another_experiment_or_scale_is_refused(toy, tmp_path):
    out = tmp_path / "toy.json"
    experiments.rows("toy", out=out, seeds=[0])
    with pytest.raises(ValueError, match="out: .*has experiment 'toy' at scale 'cpu', expected 'toy' at 'gpu'"):
        experiments.rows("toy", "gpu", out=out)


def test_unknown_names_and_scales(toy):
    with pytest.raises(ValueError, match="experiment: got 'tooy', expected one of: .*toy"):
        experiments.rows("tooy")
    with pytest.raises(ValueError, match="scale: got 'tpu', expected 'cpu' or 'gpu'"):
        experiments.rows("toy", "tpu")
    with pytest.raises(ValueError, match="device: got 'cpu', but this experiment chooses its device itself"):
        experiments.rows("toy", device="cpu")


def test_a_device_is_passed_to_an_experiment_that_takes_one(toy, tmp_path):
    code = TOY.replace("shape, seed):", "shape, seed, device=None):").replace(
        "return dict(", "return dict(device=str(device), "
    )
    (tmp_path / "placed" / "toy.py").write_text(code)
    assert experiments.rows("toy", seeds=[0], device="cpu")[0]["result"]["device"] == "cpu"
    with pytest.raises(ValueError, match="device: got 'cuda:99', expected one that this machine has"):
        experiments.rows("toy", device="cuda:99")


@pytest.mark.parametrize(
    "result, message", [("object()", "result: got object, expected numbers"), ("3.0", "run: returned float")]
)
def test_results_that_no_file_can_hold_are_refused(toy, tmp_path, result, message):
    returns = result if result == "3.0" else f"dict(nll={result})"
    (tmp_path / "placed" / "toy.py").write_text(TOY.split("    return dict(nll")[0] + f"    return {returns}\n")
    with pytest.raises(ValueError, match=message):
        experiments.rows("toy")


def test_numbers_of_torch_and_numpy_are_numbers_in_the_row():
    assert experiments._plain({"a": torch.tensor(2.0), "b": numpy.float64(3), "c": (numpy.arange(2), 1)}) == {
        "a": 2.0,
        "b": 3.0,
        "c": [[0, 1], 1],
    }


# Results files


def test_a_missing_results_file_says_how_to_make_it(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match="there is no such file; `python -m m2m.experiments nowhere --scale gpu --out .*nowhere.json` makes it",
    ):
        experiments.load(tmp_path / "nowhere.json")
    with pytest.raises(FileNotFoundError, match="nowhere.json"):
        experiments.load("results/nowhere.json")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "damaged"),
        ('{"experiment": "toy", "rows": [', "damaged"),
        ("[1, 2]", "not a results file"),
        ('{"rows": []}', "it lacks experiment, command"),
    ],
)
def test_damaged_results_files(tmp_path, text, message):
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(ValueError, match=f"toy.json: .*{message}"):
        experiments.load(tmp_path / "toy.json")


def test_a_row_without_a_result_is_refused(toy, tmp_path):
    experiments.rows("toy", out=tmp_path / "toy.json", seeds=[0])
    record = json.loads((tmp_path / "toy.json").read_text())
    del record["rows"][0]["result"]
    (tmp_path / "toy.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="it lacks task, result or seconds in a row"):
        experiments.load(tmp_path / "toy.json")


def test_a_relative_path_is_found_from_the_folder_of_a_chapter(toy, tmp_path, monkeypatch):
    experiments.rows("toy", out=tmp_path / "results" / "toy.json", seeds=[0])
    (tmp_path / "book" / "flows").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "book" / "flows")
    assert experiments.load("results/toy.json")["experiment"] == "toy"


def test_an_installed_library_reads_the_published_file(toy, tmp_path, monkeypatch):
    experiments.rows(
        "toy", out=tmp_path / "site" / "raw" / f"v{experiments.m2m.__version__}" / "results" / "toy.json", seeds=[0]
    )
    links = {"site": f"Repository, {(tmp_path / 'site').as_uri()}"}
    monkeypatch.setattr(
        experiments.metadata, "metadata", lambda name: type("Links", (), {"get_all": lambda self, key: [links["site"]]})()
    )
    assert experiments.load("results/toy.json")["experiment"] == "toy"
    with pytest.raises(FileNotFoundError, match="results/other.json: neither here nor at .*/raw/v.*/results/other.json"):
        experiments.load("results/other.json")
    links["site"] = "Repository, https://github.com/your.account/moons-to-molecules"  # the placeholder: nothing is asked for
    monkeypatch.setattr(
        experiments.urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked a repository that nobody has")
    )
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        experiments.load("results/toy.json")


# The command line


def test_the_command_line(toy, tmp_path, capsys):
    out = tmp_path / "toy.json"
    command.main(["toy", "--scale", "gpu", "--out", str(out), "--seeds", "0", "2", "--only", "model=maf", "--only", "size=10"])
    lines = capsys.readouterr().out.splitlines()
    assert toy() == ["maf 0", "maf 2"] and len(lines) == 2 and '"nll": 10.0' in lines[0]
    assert experiments.load(out)["command"].endswith(
        "toy --scale gpu --out toy.json --seeds 0 2 --only=model=maf --only=size=10"
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["tooy"], "choose from .*toy"),
        (["toy", "--scale", "tpu"], "invalid choice: 'tpu'"),
        (["toy", "--only", "model"], "only: got 'model', expected KEY=VALUE"),
    ],
)
def test_the_command_line_refuses(toy, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and __import__("re").search(message, error) and toy() == []


def test_several_processes_write_one_file(toy, tmp_path):
    script = tmp_path / "two.py"
    # Each process into its own file: what two of them print may come out interleaved
    count = "\nimport os, pathlib; pathlib.Path(__file__).with_suffix('.' + os.environ['RANK']).write_text("
    script.write_text(PLACED + count + "str(m.training.processes().num_processes))\n")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    out = tmp_path / "toy.json"
    done = subprocess.run(
        [*launch, str(tmp_path / "placed"), "toy", "--out", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [script.with_suffix(f".{rank}").read_text() for rank in (0, 1)] == ["2", "2"]
    assert done.stdout.count('"nll"') == 6  # the table is printed once
    record = experiments.load(out)
    assert record["machine"]["processes"] == 2 and len(record["rows"]) == 6 and sorted(toy()) == sorted(ALL * 2)


def test_the_import_is_light():
    heavy = textwrap.dedent("""
        import sys, m2m.experiments
        sys.exit([name for name in ("matplotlib", "plotly", "sklearn", "tensorflow") if name in sys.modules] or None)
    """)
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True).returncode == 0


# Live against long


def side(**values):
    return [
        {"task": {"model": model, "seed": seed}, "result": {"nll": value}, "seconds": 1.0}
        for model, list_ in values.items()
        for seed, value in enumerate(list_)
    ]


LONG = side(maf=[0.40, 0.42, 0.41], iaf=[0.60, 0.66, 0.63], glow=[0.1, 0.1, 0.1])


def test_rows_that_agree():
    table = experiments.agree(side(maf=[0.43, 0.40], iaf=[0.7]), LONG, ["model"], "nll")
    assert [row["model"] for row in table] == ["maf", "iaf"]
    assert (
        table[0]["live"] == pytest.approx(0.415)
        and table[0]["long"] == pytest.approx(0.41)
        and table[0]["difference"] == pytest.approx(0.005)
    )
    assert table[1]["allowed"] == pytest.approx(3 * 2**0.5 * 0.03)  # one live run: the long run's deviation for both


@pytest.mark.parametrize(
    "live", [dict(maf=[0.55, 0.56]), dict(maf=[0.41], iaf=[0.9]), dict(maf=[0.41, float("nan")]), dict(maf=[float("inf")])]
)
def test_rows_that_disagree_fail(live):
    with pytest.raises(AssertionError, match="live and long run disagree on nll: model (maf|iaf), live"):
        experiments.agree(side(**live), LONG, ["model"], "nll")


def test_a_wider_spread_or_a_floor_is_the_authors_choice():
    live = side(maf=[0.46])
    with pytest.raises(AssertionError):
        experiments.agree(live, LONG, ["model"], "nll")
    assert experiments.agree(live, LONG, ["model"], "nll", spread=5)
    assert experiments.agree(live, LONG, ["model"], "nll", floor=0.06)


def test_comparisons_that_can_not_fail_are_refused():
    with pytest.raises(ValueError, match="no group of .*in common"):
        experiments.agree(side(realnvp=[1.0]), LONG, ["model"], "nll")
    with pytest.raises(ValueError, match="keys: got 'depth', expected some of .'model', 'seed'"):
        experiments.agree(side(maf=[1.0]), LONG, ["depth"], "nll")
    with pytest.raises(ValueError, match="value: got 'bits', expected some of .'nll'"):
        experiments.agree(side(maf=[1.0]), LONG, ["model"], "bits")
    with pytest.raises(ValueError, match="expected two seeds on one side, or a floor"):
        experiments.agree(side(maf=[0.4]), side(maf=[0.4]), ["model"], "nll")
