"""Group convolution on images: exact at quarter turns, an action of the group, and broken layers are found out."""

import pytest
import torch

from m2m import checks, runtime
from m2m.messages import groups

QUARTERS = (90, 180, 270, -90, 450)


def image(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, generator=runtime.generator(seed), dtype=dtype)


def whole(module):
    """Weights that are small whole numbers: sums of their products with whole images have no rounding error in any order."""
    for p in module.parameters():
        p.data = torch.randint(-3, 4, p.shape, generator=runtime.generator(p.numel())).to(p.dtype)
    return module


def stack(n, kind, dtype, classes=(groups.Lifting, groups.GroupConv)):
    runtime.seed_everything(1)
    lifting, conv = classes[0](2, 3, n, kind=kind).to(dtype), classes[1](3, 4, n, kind=kind).to(dtype)
    return lambda x: conv(torch.tanh(lifting(x)))


def quarter_error(f, dtype=torch.float64, size=12):
    x = image(1, 2, size, size, dtype=dtype)
    return max(checks.relative_error(f(groups.rotate(x, a)), groups.turn(f(x), a)) for a in QUARTERS)


# --- Turning --------------------------------------------------------------------------------------------------------------


def test_quarter_turns_move_pixels_and_change_no_number():
    x = image(2, 3, 8, 8)
    for a in QUARTERS:
        assert torch.equal(groups.rotate(x, a), torch.rot90(x, a // 90, (-2, -1)))
    corner = torch.zeros(4, 4)
    corner[0, 3] = 1  # top right
    assert groups.rotate(corner, 90.0)[0, 0] == 1  # counterclockwise: top left


def test_turns_to_any_angle_agree_with_scipy():
    from scipy import ndimage

    x = image(16, 16, dtype=torch.float64)
    for a in (10.0, 77.0, 200.0, -33.0):
        other = ndimage.rotate(x.numpy(), a, reshape=False, order=1, mode="grid-constant")
        inner = slice(4, 12)
        torch.testing.assert_close(groups.rotate(x, a)[inner, inner], torch.as_tensor(other)[inner, inner], atol=1e-6, rtol=0)


def test_zoom_repeats_the_picture_larger():
    x = image(3, 8, 8, dtype=torch.float32)
    larger = groups.rotate(x, 0.0, size=20, zoom=2)
    assert larger.shape == (3, 20, 20) and larger[:, 0].abs().max() == 0
    back = groups.rotate(larger, 0.0, size=8, zoom=0.5)  # samples between four pixels of the larger picture
    assert torch.corrcoef(torch.stack([back.flatten(), x.flatten()]))[0, 1] > 0.9
    torch.testing.assert_close(
        groups.rotate(x, 120.0, size=20, zoom=2), torch.rot90(groups.rotate(x, 30.0, size=20, zoom=2), 1, (-2, -1))
    )


@pytest.mark.parametrize("n", [4, 8])
def test_turn_is_an_action(n):
    """turn(a) turn(b) = turn(a + b), and turn(0) does nothing; on quarter turns bit for bit."""
    f = image(1, 2, n, 6, 6)
    assert torch.equal(groups.turn(f, 0), f) and torch.equal(groups.turn(groups.turn(f, 90), 180), groups.turn(f, 270))
    assert torch.equal(groups.turn(groups.turn(f, 90), -90), f)


# --- Filters --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pixels", "smooth"])
@pytest.mark.parametrize("n", [4, 8, 12])
def test_filters_of_quarter_turns_are_turned_filters(kind, n):
    basis = groups.filters(kind, n, 5)
    for k in range(n):
        assert torch.equal(basis[(k + n // 4) % n], torch.rot90(basis[k], 1, (-2, -1)))


def test_harmonics_turn_by_their_formula():
    """A pair (cos, sin) of frequency m turned by alpha is the pair mixed by the rotation by m alpha, at every pixel."""
    basis, turned = groups.ring_harmonics(5), groups.ring_harmonics(5, 25.0)
    angle = torch.tensor(25.0).deg2rad()
    first = {(1, 1): 2, (1, 2): 4, (2, 1): 7, (2, 2): 9, (2, 3): 11}  # (ring, frequency): index of its cosine
    assert len(basis) == 13
    for (_, m), k in first.items():
        c, s = (m * angle).cos(), (m * angle).sin()
        torch.testing.assert_close(turned[k], c * basis[k] + s * basis[k + 1])
        torch.testing.assert_close(turned[k + 1], c * basis[k + 1] - s * basis[k])
        assert basis[k, 2, 2] == basis[k + 1, 2, 2] == 0, "a harmonic of frequency > 0 vanishes at the centre"
    for ring in (0, 1, 6):
        assert torch.equal(basis[ring], turned[ring])


def test_one_rotation_is_an_ordinary_convolution():
    layer = groups.Lifting(2, 3, 1).double()
    x = image(4, 2, 9, 9)
    plain = torch.nn.functional.conv2d(x, layer.weight.view(3, 2, 5, 5), layer.bias, padding=2)
    torch.testing.assert_close(layer(x)[:, :, 0], plain)


# --- Equivariance ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "kind"), [(4, "pixels"), (8, "pixels"), (8, "smooth"), (12, "smooth")])
def test_quarter_turns_are_exact(n, kind, dtype):
    assert quarter_error(stack(n, kind, dtype), dtype) < 30 * torch.finfo(dtype).eps


def test_p4_is_bit_exact_on_whole_numbers():
    lifting, conv = whole(groups.Lifting(1, 2, 4)), whole(groups.GroupConv(2, 2, 4))
    conv.shifted *= 4  # the mean over four rotations as a sum: whole numbers
    x = torch.randint(-5, 6, (1, 1, 8, 8), generator=runtime.generator(0)).float()
    f = lambda x: conv(torch.relu(lifting(x)))
    for a in QUARTERS:
        assert torch.equal(f(groups.rotate(x, a)), groups.turn(f(x), a))
    assert f(x).abs().max() > 100


def test_the_order_of_filters_goes_with_the_rotations():
    """A map that answers to an edge answers one map further on when the edge is turned by one step of the grid."""
    lifting = groups.Lifting(1, 1, 4).double()
    edge = torch.zeros(1, 1, 12, 12, dtype=torch.float64)
    edge[..., 6:] = 1
    strength = lambda x: lifting(x)[0, 0, :, 5:7, 5:7].mean((-2, -1))
    torch.testing.assert_close(strength(groups.rotate(edge, 90)), strength(edge).roll(1))


class Backwards(groups.GroupConv):
    """Control: rotations moved on in the wrong order, g_j g_i^-1 instead of g_i^-1 g_j."""

    def kernels(self):
        self.shifted = self.shifted[(-torch.arange(self.n)) % self.n]
        kernels = super().kernels()
        self.shifted = self.shifted[(-torch.arange(self.n)) % self.n]
        return kernels


class Unturned(groups.GroupConv):
    """Control: moved on along the rotations, but the same picture in all."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.basis = self.basis[:1].expand_as(self.basis)


class Mixed(groups.GroupConv):
    """Control: turned, but not moved on along the rotations."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.shifted = self.shifted[:1].expand_as(self.shifted)


@pytest.mark.parametrize("broken", [Backwards, Unturned, Mixed])
def test_broken_layers_are_rejected(broken):
    assert quarter_error(stack(4, "pixels", torch.float64, (groups.Lifting, broken))) > 0.1


def test_the_centre_pixel_of_a_harmonic_breaks_equivariance(monkeypatch):
    """Control for the trap: atan2 calls the angle of the centre 0, and cos(m phi) is 1 there; as written, quarter turns fail."""
    good = quarter_error(stack(8, "smooth", torch.float64))
    polar = groups.polar
    monkeypatch.setattr(groups, "polar", lambda size: (polar(size)[0].clamp_min(1e-9), polar(size)[1]))
    # each rotation from its formula, which is what a library does that does not know quarter turns
    formula = lambda kind, n, size: torch.stack([groups.ring_harmonics(size, a) for a in groups.degrees(n)])
    monkeypatch.setattr(groups, "filters", formula)
    broken = quarter_error(stack(8, "smooth", torch.float64))
    monkeypatch.setattr(groups, "polar", polar)
    mended = quarter_error(stack(8, "smooth", torch.float64))
    assert good < 1e-13 and mended < 1e-5 and broken > 0.01


def test_an_odd_grid_that_loses_a_row_is_not_equivariant():
    """The trap of pooling: 5 -> 2 drops the last row and column, 6 -> 3 does not."""
    pool = lambda x: torch.nn.functional.avg_pool2d(x, 2)
    error = lambda size: checks.relative_error(
        pool(groups.rotate(x := image(1, 1, size, size), 90)), groups.rotate(pool(x), 90)
    )
    assert error(6) < 1e-15 and error(5) > 0.1


def test_untrained_error_falls_with_the_grid():
    """One smooth function on the group, sampled with 4, 8, 16 rotations: the textbook's statement, which holds here."""
    x = torch.nn.functional.avg_pool2d(image(4, 1, 48, 48, dtype=torch.float32), 3, 1, 1)
    x = groups.rotate(x, 0.0) * (groups.polar(48)[0] < 20)

    def error(n):
        runtime.seed_everything(0)
        lifting, conv = groups.Lifting(1, 4, n, kind="smooth"), groups.GroupConv(4, 4, n, kind="smooth")
        f = lambda x: conv(torch.relu(lifting(x))).mean(2)
        return torch.tensor(
            [checks.relative_error(f(groups.rotate(x, a)), groups.rotate(f(x), a)) for a in (20.0, 45.0)]
        ).mean()

    with torch.no_grad():
        four, eight, sixteen = (error(n) for n in (4, 8, 16))
    assert four > 1.1 * eight and eight > 0.9 * sixteen


# --- Fourier transform over the group -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 8])
def test_fourier_is_inverted_and_turns_by_phases(n):
    f = image(3, 2, n)
    c = groups.fourier(f)
    torch.testing.assert_close(groups.samples(c, n), f)
    torch.testing.assert_close(groups.fourier(f.roll(1, -1)), groups.steer(c, 360 / n))
    torch.testing.assert_close(groups.fourier(f.transpose(0, -1), dim=0), c.transpose(0, -1))


def test_steering_between_the_grid_is_exact_for_a_band_limited_function():
    waves = lambda theta: 1 + 2 * torch.cos(theta - 0.3) - torch.sin(2 * theta)
    theta = torch.tensor(groups.degrees(8)).double().deg2rad()
    turn = 17.0
    steered = groups.samples(groups.steer(groups.fourier(waves(theta)), turn), 8)
    torch.testing.assert_close(steered, waves(theta - torch.tensor(turn).double().deg2rad()))
    torch.testing.assert_close(groups.samples(groups.fourier(waves(theta)), 32)[::4], waves(theta))


# --- Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "message"), [
    (lambda: groups.degrees(0), "n: got 0"),
    (lambda: groups.degrees(2.5), "n: got 2.5"),
    (lambda: groups.rotate(torch.zeros(4, 5), 90), r"images: got shape \(4, 5\)"),
    (lambda: groups.rotate(torch.zeros(4, 4).long(), 90), "torch.int64"),
    (lambda: groups.rotate(torch.zeros(4, 4), float("nan")), "angle, zoom: got nan"),
    (lambda: groups.rotate(torch.zeros(4, 4), 0.0, zoom=0), "positive factor"),
    (lambda: groups.turn(torch.zeros(1, 1, 4, 6, 6), 45), "angle: got 45"),
    (lambda: groups.turn(torch.zeros(1, 4, 6, 6), 90), "angle: got 90"),
    (lambda: groups.filters("pixels", 4, 4), "size: got 4"),
    (lambda: groups.filters("wavy", 4, 5), "kind: got 'wavy'"),
    (lambda: groups.Lifting(2, 3, 4)(torch.zeros(1, 3, 8, 8)), r"expected \(B, 2, H, W\)"),
    (lambda: groups.GroupConv(2, 3, 4)(torch.zeros(1, 2, 8, 8, 8)), r"expected \(B, 2, 4, H, W\)"),
    (lambda: groups.samples(torch.zeros(5, dtype=torch.complex64), 6), "n: got 6, expected at least 8"),
])  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
