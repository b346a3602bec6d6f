"""Spherical harmonics: e3nn's and scipy's numbers, finite gradients, bad input."""

import math

import numpy
import pytest
import torch
from e3nn import o3
from scipy import special

from m2m import runtime
from m2m.tensors import harmonics as sh

L = 8


def points(n=40, dtype=torch.float64, seed=0):
    return torch.randn(n, 3, generator=runtime.generator(seed), dtype=dtype)


@pytest.mark.parametrize("normalization", sh.NORMALIZATIONS)
@pytest.mark.parametrize("normalize", [True, False])
def test_e3nn(normalization, normalize):
    r = points()
    expected = o3.spherical_harmonics(list(range(L + 1)), r, normalize, normalization)
    torch.testing.assert_close(
        sh.harmonics(r, L, normalization=normalization, normalize=normalize), expected, rtol=1e-12, atol=1e-10
    )


def scipy_real(l: int, m: int, r: numpy.ndarray, swap: bool = True) -> numpy.ndarray:
    """Our Y_lm in "integral" from scipy's complex one, which takes (l, m, polar angle, azimuth) about its own z axis."""
    x, y, z = r.T / numpy.linalg.norm(r, axis=1)
    physics = (z, x, y) if swap else (x, y, z)
    polar, azimuth = numpy.arccos(physics[2]), numpy.arctan2(physics[1], physics[0])
    value = (-1) ** m * special.sph_harm_y(l, abs(m), polar, azimuth)  # (-1)^m undoes the Condon-Shortley sign
    return value.real if m == 0 else math.sqrt(2) * (value.real if m > 0 else value.imag)


def test_scipy():
    r = points()
    parts = sh.split(sh.harmonics(r, L, normalization="integral"))
    for l, y in parts.items():
        for m in range(-l, l + 1):
            expected = torch.from_numpy(scipy_real(l, m, r.numpy()))
            torch.testing.assert_close(y[:, l + m], expected, rtol=0, atol=1e-12)
    # The control: without exchanging the axes it is another function
    other = torch.from_numpy(scipy_real(2, 1, r.numpy(), swap=False))
    assert (parts[2][:, 3] - other).abs().max() > 0.3


def test_known_polynomials():
    """Degrees 0 to 2 as a chemist writes them."""
    r = torch.nn.functional.normalize(points(), dim=1)
    x, y, z = r.unbind(-1)
    a = math.sqrt(3)
    two = torch.stack([a * x * z, a * x * y, (3 * y * y - 1) / 2, a * y * z, a * (z * z - x * x) / 2], -1)
    expected = torch.cat([torch.ones(len(r), 1, dtype=r.dtype), r, two], -1)
    torch.testing.assert_close(sh.harmonics(r, 2, normalization="norm"), expected, rtol=0, atol=1e-14)


def test_normalisations_are_what_they_say():
    # Gauss-Legendre in height times even angles integrates polynomials of degree 2L exactly
    heights, weights = numpy.polynomial.legendre.leggauss(L + 1)
    angles = torch.arange(2 * L + 1, dtype=torch.float64) * 2 * math.pi / (2 * L + 1)
    h, phi = torch.cartesian_prod(torch.from_numpy(heights), angles).T
    w = torch.from_numpy(weights).repeat_interleave(2 * L + 1) / (2 * (2 * L + 1))
    r = torch.stack([(1 - h * h).sqrt() * phi.cos(), h, (1 - h * h).sqrt() * phi.sin()], -1)
    mean = lambda name: (w[:, None] * (y := sh.harmonics(r, L, normalization=name))).T @ y
    eye = torch.eye((L + 1) ** 2, dtype=torch.float64)
    torch.testing.assert_close(mean("component"), eye, rtol=0, atol=1e-12)
    torch.testing.assert_close(4 * math.pi * mean("integral"), eye, rtol=0, atol=1e-12)
    lengths = [y.norm(dim=-1) for y in sh.split(sh.harmonics(r, L, normalization="norm")).values()]
    torch.testing.assert_close(torch.stack(lengths), torch.ones(L + 1, len(r), dtype=r.dtype), rtol=0, atol=1e-13)


def test_solid_harmonics_are_homogeneous_and_harmonic():
    r = points(5)
    solid = lambda p: sh.harmonics(p, 4, normalize=False)
    for l, y in sh.split(solid(2 * r)).items():
        torch.testing.assert_close(y, 2**l * sh.split(solid(r))[l], rtol=1e-13, atol=1e-13)
    hessians = torch.stack([torch.autograd.functional.hessian(lambda p, k=k: solid(p)[k], r[0]) for k in range(25)])
    laplacians = hessians.diagonal(dim1=1, dim2=2).sum(-1)
    assert laplacians.abs().max() < 1e-10 * hessians.abs().max()
    # The control: harmonics of the direction alone are not harmonic in space, but for degree 0
    control = torch.autograd.functional.hessian(lambda p: sh.harmonics(p, 1)[1], r[0]).trace()
    assert control.abs() > 1e-2


@pytest.mark.parametrize("normalize", [True, False])
def test_first_and_second_derivatives(normalize):
    r = points(3).requires_grad_()
    f = lambda p: sh.harmonics(p, 4, normalize=normalize)
    assert torch.autograd.gradcheck(f, r) and torch.autograd.gradgradcheck(f, r)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normalize", [True, False])
def test_derivatives_are_finite_at_the_poles_and_at_zero(dtype, normalize):
    special_points = [[0, 1, 0], [0, -1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    r = torch.tensor(special_points, dtype=dtype, requires_grad=True)
    y = sh.harmonics(r, L, normalize=normalize)
    weights = torch.randn(y.shape[1], generator=runtime.generator(1), dtype=dtype)
    (first,) = torch.autograd.grad((y @ weights).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), r)
    assert y.isfinite().all() and first.isfinite().all() and second.isfinite().all()
    assert first[:2].abs().max() > 0.1  # not zero by a clamp
    assert torch.equal(y[4], torch.tensor([1.0] + [0.0] * (y.shape[1] - 1), dtype=dtype))
    if normalize:
        assert torch.equal(first[4], torch.zeros(3, dtype=dtype))


def test_angles_have_no_gradient_at_the_pole():
    """The control: the same function by way of the angles."""
    r = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    polar, azimuth = torch.acos(r[:, 1]), torch.atan2(r[:, 0], r[:, 2])
    (slope,) = torch.autograd.grad((polar.sin() * azimuth.sin()).sum(), r)
    assert not slope.isfinite().all()


def test_float32_float64_and_rows():
    r = points(1000)
    single, double = sh.harmonics(r.float(), L), sh.harmonics(r, L)
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=2e-5)
    assert double.T.is_contiguous()


def test_shapes():
    r = points(24).reshape(2, 3, 4, 3)
    assert sh.harmonics(r, 3).shape == (2, 3, 4, 16) and sh.harmonics(r[0, 0, 0], 0).shape == (1,)
    assert sh.harmonics(r[:0], 2).shape == (0, 3, 4, 9)
    torch.testing.assert_close(sh.harmonics(r, 3)[1, 2, 3], sh.harmonics(r[1, 2, 3], 3), rtol=0, atol=1e-14)
    assert {l: tuple(y.shape) for l, y in sh.split(sh.harmonics(r, 2)).items()} == {l: (2, 3, 4, 2 * l + 1) for l in range(3)}


def test_transforms_of_functions():
    r = points(4)
    f = lambda p: sh.harmonics(p, 3)
    torch.testing.assert_close(torch.func.vmap(f)(r), f(r))
    jacobian = torch.func.vmap(torch.func.jacrev(f))(r)
    torch.testing.assert_close(torch.func.vmap(torch.func.jacfwd(f))(r), jacobian)
    # Lengths do not matter, so the slope along r is 0
    assert torch.einsum("nka,na->nk", jacobian, r).abs().max() < 1e-13


def test_not_a_number_stays_one():
    y = sh.harmonics(torch.tensor([[math.nan, 0, 1], [0, 0, 1.0]]), 2)
    assert y[0, 1:].isnan().all() and y[1].isfinite().all()


@pytest.mark.parametrize("l_max", [-1, 1.5, True, None, "2"])
def test_bad_degree(l_max):
    with pytest.raises(ValueError, match="l_max: got"):
        sh.harmonics(points(2), l_max)


@pytest.mark.parametrize(
    "r", [torch.zeros(4, 2), torch.zeros(3, 4), torch.tensor(1.0), torch.zeros(2, 3).half(), torch.zeros(2, 3).long()]
)
def test_bad_vectors(r):
    with pytest.raises(ValueError, match="r: got shape"):
        sh.harmonics(r, 1)


def test_bad_normalization_and_split():
    with pytest.raises(ValueError, match="normalization: got 'unit'"):
        sh.harmonics(points(2), 1, normalization="unit")
    for y in (torch.zeros(2, 5), torch.zeros(2, 0), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="y: got shape"):
            sh.split(y)
