"""The attention that is timed: e3nn gets as many weights, a known memory is seen, and every library runs."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import attention, convolutions, memory  # noqa: E402

CPU = torch.device("cpu")


def weights(module):
    return sum(p.numel() for p in module.parameters())


def test_e3nn_gets_as_many_weights(monkeypatch):
    pytest.importorskip("e3nn")
    made = attention.training_step(CPU, 2, l_max=2, systems=3)
    calls = {name: made[name]() for name in ("m2m", "e3nn")}
    biases = 4 * 2 + 2  # m2m's matrices on channels have one for degree 0: in each layer 2 of the query, ...
    assert 0 <= calls["m2m"].parameters - calls["e3nn"].parameters <= 10 * biases
    before = calls["m2m"].parameters
    for call in calls.values():
        call()
    assert before == attention.training_step(CPU, 2, l_max=2, systems=3)["m2m"]().parameters


def test_attention_of_e3nn_is_equivariant():
    """What is timed must be the layer and not something that looks like it."""
    pytest.importorskip("e3nn")
    from e3nn import o3

    from m2m import runtime
    from m2m.tensors import irreps, rotations, tfn

    torch.manual_seed(0)
    layer = attention.Attention(2, 2, 2)
    x, f = torch.randn(6, 3), irreps.random({0: 2, 1: 2, 2: 2}, 6, dtype=torch.float32)
    edge_index = torch.cartesian_prod(torch.arange(6), torch.arange(6)).T
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]

    def run(x, f):
        geometry = tfn.Geometry(x, edge_index, 4)
        Y = o3.spherical_harmonics(layer.filters, geometry.r, True, "component")
        e = torch.exp(-geometry.d[:, None] * torch.arange(16))
        out = layer(torch.cat([value.flatten(1) for value in f.values()], 1), Y, e, edge_index)
        return {l: part.view(6, 2, -1) for l, part in zip(f, out.split([2, 6, 10], 1), strict=True)}

    R = rotations.random(generator=runtime.generator(0))
    got, want = run(x @ R.T, irreps.rotate(f, R)), irreps.rotate(run(x, f), R)
    # e3nn's harmonics of degree 2 and more have m2m's order and sign
    assert max((got[l] - want[l]).abs().max().item() for l in f) < 1e-4
    assert max((got[l] - run(x, f)[l]).abs().max().item() for l in (1, 2)) > 1e-2


def test_one_layer_of_every_library_runs(monkeypatch):
    monkeypatch.setattr(convolutions, "POINTS", 14)
    for name, make in attention.one_layer(CPU).items():
        if name != "se3-transformer-pytorch":
            try:
                make()()
            except ImportError:
                continue


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads a peak from /proc")
def test_memory_of_a_known_step(monkeypatch):
    hundred = lambda device: {"hundred": lambda: lambda: torch.ones(25 * 2**20)}
    monkeypatch.setitem(attention.TASKS, "known", hundred)
    assert 90 < memory._extra(attention._call, ("known", "hundred"), "cpu") < 130
