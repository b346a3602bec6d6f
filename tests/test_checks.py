"""The checks: near zero for a right model, and each rejects a broken one."""

import math
import re

import numpy
import pytest
import torch
from torch import nn

import claims
from m2m import checks, runtime
from m2m.flows import bijectors

X = torch.randn(20, 3, generator=runtime.generator(0), dtype=torch.float64)
SEED = dict(generator=runtime.generator(1))
AXIS = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


# Symmetry


def centred(x):
    return x - x.mean(0)


def test_equivariance():
    cubes = lambda x: x * x.square().sum(-1, keepdim=True)
    assert checks.equivariance_error(centred, X, **SEED) < 1e-14
    assert checks.equivariance_error(cubes, X, **SEED) < 1e-13
    for broken in (
        lambda x: x.abs(),
        lambda x: x + AXIS,
        lambda x: x * x.new_tensor([1.0, 1.0, 1.01]),
        lambda x: centred(x)[:, [1, 0, 2]],
    ):
        assert checks.equivariance_error(broken, X, **SEED) > 1e-3


def test_equivariance_of_outputs_that_are_no_vectors():
    moments = lambda x: x.T @ x
    both_sides = lambda r, y: r @ y @ r.T
    assert checks.equivariance_error(moments, X, both_sides, **SEED) < 1e-14
    assert checks.equivariance_error(moments, X, **SEED) > 1e-2, "the wrong representation passes"


def test_invariance():
    assert checks.rotation_error(lambda x: torch.cdist(x, x), X, **SEED) < 1e-12
    assert checks.rotation_error(lambda x: x.norm().item(), X, **SEED) < 1e-14, "a number is compared in double precision"
    assert checks.rotation_error(lambda x: x[:, 2], X, **SEED) > 1e-2
    assert checks.rotation_error(lambda x: (x @ AXIS).square().sum().item(), X, **SEED) > 1e-2


def test_one_broken_rotation_in_ten_is_found():
    seen = []

    def breaks_once(x):
        seen.append(x)
        return x if len(seen) != 4 else x + 1

    assert checks.equivariance_error(breaks_once, X, **SEED) > 0.1


def test_permutations():
    assert checks.permutation_error(centred, X, **SEED) == pytest.approx(0, abs=1e-15)
    assert checks.permutation_error(lambda x: x.sum(0), X, equivariant=False, **SEED) < 1e-14
    ramp = torch.arange(20.0, dtype=torch.float64)[:, None]
    assert checks.permutation_error(lambda x: x * ramp, X, **SEED) > 1e-2
    assert checks.permutation_error(lambda x: (x * ramp).sum(0), X, equivariant=False, **SEED) > 1e-2
    # An invariant output does not move along, an equivariant one is not invariant
    assert checks.permutation_error(centred, X, equivariant=False, **SEED) > 1e-2
    assert checks.permutation_error(lambda x: x.sort(0).values, X, **SEED) > 1e-2


@pytest.mark.parametrize("call", [1, 2, 10])
def test_a_nan_is_not_lost(call):
    """Python's max(0.0, nan) is 0.0: a model that returned NaN would pass for a perfect one."""

    def nan_at(count):
        calls = iter(range(100))
        return lambda x: x * (math.nan if next(calls) == count else 1.0)

    assert math.isnan(checks.permutation_error(lambda x, f=nan_at(call): f(x) * 0, X, **SEED))
    assert math.isnan(checks.equivariance_error(nan_at(call), X, **SEED))

    class Broken(nn.Module):
        def forward(self, z):
            return z, z.sum(-1) * math.nan

        inverse = forward

    assert math.isnan(checks.inverse_error(Broken(), X))
    assert math.isnan(checks.log_det_error(Broken(), X))


def test_relative_error():
    assert checks.relative_error(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0])) == pytest.approx(0.2)
    assert checks.relative_error(torch.zeros(2), torch.zeros(2)) == 0
    assert checks.relative_error(torch.ones(2), torch.zeros(2)) > 1e30
    # Broadcasting would compare each row with each other one
    with pytest.raises(ValueError, match=r"got shape \(2, 1\), expected \(2,\)"):
        checks.relative_error(torch.zeros(2, 1), torch.zeros(2))


def test_the_same_generator_gives_the_same_rotations():
    error = lambda seed: checks.rotation_error(lambda x: x[:, 2], X, generator=runtime.generator(seed))
    assert error(0) == error(0) != error(1)


# Bijectors


class Affine(nn.Module):
    """x = 2 z + 1 in each dimension; `slip` is added to the log-determinant, `shift` to the inverse."""

    def __init__(self, slip=0.0, shift=0.0):
        super().__init__()
        self.slip, self.shift = slip, shift

    def forward(self, z):
        return 2 * z + 1, z.new_full(z.shape[:-1], z.shape[-1] * math.log(2) + self.slip)

    def inverse(self, x):
        return (x - 1) / 2 + self.shift, x.new_full(x.shape[:-1], -x.shape[-1] * math.log(2))


def test_inverse():
    assert checks.inverse_error(Affine(), X) < 1e-15
    assert checks.inverse_error(Affine(shift=0.1), X) == pytest.approx(0.1)
    assert checks.inverse_error(Affine(slip=-0.2), X) == pytest.approx(0.2)


def test_log_determinant():
    assert checks.log_det_error(Affine(), X) < 1e-14
    assert checks.log_det_error(Affine(slip=0.3), X) == pytest.approx(0.3)
    # A factor of two forgotten in three dimensions
    assert checks.log_det_error(Affine(slip=-3 * math.log(2)), X) == pytest.approx(3 * math.log(2))
    # A determinant taken at the wrong point of a chain: right only where the map is linear
    spline = bijectors.Elementwise(3, bijectors.SplineTransform()).double()
    nn.init.normal_(spline.params, generator=runtime.generator(2))
    assert checks.log_det_error(spline, X) < 1e-12
    right = spline.forward
    spline.forward = lambda z: (right(z)[0], right(right(z)[0])[1])
    assert checks.log_det_error(spline, X) > 1e-2


def test_jacobian():
    matrix = torch.randn(3, 3, generator=runtime.generator(3), dtype=torch.float64)
    torch.testing.assert_close(checks.jacobian(lambda p: p @ matrix.T, X[0]), matrix)


# Claims


def printed(capsys):
    """What was printed, parsed as the claims page does."""
    (line,) = capsys.readouterr().out.splitlines()
    return claims._parsed(line)


def test_a_claim_that_holds_prints_one_line_that_the_claims_page_reads(capsys):
    checks.claim("two_moons.gap", "held-out NLL within 0.08 nats", value=0.071449, holds=True)
    got = printed(capsys)
    assert (got.name, got.verdict, got.statement, got.value) == (
        "two_moons.gap",
        "holds",
        "held-out NLL within 0.08 nats",
        "0.07145",
    )
    assert (got.run, got.literature) == ("live", None)


def test_a_claim_with_everything(capsys):
    checks.claim("a.b", "more is better", value="3 of 3", holds=True, live=False, literature="told the other way round")
    got = printed(capsys)
    assert (got.value, got.run, got.literature) == ("3 of 3", "long run", "told the other way round")


@pytest.mark.parametrize(
    "value", [torch.tensor(0.25), torch.tensor(0.25, dtype=torch.float64), numpy.float32(0.25), numpy.float64(0.25), 0.25]
)
def test_numbers_of_any_library_print_alike(value, capsys):
    checks.claim("a.b", "small", value=value, holds=value < 1)
    assert printed(capsys).value == "0.25"


@pytest.mark.parametrize("value", [1, True, "12 to 15 ms"])
def test_values_that_are_no_fractions(value, capsys):
    checks.claim("a.b", "small", value=value, holds=True)
    assert printed(capsys).value == str(value)


@pytest.mark.parametrize("holds", [False, numpy.bool_(False), torch.tensor(False), math.nan < 1])
def test_a_claim_that_does_not_hold_raises_and_prints_nothing(holds, capsys):
    with pytest.raises(AssertionError, match=re.escape("claim a.b does NOT hold | small | value 2.5 | live")):
        checks.claim("a.b", "small", value=2.5, holds=holds)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        dict(name="a b"),
        dict(name=""),
        dict(statement="p(x|y)"),
        dict(statement="two\nlines"),
        dict(statement=" "),
        dict(value="1 | 2"),
        dict(value="1\n2"),
        dict(literature="said | so"),
    ],
)
def test_a_line_that_could_not_be_read_back_is_refused(arguments, capsys):
    (what, text), *_ = arguments.items()
    with pytest.raises(ValueError, match=re.escape(f"claim: got {what}={text!r}, expected one line of text without '|'")):
        checks.claim(**{"name": "a.b", "statement": "small", "value": 1.0, "holds": True} | arguments)
    assert capsys.readouterr().out == ""
