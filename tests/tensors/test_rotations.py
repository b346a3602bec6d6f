"""Rotations: orthogonal, proper, uniform."""

import math

import pytest
import torch
from scipy import stats

from m2m import runtime
from m2m.tensors import rotations


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_rotations(shape, dtype):
    r = rotations.random(*shape, generator=runtime.generator(0), dtype=dtype)
    assert r.shape == (*shape, 3, 3) and r.dtype == dtype
    precision = 20 * torch.finfo(dtype).eps
    torch.testing.assert_close(r @ r.mT, torch.eye(3, dtype=dtype).expand_as(r), rtol=0, atol=precision)
    torch.testing.assert_close(torch.linalg.det(r), torch.ones(shape, dtype=dtype), rtol=0, atol=precision)


def test_seeds():
    draw = lambda seed: rotations.random(3, generator=runtime.generator(seed))
    assert torch.equal(draw(0), draw(0)) and not torch.equal(draw(0), draw(1))
    # Precision is not a matter of chance: both are the same rotations
    double = rotations.random(3, generator=runtime.generator(0), dtype=torch.float64)
    assert torch.equal(draw(0), double.float())


def angles(r):
    return torch.acos(((r.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1))


def uniformity(r):
    """p-values: of the rotation angle, whose density is (1 - cos t) / pi; of the image of an axis, uniform on the sphere."""
    angle = stats.kstest(angles(r).numpy(), lambda t: (t - torch.as_tensor(t).sin().numpy()) / math.pi).pvalue
    # Archimedes: each coordinate of a point uniform on the sphere is uniform on [-1, 1]
    heights = [stats.kstest(r[:, i, j].numpy(), stats.uniform(-1, 2).cdf).pvalue for i in range(3) for j in range(3)]
    return [angle, *heights]


def test_they_are_uniform():
    r = rotations.random(20_000, generator=runtime.generator(0), dtype=torch.float64)
    assert min(uniformity(r)) > 1e-3
    # Turning a uniform rotation gives a uniform one, from either side
    turn = rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    assert min(uniformity(turn @ r)) > 1e-3 and min(uniformity(r @ turn)) > 1e-3
    # Entries of a representation are orthogonal: E[R] = 0, E[R_ij R_kl] = delta_ik delta_jl / 3
    entries = r.reshape(-1, 9)
    assert entries.mean(0).abs().max() < 5 * math.sqrt(1 / 3 / len(r))
    torch.testing.assert_close(entries.T @ entries / len(r), torch.eye(9, dtype=r.dtype) / 3, rtol=0, atol=0.015)


def test_uniform_euler_angles_are_not_uniform_rotations_and_are_rejected():
    a, b, c = 2 * math.pi * torch.rand(3, 20_000, generator=runtime.generator(0), dtype=torch.float64)
    z, y = [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]
    assert min(uniformity(rotations.about(z, a) @ rotations.about(y, b) @ rotations.about(z, c))) < 1e-12


# --- About an axis ----------------------------------------------------------------------------------------------------------


def test_a_quarter_turn():
    quarter = rotations.about([0.0, 0.0, 2.0], math.pi / 2)
    expected = torch.tensor([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)  # x to y, y to -x
    torch.testing.assert_close(quarter, expected, rtol=0, atol=1e-15)


def test_about_many_axes():
    axis = torch.randn(5, 3, generator=runtime.generator(0), dtype=torch.float64)
    angle = torch.linspace(0, 3, 5, dtype=torch.float64)
    r = rotations.about(axis, angle)
    rotations.check(r)
    torch.testing.assert_close(angles(r), angle, rtol=0, atol=1e-12)
    torch.testing.assert_close((r @ axis[..., None])[..., 0], axis)
    torch.testing.assert_close(rotations.about(axis, angle) @ rotations.about(axis, -2 * angle), rotations.about(axis, -angle))
    assert rotations.about(axis[0].float(), 0.5).dtype == torch.float32
    assert rotations.about(axis[0], angle).shape == rotations.about(axis, 0.5).shape == (5, 3, 3)


@pytest.mark.parametrize("axis", [[0.0, 0.0, 0.0], [1.0, 0.0], [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [math.nan, 0.0, 1.0]])
def test_no_axis(axis):
    with pytest.raises(ValueError, match="axis: got shape"):
        rotations.about(axis, 1.0)


# --- What is not a rotation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_check_accepts_rotations(dtype):
    rotations.check(rotations.random(100, generator=runtime.generator(0), dtype=dtype))
    rotations.check(torch.zeros(0, 3, 3, dtype=dtype))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.diag(torch.tensor([1.0, 1.0, -1.0])), "a reflection"),
        (torch.eye(3) * 1.01, "differs from the identity by"),
        (torch.eye(3) + 0.01 * torch.ones(3, 3).triu(1), "differs from the identity by"),
        (torch.full((3, 3), math.nan), "differs from the identity by"),
        (torch.eye(3, dtype=torch.float64) * (1 + 1e-7), "differs from the identity by"),
        (torch.eye(3).expand(4, 3, 3) * torch.tensor([1, 1, -1, 1.0])[:, None, None], "a reflection"),
        (torch.eye(2), "R: got shape"),
        (torch.ones(3), "R: got shape"),
        (torch.eye(3).half(), "of torch.float16"),
        (torch.eye(3).long(), "of torch.int64"),
    ],
)
def test_check_rejects_what_is_not_one(matrix, message):
    with pytest.raises(ValueError, match=message):
        rotations.check(matrix)
