"""Handwritten digits, 8 x 8 pixels of 17 grey levels: the 1,797 images that scikit-learn ships.

They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, doi:10.24432/C50P49). A
density needs continuous data, so each pixel d in 0 .. 16 becomes x = (d + u) / 17 with u uniform on [0, 1). The mean over u
of the negative log-likelihood of x, minus 64 log 17, bounds that of the discrete image from above (Theis, van den Oord,
Bethge 2016, arXiv:1511.01844).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from sklearn import datasets
from torch import Tensor

DIM, LEVELS = 64, 17
SPLITS = {"train": (0, 1, 2, 3), "validation": (4,), "test": (5,)}


def load(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 64), whole numbers 0 .. 16 as int64, row by row from the top left, and their labels (N,).

    The split needs no seed: among the images of each class, in the order of the file, the sixth, twelfth, ... are the test
    set, the fifth, eleventh, ... the validation set. The same people wrote in all three.

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(SPLITS)}")
    pixels, labels = _file()
    of_class = torch.nn.functional.one_hot(labels).cumsum(0).gather(1, labels[:, None])[:, 0] - 1
    chosen = torch.isin(of_class % 6, torch.tensor(SPLITS[split]))
    return pixels[chosen], labels[chosen]


@lru_cache
def _file() -> tuple[Tensor, Tensor]:
    file = datasets.load_digits()
    return torch.as_tensor(file.data).long(), torch.as_tensor(file.target).long()


def dequantise(pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """x = (d + u) / 17 with fresh uniform noise u, for pixels d (..., D): float32 in [0, 1), of the same shape.

    Raises:
        ValueError: the pixels are not whole numbers from 0 to 16.
    """
    if pixels.is_floating_point() or pixels.numel() and not (0 <= pixels.min() and pixels.max() < LEVELS):
        got = f"{pixels.dtype} from {pixels.min():g} to {pixels.max():g}"
        raise ValueError(f"pixels: got {got}, expected whole numbers 0 to {LEVELS - 1}")
    u = torch.rand(pixels.shape, generator=generator, device=pixels.device)
    # Rounding may lift 16 + u to 17; the density lives on [0, 1)
    return ((pixels + u) / LEVELS).clamp_max(1 - 2**-24)


def bits_per_dim(log_prob: Tensor | float, dim: int = DIM) -> Tensor | float:
    """Bits per pixel, (...,), from log p(x) (...,) in nats, x in [0, 1): -log p(x) / (D log 2) + log2 17."""
    return -log_prob / (dim * math.log(2)) + math.log2(LEVELS)
