"""Every bijector: its inverse, its log-determinant against autograd, gradients, reloading, shapes, refusals."""

import io
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from m2m import checks
from m2m.flows.bijectors import (
    AffineTransform,
    Coupling,
    Elementwise,
    Inverse,
    Linear,
    MaskedAutoregressive,
    Permutation,
    Sigmoid,
    SplineTransform,
)

TRANSFORMS = {"affine": AffineTransform, "unbounded": lambda: AffineTransform(bound=None), "spline": SplineTransform}


def random_points(*shape, seed=1, dtype=torch.float64):
    # Wide enough to reach the tails of the splines
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def every_second(dim):
    return torch.arange(dim) % 2 == 0


def linear(dim):
    return Linear(dim, random_points(dim, dim, seed=2).float() / 3 + 2 * torch.eye(dim), random_points(dim, seed=3).float())


MAPS = {
    **{f"autoregressive {k}": lambda dim, t=t: MaskedAutoregressive(dim, [32, 16], t()) for k, t in TRANSFORMS.items()},
    **{
        f"inverse autoregressive {k}": lambda dim, t=t: Inverse(MaskedAutoregressive(dim, [32], t()))
        for k, t in TRANSFORMS.items()
    },
    **{f"coupling {k}": lambda dim, t=t: Coupling(every_second(dim), [32], t()) for k, t in TRANSFORMS.items()},
    **{f"elementwise {k}": lambda dim, t=t: Elementwise(dim, t()) for k, t in TRANSFORMS.items()},
    "permutation": lambda dim: Permutation(torch.arange(dim).roll(1)),
    "linear": linear,
    "sigmoid": lambda dim: Sigmoid(),
    "logit": lambda dim: Inverse(Sigmoid()),
}
CASES = [(name, dim) for name in MAPS for dim in (1, 2, 6, 63) if dim > 1 or not name.startswith("coupling")]
SLOW = [("autoregressive spline", 63), ("autoregressive unbounded", 63), ("inverse autoregressive unbounded", 63)]
every_case = pytest.mark.parametrize(("name", "dim"), CASES)
most_cases = pytest.mark.parametrize(("name", "dim"), [case for case in CASES if case not in SLOW])


def make(name, dim, dtype=torch.float64, seed=0):
    """The bijector with random weights: at its start many a mistake does not show."""
    bijector = MAPS[name](dim).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in bijector.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(dtype)
    return bijector


def inputs(name, *shape, dtype=torch.float64, seed=1):
    z = random_points(*shape, dtype=dtype, seed=seed)
    return z.sigmoid() if name == "logit" else z


@every_case
def test_inverse(name, dim):
    bijector, z = make(name, dim), inputs(name, 20, dim)
    assert checks.inverse_error(bijector, z) < 1e-9
    assert name == "permutation" or not torch.equal(bijector(z)[0], z), "the identity proves nothing"


@every_case
def test_log_determinant(name, dim):
    bijector, z = make(name, dim), inputs(name, 3 if dim < 63 else 1, dim)
    assert checks.log_det_error(bijector, z) < 1e-10
    if dim < 63:
        assert checks.log_det_error(Inverse(bijector), bijector(z)[0].detach()) < 1e-9


@most_cases
def test_float32(name, dim):
    bijector, z = make(name, dim, torch.float32), inputs(name, 20, dim, dtype=torch.float32)
    double = make(name, dim)
    double.load_state_dict(bijector.state_dict())
    for got, expected in zip(bijector(z), double(z.double()), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=2e-3, atol=2e-3)


@most_cases
def test_gradients_are_finite_and_reach_all_weights(name, dim):
    bijector, z = make(name, dim), inputs(name, 20, dim).requires_grad_()
    for direction, value in (("forward", z), ("inverse", bijector(z)[0].detach().requires_grad_())):
        out, log_det = getattr(bijector, direction)(value)
        (out.square().sum() + log_det.square().sum()).backward()
        assert value.grad.isfinite().all() and (value.grad != 0).any()
    for parameter in bijector.parameters():
        assert parameter.grad.isfinite().all()
        assert (parameter.grad != 0).any() or dim == 1 or parameter.numel() == 1


@most_cases
def test_reload(name, dim):
    bijector, z = make(name, dim, seed=0), inputs(name, 5, dim)
    file = io.BytesIO()
    torch.save(bijector.state_dict(), file)
    file.seek(0)
    again = make(name, dim, seed=1)
    again.load_state_dict(torch.load(file, weights_only=True))
    for got, expected in zip(again(z), bijector(z), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(("name", "dim"), [(name, dim) for name, dim in CASES if dim < 6])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3), (2, 0, 3)])
def test_leading_dimensions(name, dim, shape):
    bijector, z = make(name, dim), inputs(name, *shape, dim)
    flat = z.reshape(-1, dim)
    for direction in (bijector.forward, bijector.inverse):
        value = z if direction == bijector.forward else bijector(z)[0].detach()
        out, log_det = direction(value)
        assert out.shape == z.shape and log_det.shape == z.shape[:-1]
        if len(flat):
            rows = [direction(row) for row in value.reshape(-1, dim)]
            torch.testing.assert_close(out.reshape(-1, dim), torch.stack([row for row, _ in rows]), rtol=0, atol=1e-11)
            torch.testing.assert_close(log_det.reshape(-1), torch.stack([row for _, row in rows]), rtol=0, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(MAPS)),
    dim=st.integers(2, 7),
    shape=st.lists(st.integers(0, 3), max_size=3),
    seed=st.integers(0, 99),
)
def test_any_bijector_any_shape(name, dim, shape, seed):
    bijector, z = make(name, dim, seed=seed), inputs(name, *shape, dim, seed=seed)
    x, log_det = bijector(z)
    back, log_det_back = bijector.inverse(x)
    assert x.shape == z.shape and log_det.shape == z.shape[:-1]
    torch.testing.assert_close(back, z, rtol=0, atol=1e-8)
    torch.testing.assert_close(log_det, -log_det_back, rtol=0, atol=1e-8)


# What each one is


@pytest.mark.parametrize("name", sorted(name for name in MAPS if name not in ("permutation", "linear", "sigmoid", "logit")))
def test_they_start_as_the_identity(name):
    z = random_points(7, 4)
    x, log_det = MAPS[name](4).double()(z)
    torch.testing.assert_close(x, z, rtol=0, atol=1e-6)  # the start of a spline goes through float32 constants
    torch.testing.assert_close(log_det, torch.zeros(7, dtype=z.dtype), rtol=0, atol=1e-6)


def test_identity_false_keeps_the_random_weights():
    torch.manual_seed(0)
    z = random_points(7, 4).float()
    assert not torch.allclose(MaskedAutoregressive(4, [8], identity=False)(z)[0], z, atol=1e-2)


def test_autoregressive_and_its_inverse_are_triangular_and_a_coupling_keeps_its_half():
    z = random_points(5)
    for name in ("autoregressive spline", "inverse autoregressive affine"):
        bijector = make(name, 5)
        jacobian = checks.jacobian(lambda p, b=bijector: b(p)[0], z)
        assert (jacobian.triu(1) == 0).all() and (jacobian.tril(-1) != 0).any() and (jacobian.diagonal() > 0).all()
    keep = torch.tensor([True, False, False, True, False])
    coupling = Coupling(keep, [8])
    nn.init.normal_(coupling.net[-2].weight)
    z = z.float()[None]
    x = coupling(z)[0]
    assert torch.equal(x[:, keep], z[:, keep]) and (x[:, ~keep] != z[:, ~keep]).all()


def test_permutation_reads_as_it_says():
    z = torch.tensor([[10.0, 20.0, 30.0]])
    x, log_det = Permutation([2, 0, 1])(z)
    assert x.tolist() == [[30.0, 10.0, 20.0]] and log_det.tolist() == [0.0]


@pytest.mark.parametrize("dim", [1, 2, 6, 63])
def test_linear_is_the_matrix_it_was_given(dim):
    weight, bias = random_points(dim, dim).float() + 2 * torch.eye(dim), random_points(dim, seed=2).float()
    layer, z = Linear(dim, weight, bias), random_points(9, dim).float()
    x, log_det = layer(z)
    torch.testing.assert_close(x, z @ weight.T + bias, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(weight.double())[1].float().expand(9), rtol=1e-5, atol=1e-4)
    # A matrix that turns space inside out keeps its sign while it learns
    assert Linear(2, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))(torch.tensor([[3.0, 5.0]]))[0].tolist() == [[5.0, 3.0]]


def test_sigmoid_where_float32_ends():
    z = torch.tensor([[-200.0], [-30.0], [0.0], [30.0], [200.0]])
    x, log_det = Sigmoid()(z)
    assert log_det.isfinite().all() and ((x >= 0) & (x <= 1)).all()
    torch.testing.assert_close(log_det, torch.tensor([-200.0, -30.0, math.log(0.25), -30.0, -200.0]))


def test_the_bounded_scale():
    raw = torch.tensor([-1e6, -1.0, 0.0, 1.0, 1e6])
    params = torch.stack([torch.zeros(5), raw], -1)
    s = AffineTransform(bound=3.0).forward(torch.ones(5), params)[1]
    torch.testing.assert_close(s, torch.tensor([-3.0, -0.75, 0.0, 0.75, 3.0]))
    assert torch.equal(AffineTransform(bound=None).forward(torch.ones(5), params)[1], raw)


# The spline


def spline_parameters(n, transform, seed=0, scale=1.5):
    return scale * torch.randn(n, transform.outputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("bins", "bound"), [(2, 1.0), (8, 5.0), (20, 0.3)])
def test_spline_with_zero_parameters_is_the_identity(bins, bound):
    transform = SplineTransform(bins, bound)
    z = torch.linspace(-2 * bound, 2 * bound, 101, dtype=torch.float64)
    params = torch.zeros(101, transform.outputs, dtype=torch.float64)
    zs, xs, slopes = transform.knots(params[0])
    torch.testing.assert_close(zs, torch.linspace(-bound, bound, bins + 1, dtype=torch.float64))
    torch.testing.assert_close(xs, zs)
    torch.testing.assert_close(slopes, torch.ones_like(slopes))
    for got, expected in zip(transform.forward(z, params), (z, torch.zeros_like(z)), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


def test_spline_is_the_identity_in_its_tails():
    transform = SplineTransform(bound=2.0)
    z = torch.tensor([-1e6, -2.5, -2.0, 2.0, 2.5, 1e6], dtype=torch.float64)
    for direction in (transform.forward, transform.inverse):
        x, log_slope = direction(z, spline_parameters(6, transform))
        assert torch.equal(x, z) and (log_slope == 0).all()


def test_spline_meets_its_knots_with_its_slopes_and_both_are_continuous():
    transform, n = SplineTransform(bins=6, bound=2.0), 50
    params = spline_parameters(n, transform)
    zs, xs, slopes = transform.knots(params)
    assert (zs.diff() > 0).all() and (xs.diff() > 0).all() and (slopes > 0).all()
    assert (zs[:, 0] == -2).all() and (zs[:, -1] == 2).all() and (xs[:, 0] == -2).all() and (xs[:, -1] == 2).all()
    for k in range(transform.bins + 1):
        for side in (-1e-11, 0.0, 1e-11):
            x, log_slope = transform.forward(zs[:, k] + side, params)
            torch.testing.assert_close(x, xs[:, k], rtol=0, atol=1e-6)
            torch.testing.assert_close(log_slope.exp(), slopes[:, k], rtol=1e-4, atol=0)
            z, log_slope = transform.inverse(xs[:, k] + side, params)
            torch.testing.assert_close(z, zs[:, k], rtol=0, atol=1e-6)
            torch.testing.assert_close((-log_slope).exp(), slopes[:, k], rtol=1e-4, atol=0)


def test_spline_rises_everywhere_and_bears_extreme_parameters():
    transform = SplineTransform()
    z = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    for scale in (1.0, 10.0, 100.0):
        params = spline_parameters(1, transform, scale=scale).expand(2001, -1).clone().requires_grad_()
        x, log_slope = transform.forward(z, params)
        assert (x.diff() > 0).all() and log_slope.isfinite().all()
        back, log_slope_back = transform.inverse(x.detach(), params)
        torch.testing.assert_close(back, z, rtol=0, atol=1e-5)
        (x.sum() + log_slope.sum() + back.sum() + log_slope_back.sum()).backward()
        assert params.grad.isfinite().all()


def test_spline_agrees_with_zuko():
    zuko = pytest.importorskip("zuko")
    transform, n = SplineTransform(bins=7, bound=3.0), 500
    params = spline_parameters(n, transform)
    theirs = zuko.transforms.MonotonicRQSTransform(params[:, :7], params[:, 7:14], params[:, 14:], bound=3.0)
    # The libraries bound widths and slopes in different ways; between equal knots the curve is the same
    theirs.horizontal, theirs.vertical, theirs.derivatives = transform.knots(params)
    z = 1.5 * torch.randn(n, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x, log_slope = transform.forward(z, params)
    their_x, their_log_slope = theirs.call_and_ladj(z)
    torch.testing.assert_close(x, their_x, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_slope, their_log_slope, rtol=0, atol=1e-11)
    torch.testing.assert_close(transform.inverse(x, params)[0], theirs.inv(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("dim", [1, 2, 6])
def test_autoregressive_agrees_with_zuko_on_the_same_network(dim):
    zuko = pytest.importorskip("zuko")
    ours = MaskedAutoregressive(dim, [16, 16], AffineTransform(bound=-math.log(1e-3)), identity=False).double()

    def from_data_to_noise(x):
        m, r = ours.net(x).unbind(-1)
        s = ours.transform.shift_and_log_scale(ours.net(x))[1]
        return zuko.transforms.MonotonicAffineTransform(-m * (-s).exp(), -r, slope=1e-3)

    theirs = zuko.transforms.AutoregressiveTransform(from_data_to_noise, passes=dim)
    x = random_points(10, dim)
    with torch.no_grad():
        z, log_det = ours.inverse(x)
        their_z, their_log_det = theirs.call_and_ladj(x)
        torch.testing.assert_close(z, their_z, rtol=0, atol=1e-12)
        torch.testing.assert_close(log_det, their_log_det.sum(-1), rtol=0, atol=1e-12)
        torch.testing.assert_close(ours(z)[0], theirs.inv(z), rtol=0, atol=1e-11)


# Bad input


REFUSED = {
    "order with a gap": (
        lambda: Permutation([0, 2]),
        r"Permutation: got \[0, 2\], expected each of the whole numbers 0 \.\. 1 once",
    ),
    "order that repeats": (lambda: Permutation([0, 0, 1]), r"Permutation: got \[0, 0, 1\], expected each"),
    "order of fractions": (
        lambda: Permutation(torch.tensor([0.0, 1.0])),
        r"Permutation: got \[0\.0, 1\.0\], expected .* whole numbers",
    ),
    "order in two dimensions": (lambda: Permutation(torch.tensor([[0, 1]])), r"Permutation: got \[\[0, 1\]\], expected"),
    "all kept": (lambda: Coupling([True, True]), r"Coupling: got keep=\[True, True\], expected .* some True and some False"),
    "none kept": (lambda: Coupling([False]), r"Coupling: got keep=\[False\], expected"),
    "mask in two dimensions": (
        lambda: Coupling([[True, False]]),
        r"Coupling: got keep=\[\[True, False\]\], expected one flag per dim",
    ),
    "singular": (lambda: Linear(2, torch.ones(2, 2)), r"Linear: got a singular weight .*expected an invertible one"),
    "nearly singular": (lambda: Linear(3, torch.outer(torch.rand(3), torch.rand(3))), r"Linear: got a singular weight"),
    "not a number": (lambda: Linear(1, torch.full((1, 1), math.nan)), r"Linear: got a singular weight"),
    "weight of another size": (lambda: Linear(3, torch.eye(2)), r"Linear: got weight of shape \(2, 2\), expected \(3, 3\)"),
    "bias of another size": (lambda: Linear(3, bias=torch.zeros(1)), r"Linear: got bias of shape \(1,\), expected \(3,\)"),
    "one bin": (lambda: SplineTransform(bins=1), r"SplineTransform: got bins=1, bound=5\.0; expected bins >= 2"),
    "no interval": (lambda: SplineTransform(bound=0.0), r"SplineTransform: got bins=8, bound=0\.0; expected .*bound > 0"),
    "no scale": (lambda: AffineTransform(bound=0.0), r"AffineTransform: got bound=0\.0, expected a positive number or None"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    build, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", ["autoregressive affine", "inverse autoregressive affine", "coupling affine", "permutation"])
@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("wrong", [2, 4])
def test_points_of_another_dimension_are_refused(name, direction, wrong):
    with pytest.raises(ValueError, match=rf"got (points of )?shape \(5, {wrong}\), expected \(\.\.\., 3\)"):
        getattr(make(name, 3), direction)(random_points(5, wrong))


@pytest.mark.parametrize("broken", ["log-determinant off by a factor", "sign", "inverse without its shift"])
def test_the_checks_reject_a_broken_bijector(broken):
    bijector, z = make("autoregressive affine", 3), inputs("autoregressive affine", 5, 3)
    forward, inverse = bijector.forward, bijector.inverse
    if broken == "inverse without its shift":
        bijector.inverse = lambda x: (inverse(x)[0] + 0.01, inverse(x)[1])
        assert checks.inverse_error(bijector, z) > 1e-3
    else:
        factor = -1.0 if broken == "sign" else 1.01
        bijector.forward = lambda z: (forward(z)[0], factor * forward(z)[1])
        assert checks.log_det_error(bijector, z) > 1e-3 and checks.inverse_error(bijector, z) > 1e-3
