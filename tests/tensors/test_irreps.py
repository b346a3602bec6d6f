"""Wigner matrices are representations; features are turned by them and checked."""

import math

import pytest
import torch
from e3nn import o3

from m2m import runtime
from m2m.tensors import harmonics, irreps, rotations

LIMIT = 1e-13


def draw(*shape, seed=0, dtype=torch.float64):
    return rotations.random(*shape, generator=runtime.generator(seed), dtype=dtype)


@pytest.mark.parametrize("l", range(irreps.L_MAX + 1))
def test_homomorphism(l):
    R, S, one = draw(20), draw(20, seed=1), torch.eye(2 * l + 1, dtype=torch.float64)
    D = lambda turn: irreps.wigner_d(l, turn)
    assert (D(R @ S) - D(R) @ D(S)).abs().max() < LIMIT
    assert (D(R) @ D(R).mT - one).abs().max() < LIMIT and (D(R.mT) - D(R).mT).abs().max() < LIMIT
    assert (D(torch.eye(3, dtype=torch.float64)) - one).abs().max() < LIMIT
    # The control: in the other order it is another rotation
    if l:
        assert (D(S @ R) - D(R) @ D(S)).abs().max() > 0.5


@pytest.mark.parametrize("l", range(9))
def test_harmonics_turn(l):
    R = draw()
    r = torch.randn(30, 3, generator=runtime.generator(2), dtype=torch.float64)
    Y = lambda p: harmonics.split(harmonics.harmonics(p, l))[l]
    assert (Y(r @ R.T) - Y(r) @ irreps.wigner_d(l, R).T).abs().max() < LIMIT * 10


@pytest.fixture
def double():
    """e3nn makes its constants in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("l", range(9))
def test_e3nn(l, double):
    R = draw(10)
    torch.testing.assert_close(irreps.wigner_d(l, R), o3.Irrep(l, 1).D_from_matrix(R), rtol=0, atol=1e-10)


def test_traces_are_characters():
    """The trace of D depends on the angle alone: sin((l + 1/2) t) / sin(t / 2)."""
    angle = torch.linspace(0.1, 3.1, 7, dtype=torch.float64)
    axis = torch.randn(7, 3, generator=runtime.generator(0), dtype=torch.float64)
    for l in range(9):
        trace = irreps.wigner_d(l, rotations.about(axis, angle)).diagonal(dim1=-2, dim2=-1).sum(-1)
        torch.testing.assert_close(trace, ((l + 0.5) * angle).sin() / (angle / 2).sin(), rtol=0, atol=1e-12)


def test_degrees_0_and_1_are_exact():
    for dtype in (torch.float32, torch.float64):
        R = draw(2, 3, dtype=dtype)
        assert torch.equal(irreps.wigner_d(0, R), torch.ones(2, 3, 1, 1, dtype=dtype))
        assert torch.equal(irreps.wigner_d(1, R), R) and irreps.wigner_d(1, R) is not R


def test_float32_empty_and_gradients():
    R = draw(5, dtype=torch.float32)
    D = irreps.wigner_d(4, R)
    assert D.dtype == torch.float32 and irreps.wigner_d(4, R[:0]).shape == (0, 9, 9)
    assert (D @ D.mT - torch.eye(9)).abs().max() < 1e-5
    turn = lambda t: irreps.wigner_d(3, rotations.about([1.0, 2.0, 0.5], t))
    assert torch.autograd.gradcheck(turn, torch.tensor(0.3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("l", [-1, irreps.L_MAX + 1, 1.0, True, None])
def test_bad_degree(l):
    with pytest.raises(ValueError, match="l: got"):
        irreps.wigner_d(l, draw())


def test_bad_rotations():
    with pytest.raises(ValueError, match="a reflection"):
        irreps.wigner_d(2, -torch.eye(3))
    with pytest.raises(ValueError, match="R R"):
        irreps.wigner_d(2, 1.1 * torch.eye(3))


# --- Features -------------------------------------------------------------------------------------------------------------


def test_features_turn_and_keep_their_lengths():
    channels = {0: 4, 1: 3, 3: 2}
    f = irreps.random(channels, 6, generator=runtime.generator(0), dtype=torch.float64)
    irreps.check(f, channels)
    one, each = draw(), draw(6)
    for R in (one, each):
        for l, turned in irreps.rotate(f, R).items():
            torch.testing.assert_close(irreps.norm(turned), irreps.norm(f[l]))
    R = rotations.random(generator=runtime.generator(3), dtype=torch.float64)
    twice, product = irreps.rotate(irreps.rotate(f, one), R), irreps.rotate(f, R @ one)
    for l in channels:
        torch.testing.assert_close(twice[l], product[l], rtol=0, atol=1e-12)
        torch.testing.assert_close(irreps.rotate(f, each)[l][2], irreps.rotate(f, each[2])[l][2], rtol=0, atol=1e-12)
    torch.testing.assert_close(irreps.rotate(f, one)[1], f[1] @ one.T)
    assert irreps.rotate({}, one) == {}


def test_random_features_follow_the_seed():
    drawn = lambda seed: irreps.random({1: 2}, 3, generator=runtime.generator(seed))[1]
    assert drawn(0).dtype == torch.float32 and torch.equal(drawn(0), drawn(0)) and not torch.equal(drawn(0), drawn(1))
    assert irreps.random({1: 2}, 0)[1].shape == (0, 2, 3)


def test_norm_at_zero():
    f = torch.zeros(2, 3, 5, dtype=torch.float64)
    f[0] = torch.randn(3, 5, generator=runtime.generator(0), dtype=torch.float64)
    f.requires_grad_()
    (slope,) = torch.autograd.grad(irreps.norm(f).sum(), f, create_graph=True)
    assert torch.equal(slope[1], torch.zeros_like(slope[1]))
    torch.testing.assert_close(slope[0].norm(dim=-1), torch.ones(3, dtype=torch.float64))
    assert torch.autograd.grad(slope.sum(), f)[0].isfinite().all()
    # The control: the plain formula has no gradient there
    assert not torch.autograd.grad(f.square().sum(-1).sqrt().sum(), f)[0].isfinite().all()
    assert math.isnan(irreps.norm(torch.full((1, 1, 3), math.nan)).item())


def test_bad_features():
    ok = torch.zeros(4, 2, 3)
    for f, message in [
        ({1: torch.zeros(4, 3)}, "f: got shape"),
        ({2: ok}, "degree 2, expected"),
        ({-1: ok}, "l: got -1"),
        ({"1": ok}, "l: got '1'"),
        ({0: torch.zeros(5, 2, 1), 1: ok}, "the same number for all"),
    ]:
        with pytest.raises(ValueError, match=message):
            irreps.check(f)
    with pytest.raises(ValueError, match="got channels"):
        irreps.check({1: ok}, {1: 3})
    with pytest.raises(ValueError, match="one rotation for each node"):
        irreps.rotate({1: ok}, draw(3))
    with pytest.raises(ValueError, match="l: got 99"):
        irreps.random({99: 1}, 2)
