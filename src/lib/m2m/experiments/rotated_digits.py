"""Digits trained upright, tested at 24 angles: networks on images and on sets of points, and their equivariance error.

Images: the 8 x 8 digits, each pixel twice as wide, on 20 x 20 pixels. All image networks are one class, a lifting layer and two
group layers with n rotations; n = 1 is an ordinary convolutional network. Their equivariance error is measured layer by layer,
before and after training.

Points: the 64 pixel centres, turned exactly; their grey level is the feature. All four groups have the same network with the
same number of parameters, and only the coordinates that its kernels see of a pair differ.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from m2m import runtime, training
from m2m.data import digits
from m2m.messages import groups, lieconv

ANGLES = [15 * k for k in range(24)]
SIZE, ZOOM = 20, 2  # pixels of an image; pixels per pixel of a digit
RADIUS = 2.3  # of a point's neighbourhood, in pixels of a digit
# name: rotations, kind of filter, channels of the three layers, trained on turned images
IMAGES = {
    "CNN": (1, "pixels", (16, 16, 48), False),
    "CNN, turned": (1, "pixels", (16, 16, 48), True),
    "p4": (4, "pixels", (8, 8, 24), False),
    "C8 pixels": (8, "pixels", (6, 6, 16), False),
    "C4 smooth": (4, "smooth", (6, 6, 18), False),
    "C8 smooth": (8, "smooth", (6, 6, 18), False),
    "C16 smooth": (16, "smooth", (6, 6, 18), False),
}
# name: group, rotations of the lift, whether training turns the lift at random
POINTS = {
    "trivial": ("trivial", 1, False),
    "T(2)": ("T(2)", 1, False),
    "SO(2)": ("SO(2)", 1, False),
    "SE(2)": ("SE(2)", 4, False),
    "SE(2), random lifts": ("SE(2)", 4, True),
}


def tasks(scale: str) -> list[dict]:
    """Every model with 1,204 and 300 training images and three seeds; the two costly extras with all images alone."""
    if scale == "cpu":
        return [task(model, 300, 0) for model in ("CNN, turned", "p4", "T(2)", "SO(2)")]
    long = [task(model, images, seed) for images in (1204, 300) for model in (*IMAGES, *POINTS) for seed in (0, 1, 2)]
    return [t for t in long if t["images"] == 1204 or t["model"] not in ("C16 smooth", "SE(2), random lifts")]


def task(model: str, images: int, seed: int) -> dict:
    """A CNN's steps are cheap, so it gets more of them."""
    steps, lr = (2000 if model in ("CNN", "CNN, turned") else 600), (5e-3 if model in IMAGES else 1e-2)
    return {"model": model, "images": images, "steps": steps, "batch_size": 16, "lr": lr, "seed": seed}


def run(*, model: str, images: int, steps: int, batch_size: int, lr: float, seed: int) -> dict:
    """Accuracy at each test angle, its mean and lowest; for an image network the error of each layer before and after."""
    net = build(model, seed)
    found = {"parameters": sum(p.numel() for p in net.parameters())}
    if model in IMAGES:
        found["untrained"] = errors(net)
    history = train(net, images=images, steps=steps, batch_size=batch_size, lr=lr, seed=seed)
    if model in IMAGES:
        found["trained"] = errors(net)
    at = accuracy(net)
    summary = {"mean": sum(at) / len(at), "lowest": min(at), "upright": at[0], "loss": sum(history.loss[-20:]) / 20}
    return found | {"accuracy": at} | summary


# --- Networks -------------------------------------------------------------------------------------------------------------


class ImageNet(nn.Module):
    """Lifting, two group layers, the largest value over rotations, the mean over places, a linear layer."""

    turned: bool

    def __init__(self, n: int, kind: str, channels: tuple[int, int, int], turned: bool = False):
        super().__init__()
        self.n, self.turned = n, turned
        one, two, three = channels
        self.layers = nn.ModuleList([
            groups.Lifting(1, one, n, kind=kind), groups.GroupConv(one, two, n, kind=kind),
            groups.GroupConv(two, three, n, kind=kind),
        ])  # fmt: skip
        self.norms = nn.ModuleList([nn.BatchNorm3d(width) for width in channels])
        self.out = nn.Linear(three, 10)

    def features(self, images: Tensor) -> list[Tensor]:
        """The maps after each layer, (B, C, n, H, W) with H = 20, 10, 5."""
        maps, f = [], images
        for layer, norm in zip(self.layers, self.norms, strict=True):
            f = torch.relu(norm(layer(f)))
            maps.append(f)
            f = nn.functional.avg_pool3d(f, (1, 2, 2)) if f.shape[-1] % 2 == 0 else f  # an odd grid would lose a row
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 1, 20, 20) -> scores (B, 10)."""
        return self.out(self.features(images)[-1].amax(2).mean((-2, -1)))


class PointSetNet(nn.Module):
    """Three convolutions over the group on the same points for all digits, the mean over elements, a linear layer."""

    def __init__(self, group: str, rotations: int, random: bool, width: int = 20):
        super().__init__()
        self.group, self.rotations, self.random = group, rotations, random
        self.register_buffer("edge_index", lieconv.neighbours(self.lift(points()), RADIUS))
        widths = [1, width, width, width]
        kernel = lambda: lieconv.MLPKernel(6, 16)
        self.layers = nn.ModuleList([lieconv.LieConv(a, b, kernel()) for a, b in pairwise(widths)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in self.layers])
        self.out = nn.Linear(width, 10)

    def lift(self, x: Tensor, start: float = 0.0) -> lieconv.Elements:
        """Points x (N, 2) as elements of the group; in SE(2) with evenly spaced angles from `start` on."""
        if self.group != "SE(2)":
            return lieconv.lift(x, self.group)
        grid = start + 2 * math.pi / self.rotations * torch.arange(self.rotations, device=x.device)
        return lieconv.lift(x, self.group, angles=grid.expand(len(x), -1))

    def forward(self, f: Tensor, x: Tensor | None = None) -> Tensor:
        """Grey levels f (B, 64) at the points x (64, 2), by default those of an upright digit -> scores (B, 10)."""
        x = points().to(f) if x is None else x
        start = 2 * math.pi * torch.rand(()).item() if self.random and self.training else 0.0
        elements = self.lift(x, start)
        a = lieconv.relative(elements, self.edge_index, unit=RADIUS)
        f = f[:, elements.point, None]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            f = torch.relu(norm(layer(f, a, self.edge_index).transpose(1, 2)).transpose(1, 2))
        return self.out(f.unflatten(1, (len(x), -1)).amax(2).mean(1))  # the largest value over rotations


def build(model: str, seed: int) -> nn.Module:
    """An untrained network by its name.

    Raises:
        ValueError: an unknown name.
    """
    if model not in IMAGES and model not in POINTS:
        raise ValueError(f"model: got {model!r}, expected one of {', '.join([*IMAGES, *POINTS])}")
    runtime.seed_everything(seed)
    return ImageNet(*IMAGES[model]) if model in IMAGES else PointSetNet(*POINTS[model])


# --- Data, training, measuring --------------------------------------------------------------------------------------------


def grey(split: str) -> tuple[Tensor, Tensor]:
    """Grey levels from 0 to 1 (N, 8, 8) and labels (N,)."""
    pixels, labels = digits.load(split)
    return pixels.view(-1, 8, 8) / 16, labels


def draw(levels: Tensor, angle: float) -> Tensor:
    """Digits (N, 8, 8) turned by an angle in degrees, as images (N, 1, 20, 20): one interpolation, none more for a turn."""
    return groups.rotate(levels, angle, size=SIZE, zoom=ZOOM)[:, None]


def points(angle: float = 0.0) -> Tensor:
    """The 64 pixel centres (64, 2), row by row, y upwards, turned exactly by an angle in degrees."""
    across = torch.arange(8.0) - 3.5
    x, y = torch.meshgrid(across, -across, indexing="xy")
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return torch.stack([x, y], -1).reshape(64, 2) @ torch.tensor([[c, s], [-s, c]])


def train(net: nn.Module, *, images: int, steps: int, batch_size: int, lr: float, seed: int,
          progress: bool = False) -> training.History:  # fmt: skip
    """Cross-entropy on the first `images` training digits, upright, or turned once each anew in every epoch."""
    levels, labels = (part[:images] for part in grey("train"))

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(net(inputs(net, x)), y)

    return training.fit(net, (levels, labels), loss, steps=steps, batch_size=batch_size, lr=lr, average=0.98, seed=seed,
                        progress=progress)  # fmt: skip


def inputs(net: nn.Module, levels: Tensor) -> Tensor:
    """What a network is trained on, for grey levels (N, 8, 8)."""
    if isinstance(net, PointSetNet):
        return levels.flatten(1)
    if not net.turned:
        return draw(levels, 0.0)
    angles = 360 * torch.rand(len(levels))
    return torch.cat([draw(one[None], angle.item()) for one, angle in zip(levels, angles, strict=True)])


@torch.no_grad()
def accuracy(net: nn.Module, split: str = "test") -> list[float]:
    """Share of the test digits that are recognised, at each of `ANGLES`."""
    levels, labels = grey(split)
    net.eval()
    scores = lambda angle: net(levels.flatten(1), points(angle)) if isinstance(net, PointSetNet) else net(draw(levels, angle))
    return [(scores(angle).argmax(1) == labels).double().mean().item() for angle in ANGLES]


@torch.no_grad()
def errors(net: ImageNet, angles: tuple[float, ...] = (15, 30, 45, 60, 75), count: int = 64) -> list[float]:
    """How far each layer, and at last the scores, are from turning with the image, in the mean over angles.

    For a layer |largest over rotations of f(R x) - R of that of f(x)| / |f(x)| within the disc, the norms over all images.
    """
    net.eval()
    levels = grey("test")[0][:count]
    upright = draw(levels, 0.0)
    maps, scores = net.features(upright), net(upright)
    rows = []
    for angle in angles:
        turned = draw(levels, angle)
        layers = zip(maps, net.features(turned), strict=True)
        row = [turning_error(before.amax(2), after.amax(2), angle) for before, after in layers]
        rows.append([*row, ((net(turned) - scores).norm() / (scores - scores.mean(0)).norm()).item()])
    return torch.tensor(rows).mean(0).tolist()


def turning_error(before: Tensor, after: Tensor, angle: float) -> float:
    """|after - R before| / |R before| of maps (B, C, H, H) within the disc that a turn leaves in the image."""
    disc = groups.polar(before.shape[-1])[0] <= before.shape[-1] / 2 - 0.5
    expected = groups.rotate(before, angle) * disc
    return ((after * disc - expected).norm() / expected.norm()).item()
