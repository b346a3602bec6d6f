"""The eight shapes: what sets them apart, and the one pair that distances and reflections do not tell apart."""

import pytest
import torch

from m2m import runtime
from m2m.data import tetris


def distances(x):
    return torch.cdist(x, x).flatten(-2).sort(-1).values


def volume(x):
    """Six times the signed volume that the differences of consecutive cubes span."""
    steps = x[..., [1, 2, 3], :] - x[..., [0, 0, 2], :]
    return torch.linalg.det(steps)


def test_four_cubes_each_touching_another():
    x = tetris.shapes(torch.float64)
    assert x.shape == (8, 4, 3) and len(tetris.NAMES) == 8
    touching = torch.cdist(x, x).sub(1).abs() < 1e-12
    assert (touching.sum((1, 2)) >= 6).all()  # three faces or more that two cubes share
    assert (torch.cdist(x, x) + torch.eye(4) >= 1).all()  # no two in the same place


def test_only_the_mirror_pair_has_equal_distances():
    d = distances(tetris.shapes(torch.float64))
    same = {(i, j) for i in range(8) for j in range(i) if torch.allclose(d[i], d[j])}
    assert same == {tetris.MIRROR_PAIR[::-1]}


def test_the_pair_is_a_mirror_image_and_no_rotation():
    x = tetris.shapes(torch.float64)
    left, right = x[list(tetris.MIRROR_PAIR)]
    assert torch.equal(left * torch.tensor([1.0, -1.0, 1.0]), right)
    assert volume(left) == -volume(right) != 0
    copies = tetris.turned(50, generator=runtime.generator(0), dtype=torch.float64)
    assert torch.allclose(volume(copies[:, 0]), volume(left).expand(50))  # no rotation takes one to the other


def test_turned_copies_keep_their_shape_and_lose_their_place():
    x = tetris.turned(100, generator=runtime.generator(0), dtype=torch.float64)
    assert x.shape == (100, 8, 4, 3)
    assert torch.allclose(distances(x), distances(tetris.shapes(torch.float64)).expand(100, 8, 16), atol=1e-6)
    assert x.mean((0, 2)).abs().max() < 5 and x.mean(2).std() == pytest.approx(10, rel=0.1)
    assert torch.equal(x, tetris.turned(100, generator=runtime.generator(0), dtype=torch.float64))
    arrow = torch.nn.functional.normalize(x[:, :, 1] - x[:, :, 0], dim=-1)
    assert arrow.mean((0, 1)).abs().max() < 0.1  # all directions
    still = tetris.turned(2, generator=runtime.generator(0), shift=0.0)
    assert still.dtype == torch.float32 and torch.allclose(
        still[..., 0, :], torch.zeros(3)
    )  # they turn about their first cube


def test_edges_join_cubes_of_one_shape():
    edges = tetris.edges(3)
    assert edges.shape == (2, 36) and (edges[0] // 4 == edges[1] // 4).all() and (edges[0] != edges[1]).all()


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 1.5}, {"count": 2, "shift": -1.0}])
def test_wrong_input(wrong):
    with pytest.raises(ValueError, match="count, shift: got"):
        tetris.turned(**wrong)
