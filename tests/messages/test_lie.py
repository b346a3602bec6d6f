"""Lie groups: exp and log are inverse to each other, agree with the matrix exponential, and do not fail at 0 and at pi."""

import math

import pytest
import torch

from m2m import runtime
from m2m.messages import lie
from m2m.tensors import rotations

SIZES = {"so2": 1, "se2": 3, "so3": 3, "se3": 6}


def algebra(name, a):
    """Coordinates as matrices of the Lie algebra, written out independently."""
    zero = torch.zeros_like(a[..., 0])
    if name == "so2":
        return torch.stack([torch.stack([zero, -a[..., 0]], -1), torch.stack([a[..., 0], zero], -1)], -2)
    if name == "so3":
        return lie.hat(a)
    d = 2 if name == "se2" else 3
    turn = algebra("so2", a[..., 2:]) if d == 2 else lie.hat(a[..., 3:])
    return torch.nn.functional.pad(torch.cat([turn, a[..., :d, None]], -1), (0, 0, 0, 1))


def exp(name, a):
    return getattr(lie, f"{name}_exp")(a[..., 0] if name == "so2" else a)


def log(name, g):
    a = getattr(lie, f"{name}_log")(g)
    return a[..., None] if name == "so2" else a


def coordinates(name, largest, n=200, dtype=torch.float64):
    """Random coordinates whose angle is `largest`."""
    a = torch.randn(n, SIZES[name], generator=runtime.generator(0), dtype=torch.float64)
    turn = slice({"so2": 0, "se2": 2, "so3": 0, "se3": 3}[name], None)
    a[:, turn] = torch.nn.functional.normalize(a[:, turn], dim=-1) * largest
    return a.to(dtype)


ANGLES = [0.0, 1e-12, 1e-8, 1e-4, 0.05, 0.0999, 0.1001, 1.0, 3.0, math.pi - 1e-6, math.pi - 1e-9]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("angle", [*ANGLES, math.pi, 5.0])
def test_exp_is_the_matrix_exponential(name, angle):
    a = coordinates(name, angle)
    torch.testing.assert_close(exp(name, a), torch.linalg.matrix_exp(algebra(name, a)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("angle", ANGLES)
def test_log_undoes_exp(name, angle):
    a = coordinates(name, angle)
    torch.testing.assert_close(log(name, exp(name, a)), a, rtol=0, atol=2e-9 if math.pi - angle < 1e-5 else 1e-12)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("angle", [*ANGLES, math.pi, math.pi + 1e-9, 5.0])
def test_exp_undoes_log(name, angle):
    """For every element, half turns and angles beyond them included."""
    g = exp(name, coordinates(name, angle))
    torch.testing.assert_close(exp(name, log(name, g)), g, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", SIZES)
def test_float32(name):
    for angle in (0.0, 1e-4, 1.0, 3.0, math.pi):
        g = exp(name, coordinates(name, angle, dtype=torch.float32))
        torch.testing.assert_close(exp(name, log(name, g)), g, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_one_direction_is_a_homomorphism(name):
    """exp((s + t) a) = exp(s a) exp(t a), and exp(-a) = exp(a)^-1; two directions do not commute (except in SO(2))."""
    a, b = coordinates(name, 1.3), coordinates(name, 0.7).flip(0)
    torch.testing.assert_close(exp(name, 0.3 * a) @ exp(name, 0.5 * a), exp(name, 0.8 * a), rtol=0, atol=1e-14)
    identity = torch.eye(exp(name, a).shape[-1], dtype=a.dtype).expand(len(a), -1, -1)
    torch.testing.assert_close(exp(name, a) @ exp(name, -a), identity, rtol=0, atol=1e-14)
    apart = (exp(name, a) @ exp(name, b) - exp(name, a + b)).abs().max()
    assert apart < 1e-14 if name == "so2" else apart > 0.1


def test_so3_log_of_uniform_rotations():
    r = rotations.random(2000, generator=runtime.generator(0), dtype=torch.float64)
    w = lie.so3_log(r)
    assert w.norm(dim=-1).max() <= math.pi + 1e-12
    torch.testing.assert_close(lie.so3_exp(w), r, rtol=0, atol=1e-13)
    torch.testing.assert_close((r @ w[..., None])[..., 0], w, rtol=0, atol=1e-13)  # the axis stays where it is
    trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(1 + 2 * w.norm(dim=-1).cos(), trace, rtol=0, atol=1e-13)


def test_half_turns_have_one_logarithm():
    """Both signs of an axis are the same half turn; rounding does not choose between them."""
    axis = coordinates("so3", math.pi)
    torch.testing.assert_close(lie.so3_log(lie.so3_exp(axis)), lie.so3_log(lie.so3_exp(-axis)), rtol=0, atol=1e-9)
    exact = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(lie.so3_log(exact), torch.tensor([0, 0, math.pi], dtype=torch.float64))
    noise = torch.tensor([math.pi, -math.pi, math.pi + 1e-15, -math.pi - 1e-15, 3 * math.pi], dtype=torch.float64)
    torch.testing.assert_close(lie.wrap(noise), torch.full((5,), math.pi, dtype=torch.float64))
    assert lie.wrap(torch.tensor(3.2)).item() == pytest.approx(3.2 - 2 * math.pi)


@pytest.mark.parametrize("name", ["se2", "se3"])
def test_relative_element(name):
    g_i, g_j, h = (exp(name, coordinates(name, a).roll(k, 0)) for k, a in enumerate((0.5, 1.5, 2.5)))
    torch.testing.assert_close(lie.relative(g_i, g_j), torch.linalg.inv(g_i) @ g_j)
    torch.testing.assert_close(lie.relative(h @ g_i, h @ g_j), lie.relative(g_i, g_j), rtol=0, atol=1e-13)
    # Control: the other order is not invariant
    wrong = lambda a, b: b @ lie.inverse(a)
    assert (wrong(h @ g_i, h @ g_j) - wrong(g_i, g_j)).abs().max() > 0.5


@pytest.mark.parametrize("name", SIZES)
def test_gradients_at_the_identity_are_finite_and_right(name):
    """d log(exp(a)) / da is the identity, at a = 0 too."""
    for scale in (0.0, 1e-9, 0.3):
        a = scale * coordinates(name, 1.0, n=1)[0]
        jacobian = torch.autograd.functional.jacobian(lambda a: log(name, exp(name, a)), a)
        torch.testing.assert_close(jacobian, torch.eye(len(a), dtype=a.dtype), rtol=0, atol=1e-8)


def test_exponential_paths_of_se2_are_circles():
    """The path exp(s a) of constant velocity and constant turning: all points at distance |v| / theta from one centre."""
    a = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    path = lie.se2_exp(torch.linspace(0, 3, 50, dtype=torch.float64)[:, None] * a)[:, :2, 2]
    centre = torch.tensor([-a[1], a[0]], dtype=torch.float64) / a[2]
    radius = (path - centre).norm(dim=-1)
    torch.testing.assert_close(radius, (a[:2].norm() / a[2]).expand(50))


def test_shapes():
    assert lie.se3_exp(torch.zeros(2, 5, 6)).shape == (2, 5, 4, 4) and lie.se2_log(torch.eye(3).expand(0, 3, 3)).shape == (
        0,
        3,
    )
    assert lie.so3_log(torch.eye(3)).shape == (3,) and lie.so2_exp(torch.tensor(1.0)).shape == (2, 2)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: lie.so2_log(torch.zeros(3, 3)), r"r: got shape \(3, 3\)"),
    (lambda: lie.so3_log(torch.zeros(2, 2)), r"expected \(..., 3, 3\)"),
    (lambda: lie.se3_log(torch.zeros(4, 3)), r"expected \(..., 4, 4\)"),
    (lambda: lie.se2_exp(torch.zeros(2)), r"coordinates: got shape \(2,\)"),
    (lambda: lie.se3_exp(torch.zeros(3, 5)), r"expected \(..., 6\)"),
    (lambda: lie.so3_exp(torch.zeros(3).long()), "torch.int64"),
])  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
