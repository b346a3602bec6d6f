"""The digits: the split, dequantisation, and that bits per dimension mean what they say."""

import math

import pytest
import torch

from m2m import runtime
from m2m.data import digits


def test_split_is_disjoint_complete_and_stratified():
    parts = {name: digits.load(name) for name in digits.SPLITS}
    assert {name: len(labels) for name, (_, labels) in parts.items()} == {"train": 1204, "validation": 297, "test": 296}
    rows = torch.cat([pixels for pixels, _ in parts.values()])
    whole = torch.as_tensor(digits.datasets.load_digits().data).long()
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, whole.tolist()))
    for _, labels in parts.values():
        counts = torch.bincount(labels)
        assert len(counts) == 10 and counts.max() - counts.min() <= 7  # 174 to 183 images a class


def test_images_lie_the_right_way_round():
    pixels, _ = digits.load("train")
    assert torch.equal(pixels[0].view(8, 8), torch.as_tensor(digits.datasets.load_digits().images[0]).long())
    assert pixels.min() == 0 and pixels.max() == 16


def test_dequantised_pixels_give_their_levels_back():
    pixels, _ = digits.load("test")
    x = digits.dequantise(pixels, runtime.generator(0))
    assert x.dtype == torch.float32 and x.min() >= 0 and x.max() < 1
    assert torch.equal((x.double() * 17).floor().long(), pixels)
    within = x * 17 - pixels
    assert abs(within.mean() - 0.5) < 0.01 and abs(within.var() - 1 / 12) < 0.01


def test_a_uniform_density_costs_log2_17_bits():
    assert digits.bits_per_dim(0.0) == math.log2(17)


def test_bits_are_those_of_the_discrete_image():
    """A density that is constant within each grey level gives exactly the code length of a table of the levels."""
    p = torch.rand(17, generator=runtime.generator(1)).softmax(0)
    pixels, _ = digits.load("test")
    log_density = (17 * p)[pixels].log().sum(-1)
    exact = -p.log2()[pixels].mean(-1)
    torch.testing.assert_close(digits.bits_per_dim(log_density), exact)


@pytest.mark.parametrize("pixels", [torch.zeros(2, 64), torch.full((2, 64), 17), torch.full((2, 64), -1)])
def test_dequantise_rejects(pixels):
    with pytest.raises(ValueError, match="expected whole numbers 0 to 16"):
        digits.dequantise(pixels)


def test_unknown_split():
    with pytest.raises(ValueError, match="split: got 'dev'"):
        digits.load("dev")
