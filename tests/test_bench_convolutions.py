"""The convolutions that are timed: every library gets the same network and the same geometry, and memory is seen."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import convolutions, memory  # noqa: E402

CPU = torch.device("cpu")


def weights(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("kind", ["depthwise", "full"])
def test_e3nn_gets_the_same_network(kind, monkeypatch):
    pytest.importorskip("e3nn")
    monkeypatch.setattr(convolutions, "POINTS", 14)
    made = {name: convolutions.LIBRARIES[name](convolutions.Task(CPU), kind) for name in ("m2m", "m2m, geometry too", "e3nn")}
    assert len({weights(module) for module, _ in made.values()}) == 1
    out = {name: torch.cat([part.flatten(1) for part in call()], 1) for name, (_, call) in made.items()}
    assert all(value.shape == (8 * 14, 16 * 9) and value.isfinite().all() for value in out.values())
    module, call = made["m2m"]
    convolutions.forward(call)()
    assert all(p.grad is None for p in module.parameters())
    convolutions.backward(module, call)()
    assert all(p.grad.isfinite().all() for p in module.parameters())


def test_the_size_that_is_named():
    assert weights(convolutions.ours(convolutions.Task(CPU), "full")[0]) == 16 * 64 + 64 + 64 * 19 * 16 * 16


def test_table_has_ratios_and_memory():
    row = dict(low=1.0, high=3.0, rounds=3, task="full, forward + backward")
    rows = [row | dict(library="m2m", median=2.0, mebibytes=70.0), row | dict(library="e3nn", median=6.0, mebibytes=None)]
    lines = convolutions.table(rows).splitlines()
    assert "×1.00 | 70 |" in lines[2] and "×3.00 |  |" in lines[3]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads a peak from /proc")
def test_memory_of_a_known_step(monkeypatch):
    def hundred_megabytes(task, kind):
        weight = torch.nn.Linear(1, 1)
        return weight, lambda: [weight(torch.ones(25 * 2**20, 1))]

    monkeypatch.setitem(convolutions.LIBRARIES, "hundred", hundred_megabytes)
    assert 190 < memory._extra(convolutions._call, ("full", "hundred"), "cpu") < 600
