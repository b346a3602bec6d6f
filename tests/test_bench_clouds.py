"""The benchmark of clouds: all compute the same distances, and every part runs."""

import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import clouds as bench  # noqa: E402

CPU = torch.device("cpu")


def small(points=60):
    return bench.draw(3, points, seed=0, device=CPU), bench.draw(3, points, seed=1, device=CPU)


def test_all_compute_the_same_chamfer_and_gradient():
    x, y = small()
    x.requires_grad_()
    values = {name: f(x, y) for name, f in bench.CHAMFER.items()}
    gradients = {name: torch.autograd.grad(value.sum(), x)[0] for name, value in values.items()}
    for name in bench.CHAMFER:
        torch.testing.assert_close(values[name], values["m2m"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(gradients[name], gradients["m2m"], rtol=1e-3, atol=1e-4)
    assert (values["m2m"] - bench.with_m2m(x.flip(0), y)).abs().max() > 1e-3  # the control


@pytest.mark.parametrize("part", bench.PARTS)
def test_the_cases_run_and_agree(part, monkeypatch):
    whole = bench.draw
    monkeypatch.setattr(bench, "draw", lambda batch, points, **options: whole(min(batch, 3), 40, **options))
    for task, cases in bench.PARTS[part](CPU).items():
        values = {name: torch.as_tensor(call()).double() for name, call in cases.items()}
        assert "m2m" in values
        for value in values.values():
            torch.testing.assert_close(value, values["m2m"], rtol=0.05 if part == "sinkhorn" else 1e-3, atol=1e-4)


def test_only_regularised_values_are_held_against_the_exact_one(monkeypatch):
    whole = bench.draw
    monkeypatch.setattr(bench, "draw", lambda batch, points, **options: whole(batch, 40, **options))
    exact = bench.emd(CPU)["earth mover's distance, 512 points"]["m2m"]().item()
    assert bench.above("Sinkhorn at 0.01, 512 points", torch.tensor(2 * exact), CPU) == pytest.approx(1)
    assert bench.above("Chamfer 8 x 2,048 x 2,048", torch.tensor(1.0), CPU) is None


def test_table_has_ratios_memory_and_what_is_above():
    row = dict(median=2.0, low=1.0, high=3.0, rounds=3)
    rows = [
        {"task": "a", "library": "m2m", **row, "mebibytes": 1.2, "above": None},
        {"task": "a", "library": "cdist", **row, "median": 9.0, "mebibytes": 517.0, "above": 0.0123},
    ]
    lines = bench.table(rows).splitlines()
    assert lines[2:] == ["| a | m2m | 2 (1 to 3) ×1.00 | 1 |  |", "| a | cdist | 9 (1 to 3) ×4.50 | 517 | 1.2% |"]
