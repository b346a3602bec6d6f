"""Neighbour search: on the CPU (cells) and in the form for GPUs (all distances), against all distances and a k-d tree."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from m2m.messages import graph, neighbours


def pairs(edge_index):
    return {tuple(edge) for edge in edge_index.T.tolist()}


def within(x, cutoff, batch):
    """The definition."""
    distance = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
    near = (distance < cutoff) & (batch[:, None] == batch) & ~torch.eye(len(x), dtype=torch.bool)
    return {tuple(edge) for edge in near.nonzero().tolist()}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 5), st.floats(0.05, 3), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_radius_finds_all_pairs_and_no_others(sizes, dim, cutoff, seed):
    batch = graph.of_sizes(sizes)
    x = torch.randn(len(batch), dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = neighbours.radius(x, cutoff, batch)
    assert pairs(found) == within(x, cutoff, batch) == pairs(neighbours.radius_dense(x, cutoff, neighbours._check(x, batch)))
    assert found.shape[1] == len(pairs(found)) and (found[0].diff() >= 0).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 5), st.integers(1, 12), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_nearest_are_nearer_than_all_others(sizes, dim, k, seed):
    batch = graph.of_sizes(sizes)
    x = torch.randn(len(batch), dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = neighbours.nearest(x, k, batch)
    assert pairs(found) == pairs(neighbours.nearest_dense(x, k, neighbours._check(x, batch)))
    expected = [min(k, size - 1) for size in sizes for _ in range(size)]
    assert graph.degree(found, len(x)).tolist() == expected
    length = graph.norm(graph.vectors(x, found))
    same = found[0].diff() == 0
    assert (length.diff()[same] >= 0).all()  # nearest first


@pytest.mark.parametrize("shape", ["cube", "sphere", "line", "clumps"])
def test_against_a_tree_on_large_clouds(shape):
    x = torch.rand(3000, 3, dtype=torch.float64)
    if shape == "sphere":
        x = torch.nn.functional.normalize(x - 0.5, dim=1)
    if shape == "line":
        x[:, 1:] = 0
    if shape == "clumps":  # nearly all cells are empty
        x = x * 1e-3 + torch.randint(0, 4, (3000, 3)) * 10.0
    cutoff = {"cube": 0.1, "sphere": 0.1, "line": 1e-3, "clumps": 2e-4}[shape]
    tree = cKDTree(x.numpy())
    a = tree.query_pairs(cutoff * (1 - 1e-12), output_type="ndarray")
    assert pairs(neighbours.radius(x, cutoff)) == {tuple(p) for p in numpy.concatenate([a, a[:, ::-1]]).tolist()}
    lengths = graph.norm(graph.vectors(x, neighbours.nearest(x, 7))).reshape(-1, 7).numpy()
    assert numpy.allclose(lengths, tree.query(x.numpy(), 8)[0][:, 1:], atol=1e-12)


def test_a_dense_search_in_small_blocks_is_the_same(monkeypatch):
    x, batch = torch.randn(50, 3), graph.of_sizes([30, 20])
    starts = neighbours._check(x, batch)
    whole = neighbours.radius_dense(x, 1.0, starts), neighbours.nearest_dense(x, 4, starts)
    monkeypatch.setattr(neighbours, "BLOCK", 70)
    assert torch.equal(neighbours.radius_dense(x, 1.0, starts), whole[0])
    assert torch.equal(neighbours.nearest_dense(x, 4, starts), whole[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_points_at_the_same_place_are_neighbours(dtype):
    x = torch.zeros(3, 3, dtype=dtype)
    assert (
        pairs(neighbours.radius(x, 0.1))
        == pairs(neighbours.nearest(x, 5))
        == {(i, j) for i in range(3) for j in range(3) if i != j}
    )


def test_the_cutoff_itself_is_outside():
    x = torch.tensor([[0.0], [1.0], [1.5]])
    assert pairs(neighbours.radius(x, 1.0)) == {(1, 2), (2, 1)}


def test_no_points_and_one_point():
    for x in (torch.zeros(0, 3), torch.zeros(1, 3)):
        assert neighbours.radius(x, 1.0).shape == neighbours.nearest(x, 2).shape == (2, 0)
        starts = neighbours._check(x, None)
        assert neighbours.radius_dense(x, 1.0, starts).shape == neighbours.nearest_dense(x, 2, starts).shape == (2, 0)


def test_points_that_need_gradients_and_are_not_contiguous():
    x = torch.randn(3, 9, requires_grad=True).T
    assert pairs(neighbours.radius(x, 1.0)) == within(x.detach(), 1.0, torch.zeros(9))


@pytest.mark.parametrize(
    "x, cutoff, batch, message",
    [
        (torch.zeros(4), 1.0, None, r"x: got shape \(4,\)"),
        (torch.zeros(4, 0), 1.0, None, r"x: got shape \(4, 0\)"),
        (torch.zeros(4, 3, dtype=torch.int64), 1.0, None, "torch.int64"),
        (torch.full((4, 3), float("nan")), 1.0, None, "12 numbers that are NaN"),
        (torch.zeros(4, 3), 0.0, None, "cutoff: got 0.0"),
        (torch.zeros(4, 3), float("nan"), None, "cutoff: got nan"),
        (torch.zeros(4, 3), 1.0, torch.tensor([0, 0, 0]), "batch: got shape"),
        (torch.zeros(4, 3), 1.0, torch.tensor([0, 1, 0, 1]), "do not decrease"),
    ],
)
def test_bad_input(x, cutoff, batch, message):
    with pytest.raises(ValueError, match=message):
        neighbours.radius(x, cutoff, batch)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_a_number_of_neighbours_that_is_none(k):
    with pytest.raises(ValueError, match="k: got"):
        neighbours.nearest(torch.zeros(4, 3), k)
