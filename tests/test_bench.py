"""The benchmarks run, take turns, and all libraries get the same network."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import flows, messages, timing  # noqa: E402

CLOCK = timing.Clock(torch.device("cpu"))


def test_cases_take_turns_and_a_failing_one_does_not_end_the_run(capsys):
    order = []

    def fails():
        raise RuntimeError("no such thing")

    cases = {"a": lambda: order.append("a"), "b": lambda: order.append("b"), "c": fails}
    got = timing.take_turns(cases, clock=CLOCK, rounds=9, block=0.0)
    warm, rounds = order[:4], ["".join(order[i : i + 2]) for i in range(4, len(order), 2)]
    assert "".join(warm) == "aabb" and len(rounds) == 9 and set(rounds) == {"ab", "ba"} and set(got) == {"a", "b"}
    assert all(t.rounds == 9 and 0 <= t.low <= t.median <= t.high for t in got.values())
    assert "c fails: RuntimeError: no such thing" in capsys.readouterr().err


def test_three_rounds_whatever_the_budget():
    assert timing.take_turns({"a": lambda: None}, clock=CLOCK, rounds=9, block=0.0, budget=0.0)["a"].rounds == 3


def test_the_clock_counts_work_and_not_the_time_of_others():
    start = CLOCK()
    time.sleep(0.3)
    slept = CLOCK() - start
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    assert slept < 0.1 < 0.29 < CLOCK() - start - slept


@pytest.mark.parametrize("name", ["m2m", "zuko", "nflows", "normflows"])
def test_everyone_gets_the_same_network_and_works(name):
    if name != "m2m":
        pytest.importorskip(name)
    dim, layers, hidden = 3, 2, [8, 8]
    model = flows.LIBRARIES[name](dim, layers, hidden, torch.device("cpu"))
    weights = dim * 8 + 8 + 8 * 8 + 8 + 8 * 2 * dim + 2 * dim
    assert model.parameters == layers * weights
    x = torch.randn(5, dim)
    assert model.log_prob(x).shape == (5,) and not model.log_prob(x).requires_grad
    model.step(x)
    sample = model.sample(4)
    assert (sample[0] if isinstance(sample, tuple) else sample).shape == (4, dim)


def test_the_command_writes_what_it_prints(tmp_path):
    out = tmp_path / "new" / "bench.json"
    command = [
        sys.executable,
        "-m",
        "bench.flows",
        "--dims",
        "2",
        "--libraries",
        "m2m",
        "zuko",
        "--rounds",
        "3",
        "--out",
        str(out),
    ]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    results = json.loads(out.read_text())
    assert {row["operation"] for row in results["rows"]} == {"log_prob, 1,000", "training step, 256", "sampling, 10,000"}
    assert results["versions"]["torch"] == torch.__version__ and results["machine"]["threads"] == 1
    assert results["command"] == "python -m bench.flows --dims 2 --libraries m2m zuko --device cpu --rounds 3 --budget 60.0"
    assert str(ROOT) not in out.read_text() and str(tmp_path) not in out.read_text()
    for row in results["rows"]:
        assert f"{row['median']:.3g} ({row['low']:.3g} to {row['high']:.3g})" in printed


# Messages


@pytest.mark.parametrize("part", ["search", "schnet", "egnn", "simulator"])
def test_the_cases_of_part_two_run(part):
    for task, cases in messages.PARTS[part](torch.device("cpu")).items():
        if "20 particles" in task or "20,000" in task or "scikit-learn" in cases and "2,048" in task:
            continue
        for call in cases.values():
            call()


def test_peers_find_the_same_neighbours():
    x = torch.rand(300, 3, dtype=torch.float64)
    cases = messages.within(x, 0.2)
    pairs = lambda edges: {tuple(edge) for edge in edges}
    assert pairs(cases["m2m"]().T.tolist()) == pairs(cases["scipy"]()[0].tolist())
    senders = messages.k_nearest(x, 5)
    assert numpy.array_equal(senders["m2m"]()[1].reshape(300, 5).numpy(), senders["scipy"]()[0])


def test_the_loop_is_the_simulator():
    x, v, q = messages.particles.start(3, 5, generator=torch.Generator().manual_seed(0))
    ours = messages.particles.simulate(x, v, q, 100)[0][:, 0]
    loop = numpy.stack([messages.one_by_one(*state, 100) for state in zip(x.numpy(), v.numpy(), q.numpy())])
    assert numpy.abs(ours.numpy() - loop).max() < 1e-10
    assert numpy.abs(messages.one_by_one(x[0].numpy(), v[0].numpy(), -q[0].numpy(), 100) - loop[0]).max() < 1e-10  # charges squared
    assert numpy.abs(messages.one_by_one(x[0].numpy(), -v[0].numpy(), q[0].numpy(), 100) - loop[0]).max() > 0.01


def test_egnn_as_printed_is_the_same_function():
    printed, ours = messages.as_printed()(8, 2, 1), messages.egnn.EGNN(8, 2, 1)
    printed.load_state_dict(ours.state_dict())
    x, v = torch.randn(5, 3), torch.randn(5, 3)
    edges = messages.graph.complete(torch.zeros(5, dtype=torch.int64))
    a = torch.randn(20, 1)
    assert torch.allclose(printed(x, v, edges, a)[0], ours(x, v, edges, a)[0], atol=1e-6)
