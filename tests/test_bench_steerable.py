"""The SEGNN layers that are timed: e3nn gets the same network, and both compute features that turn."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import convolutions, memory, steerable  # noqa: E402

CPU = torch.device("cpu")


@pytest.mark.parametrize("case", steerable.CASES)
def test_e3nn_gets_the_same_network(case, monkeypatch):
    pytest.importorskip("e3nn")
    channels, l = steerable.CASES[case]
    monkeypatch.setitem(steerable.CASES, case, ({k: 4 for k in channels}, l))
    task = steerable.Task(case, CPU)
    made = {name: make(task) for name, make in steerable.LIBRARIES.items()}
    count = {
        name: sum(p.numel() for key, p in module.named_parameters() if "bias" not in key) for name, (module, _) in made.items()
    }
    assert count["m2m"] == count["e3nn"]
    sizes = {name: sum(part.flatten(1).shape[1] for part in call()) for name, (_, call) in made.items()}
    assert sizes["m2m"] == sizes["e3nn"] == 4 * (l + 1) ** 2
    for module, call in made.values():
        convolutions.backward(module, call)()
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads a peak from /proc")
def test_memory_is_a_number():
    assert memory._extra(steerable._call, ("particles", "m2m"), "cpu") >= 0
