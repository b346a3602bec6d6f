"""The benchmark of harmonics: what is timed is what it says, for each library that is there."""

import math

import pytest
import torch

from bench import harmonics as bench

CPU = torch.device("cpu")


def test_the_libraries_compute_the_same():
    r = bench.draw(20, CPU)
    ours = bench.ours(3)(r)
    torch.testing.assert_close(bench.e3nn(3)(r), ours, rtol=0, atol=1e-5)
    # scipy's are about z, complex, without negative orders; our axes (x, y, z) are its (y, z, x)
    theirs = bench.scipy(3)(r)
    turned = bench.ours(3)(r[:, [1, 2, 0]]) / math.sqrt(4 * math.pi)
    pairs = [(l, m) for l in range(4) for m in range(l + 1)]
    for (l, m), value in zip(pairs, theirs, strict=True):
        real = torch.from_numpy(value.real).float() * (-1) ** m * (math.sqrt(2) if m else 1)
        torch.testing.assert_close(real, turned[:, l * l + l + m], rtol=0, atol=1e-5)
    assert (ours - bench.ours(3)(r[:, [1, 2, 0]])).abs().max() > 0.1  # the control


@pytest.mark.parametrize("part", bench.PARTS)
def test_the_cases_run(part):
    for task, cases in bench.PARTS[part](CPU, [5]).items():
        assert "m2m" in cases and task
        for name, call in cases.items():
            if "compiled" not in name:  # compiling takes too long here
                assert call() is not None
