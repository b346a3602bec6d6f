"""Regular group convolution: one filter seen in n rotations, and feature maps that are functions on the group.

The group is translations and rotations of the image plane, with n rotations by 360 k / n degrees. An image is (B, C, H, W),
row 0 on top. A feature map *on the group* is (B, C, n, H, W): a number for each place x and each rotation. Rotations turn
counterclockwise as one sees the image, about its centre, and are given in degrees, so that a quarter turn is exact.

A rotation R acts on an image by f(x) -> f(R^-1 x), and on a function on the group by f(x, h) -> f(R^-1 x, R^-1 h): the picture
turns, and the n maps change places (`turn`). With g = (x, R) and h = (y, S) both layers are the same correlation,

    f'(g) = sum_h k(g^-1 h) f(h),          g^-1 h = (R^-1 (y - x), R^-1 S),

for an image (`Lifting`) with h = y alone. Cohen & Welling 2016 (arXiv:1602.07576); smooth filters: Weiler & others 2018
(arXiv:1711.07289).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

ANGULAR = 2  # highest frequency of a smooth filter along the rotations


def degrees(n: int) -> list[float]:
    """The n rotations of the grid, 360 k / n."""
    _check_count(n)
    return [360 * k / n for k in range(n)]


def rotate(images: Tensor, angle: float, *, size: int | None = None, zoom: float = 1.0) -> Tensor:
    """Turn images (..., H, H) counterclockwise about their centre by bilinear interpolation; outside is zero.

    Args:
        angle: in degrees. Quarter turns move pixels and change no number.
        size: pixels along each side of the result, by default H.
        zoom: pixels of the result along the side of a pixel of the image.

    Raises:
        ValueError: images that are not square or not floating-point, or an angle or a zoom out of range.
    """
    if images.ndim < 2 or images.shape[-1] != images.shape[-2] or not images.is_floating_point():
        raise ValueError(f"images: got shape {tuple(images.shape)} of {images.dtype}, expected (..., H, H), floating-point")
    if not (math.isfinite(angle) and zoom > 0):
        raise ValueError(f"angle, zoom: got {angle}, {zoom}, expected a finite number of degrees and a positive factor")
    quarters, rest = divmod(angle, 90.0)
    before, size = images.shape[-1], size or images.shape[-1]
    if rest or size != before or zoom != 1.0:
        c, s = math.cos(math.radians(rest)), math.sin(math.radians(rest))
        back = torch.tensor([[c, -s, 0.0], [s, c, 0.0]]) * size / (before * zoom)  # rows run downwards
        grid = functional.affine_grid(back[None].to(images), [1, 1, size, size], align_corners=False)
        flat = images.reshape(1, -1, before, before)
        images = functional.grid_sample(flat, grid, align_corners=False).view(*images.shape[:-2], size, size)
    return torch.rot90(images, int(quarters) % 4, (-2, -1))


def turn(f: Tensor, angle: float) -> Tensor:
    """The action of a rotation of the grid on a function on the group f (B, C, n, H, H): turn all maps, move them on.

    Raises:
        ValueError: f is not (B, C, n, H, H), or the angle is not on the grid.
    """
    n = f.shape[2]
    if f.ndim != 5 or (angle * n) % 360:
        raise ValueError(f"angle: got {angle} for shape {tuple(f.shape)}, expected a multiple of 360 / n and (B, C, n, H, H)")
    return rotate(f, angle).roll(round(angle * n / 360), 2)


# --- Filters --------------------------------------------------------------------------------------------------------------


def filters(kind: str, n: int, size: int) -> Tensor:
    """The functions that a filter of size x size pixels is a sum of, in all n rotations: (n, P, size, size).

    "pixels": one pixel each, turned by bilinear interpolation, so within the disc if there are others than quarter turns.
    "smooth": rings of whole radii times cos(m phi), sin(m phi), which are turned by their formula.

    Raises:
        ValueError: an even size, or an unknown kind.
    """
    _check_count(n)
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size: got {size}, expected an odd number of pixels")
    if kind == "smooth":
        return torch.stack([torch.rot90(ring_harmonics(size, a % 90), int(a // 90), (-2, -1)) for a in degrees(n)])
    if kind != "pixels":
        raise ValueError(f"kind: got {kind!r}, expected 'pixels' or 'smooth'")
    single = torch.eye(size * size).view(-1, size, size)
    if 4 % n:
        single = single[(polar(size)[0] <= size / 2).flatten()]
    return torch.stack([rotate(single, a) for a in degrees(n)])


def ring_harmonics(size: int, angle: float = 0.0, width: float = 0.6) -> Tensor:
    """Smooth filters, turned by an angle in degrees: (P, size, size), P = 1, 6, 13, ... for size 1, 3, 5, ...

    Ring j is exp(-(r - j)^2 / 2 width^2), with frequencies m = 0 .. j + 1 (ring 0: m = 0 alone): more would alias. Cosine and
    sine of a frequency have one factor, so a turn mixes them by a rotation matrix at every pixel; their mean norm is 1.
    """
    r, phi = polar(size)
    turned = phi - math.radians(angle)
    functions = []
    for j in range(size // 2 + 1):
        ring = torch.exp(-((r - j) ** 2) / (2 * width**2))
        functions.append(ring / ring.norm())
        for m in range(1, j + 2 if j else 1):
            # The angle is not defined at the centre: a harmonic that is not zero there would not turn
            around = ring * (r > 0)
            functions += [2**0.5 * around / around.norm() * wave(m * turned) for wave in (torch.cos, torch.sin)]
    return torch.stack(functions).float()


def polar(size: int) -> tuple[Tensor, Tensor]:
    """Radius and counterclockwise angle of the pixels about the centre, (size, size) each."""
    across = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    x, y = across[None, :], -across[:, None]  # row 0 is on top
    return (x**2 + y**2).sqrt(), torch.atan2(y.expand(size, size), x.expand(size, size))


def along_rotations(kind: str, n: int) -> Tensor:
    """The functions of the relative rotation that a filter is a sum of, (A, n): each rotation its own, or low frequencies."""
    if kind == "pixels":
        return torch.eye(n)
    theta = torch.tensor(degrees(n), dtype=torch.float64).deg2rad()
    waves = [wave(m * theta) * 2**0.5 for m in range(1, ANGULAR + 1) for wave in (torch.cos, torch.sin)]
    return torch.stack([torch.ones_like(theta), *waves]).float()


# --- Layers ---------------------------------------------------------------------------------------------------------------


class Lifting(nn.Module):
    """From an image to a function on the group: correlate it with every filter in all n rotations.

    With n = 1 this is an ordinary convolution. Where n is a multiple of 4, quarter turns of the image are exact.

    Args:
        inputs, outputs: channels.
        n: rotations.
        size: pixels along a side of the filters, odd; the image keeps its size.
        kind: "pixels" or "smooth", see `filters`.
    """

    def __init__(self, inputs: int, outputs: int, n: int, size: int = 5, kind: str = "pixels"):
        super().__init__()
        self.inputs, self.outputs, self.n, self.size = inputs, outputs, n, size
        self.register_buffer("basis", filters(kind, n, size))
        functions = self.basis.shape[1]
        self.weight = nn.Parameter(torch.randn(outputs, inputs, functions) * (2 / (inputs * functions)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def kernels(self) -> Tensor:
        """All filters in all rotations, (outputs * n, inputs, size, size)."""
        return torch.einsum("oip,npxy->onixy", self.weight, self.basis).flatten(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, inputs, H, W) -> (B, outputs, n, H, W)."""
        if images.ndim != 4 or images.shape[1] != self.inputs:
            raise ValueError(f"images: got shape {tuple(images.shape)}, expected (B, {self.inputs}, H, W)")
        f = functional.conv2d(images, self.kernels(), padding=self.size // 2)
        return f.unflatten(1, (self.outputs, self.n)) + self.bias.view(-1, 1, 1, 1)


class GroupConv(nn.Module):
    """From functions on the group to functions on the group: filters that are turned *and* moved on along the rotations.

    The sum over the n rotations is divided by n: a finer grid approximates the same integral. Arguments as for `Lifting`.
    """

    def __init__(self, inputs: int, outputs: int, n: int, size: int = 5, kind: str = "pixels"):
        super().__init__()
        self.inputs, self.outputs, self.n, self.size = inputs, outputs, n, size
        self.register_buffer("basis", filters(kind, n, size))
        # at output rotation k, the input rotation l is the relative rotation l - k: R^-1 S
        waves = along_rotations(kind, n)
        self.register_buffer("shifted", torch.stack([waves.roll(k, 1) for k in range(n)]) / n)
        scale = (2 * (n if kind == "pixels" else 1) / (inputs * self.basis.shape[1])) ** 0.5
        self.weight = nn.Parameter(torch.randn(outputs, inputs, len(waves), self.basis.shape[1]) * scale)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def kernels(self) -> Tensor:
        """(outputs * n, inputs * n, size, size)."""
        moved = torch.einsum("oiap,nal->oinlp", self.weight, self.shifted)
        return torch.einsum("oinlp,npxy->onilxy", moved, self.basis).flatten(2, 3).flatten(0, 1)

    def forward(self, f: Tensor) -> Tensor:
        """f (B, inputs, n, H, W) -> (B, outputs, n, H, W)."""
        if f.ndim != 5 or f.shape[1:3] != (self.inputs, self.n):
            raise ValueError(f"f: got shape {tuple(f.shape)}, expected (B, {self.inputs}, {self.n}, H, W)")
        f = functional.conv2d(f.flatten(1, 2), self.kernels(), padding=self.size // 2)
        return f.unflatten(1, (self.outputs, self.n)) + self.bias.view(-1, 1, 1, 1)


# --- Fourier transform over the group -------------------------------------------------------------------------------------


def fourier(f: Tensor, dim: int = -1) -> Tensor:
    """Coefficients c_m = 1/n sum_k f(theta_k) exp(-i m theta_k), m = 0 .. n // 2, of real samples (..., n) on the grid.

    A turn by alpha multiplies c_m by exp(-i m alpha) (`steer`): c_m is a feature of the m-th irreducible representation of
    SO(2), and f(theta) = sum over |m| <= n/2 of c_m exp(i m theta), with c_-m the conjugate of c_m.
    """
    return torch.fft.rfft(f, dim=dim, norm="forward")


def samples(c: Tensor, n: int, dim: int = -1) -> Tensor:
    """The function with coefficients c (those of m = 0, 1, ... along `dim`) at n rotations; needs n >= 2 (len - 1).

    Raises:
        ValueError: too few rotations for these frequencies.
    """
    highest = c.shape[dim] - 1
    if n < 2 * highest:
        raise ValueError(f"n: got {n}, expected at least {2 * highest} samples for frequencies up to {highest}")
    return torch.fft.irfft(c, n, dim=dim, norm="forward")


def steer(c: Tensor, angle: float, dim: int = -1) -> Tensor:
    """Coefficients c (..., n // 2 + 1) of the function turned by any angle in degrees: f(theta - angle)."""
    m = torch.arange(c.shape[dim], device=c.device, dtype=c.real.dtype)
    phase = torch.exp(-1j * m * math.radians(angle))
    return (c.movedim(dim, -1) * phase).movedim(-1, dim)


def _check_count(n: int) -> None:
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n: got {n!r}, expected a whole number of rotations from 1 on")
