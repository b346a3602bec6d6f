"""Graphs as tensors, against definitions written out as loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric import utils as geometric

from m2m.messages import graph

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@given(SIZES)
@settings(max_examples=30, deadline=None)
def test_complete_has_all_ordered_pairs_of_each_graph(sizes):
    batch = graph.of_sizes(sizes).tolist()
    pairs = [(i, j) for i in range(len(batch)) for j in range(len(batch)) if i != j and batch[i] == batch[j]]
    assert graph.complete(torch.tensor(batch)).T.tolist() == [list(pair) for pair in pairs]


def test_graphs_without_nodes_have_no_edges():
    assert graph.of_sizes([0, 2, 0]).tolist() == [1, 1]
    assert graph.complete(torch.tensor([1, 1])).tolist() == [[0, 1], [1, 0]]
    assert graph.complete(torch.zeros(0, dtype=torch.int64)).shape == (2, 0)
    assert graph.complete(torch.zeros(1, dtype=torch.int64)).shape == (2, 0)
    assert graph.undirected([]).shape == (2, 0)


def test_undirected_edges_come_once_in_both_directions():
    assert graph.undirected([(2, 0), (0, 2), (1, 0)]).tolist() == [[0, 0, 1, 2], [1, 2, 0, 0]]


@pytest.mark.parametrize("sizes", [[1.5], [-1], [[1]]])
def test_sizes_that_are_none(sizes):
    with pytest.raises(ValueError, match="sizes: got"):
        graph.of_sizes(sizes)


def test_batch_that_decreases():
    with pytest.raises(ValueError, match="not decreasing"):
        graph.complete(torch.tensor([0, 1, 0]))


@pytest.mark.parametrize(
    "edge_index, message",
    [
        (torch.zeros(3, 2, dtype=torch.int64), r"shape \(3, 2\)"),
        (torch.zeros(2, 3), "torch.float32"),
        (torch.tensor([[0], [5]]), "nodes 0 to 5, expected 0 to 3"),
        (torch.tensor([[-1], [0]]), "nodes -1 to 0"),
    ],
)
def test_edges_that_do_not_fit(edge_index, message):
    with pytest.raises(ValueError, match=message):
        graph.check(edge_index, 4)


def test_edges_that_fit():
    graph.check(torch.tensor([[0, 3], [3, 0]]), 4)
    graph.check(torch.zeros(2, 0, dtype=torch.int64), 0)


def test_degree_counts_received_messages():
    assert graph.degree(torch.tensor([[0, 0, 2], [1, 2, 0]]), 4).tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_vectors_point_from_receiver_to_sender(dtype):
    x = torch.tensor([[0.0, 0, 0], [1, 2, 3]], dtype=dtype)
    r = graph.vectors(x, torch.tensor([[0, 1], [1, 0]]))
    assert torch.equal(r, torch.tensor([[1, 2, 3], [-1, -2, -3]], dtype=dtype))


def test_norm_is_the_length_with_a_gradient_at_zero():
    r = torch.tensor([[3.0, 4, 0], [0, 0, 0]], requires_grad=True)
    length = graph.norm(r)
    (gradient,) = torch.autograd.grad(length.sum(), r, create_graph=True)
    (second,) = torch.autograd.grad((gradient**2).sum() + gradient[:, 0].sum(), r)
    assert length.tolist() == [5, 0]
    assert torch.allclose(gradient, torch.tensor([[0.6, 0.8, 0], [0, 0, 0]]))
    assert second.isfinite().all()
    # The plain norm fails where ours does not: its second derivative at zero is NaN
    (plain,) = torch.autograd.grad(r.norm(dim=-1).sum(), r, create_graph=True)
    assert torch.autograd.grad(plain[:, 0].sum(), r)[0].isnan().any()


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scatter_against_a_loop(name, dtype):
    values, index = torch.randn(20, 3, 2, dtype=dtype), torch.randint(0, 5, (20,))
    index[index == 3] = 4  # a node that gets no message
    got = getattr(graph, f"scatter_{name}")(values, index, 6)
    for node in range(6):
        rows = values[index == node]
        reduced = {"sum": rows.sum(0), "mean": rows.mean(0), "max": rows.amax(0) if len(rows) else None}[name]
        assert torch.allclose(got[node], reduced if len(rows) else torch.zeros(3, 2, dtype=dtype), atol=1e-6)
    assert torch.autograd.gradcheck(lambda v: getattr(graph, f"scatter_{name}")(v, index, 6), values.double().requires_grad_())


def test_softmax_agrees_with_pytorch_geometric_where_its_guard_does_not_show():
    values, index = torch.randn(20, 2, dtype=torch.float64), torch.randint(0, 5, (20,))
    got = graph.scatter_softmax(values, index, 7)
    assert torch.allclose(got, geometric.softmax(values, index, num_nodes=7), atol=1e-12)
    assert torch.allclose(graph.scatter_sum(got, index, 7)[index], torch.ones(20, 2, dtype=torch.float64))
    assert graph.scatter_softmax(torch.tensor([1e4, -1e4]), torch.tensor([0, 0]), 1).tolist() == [1, 0]


def test_no_edges_give_zeros():
    for name in ("sum", "mean", "max"):
        got = getattr(graph, f"scatter_{name}")(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 4)
        assert torch.equal(got, torch.zeros(4, 3))
    assert graph.scatter_softmax(torch.zeros(0), torch.zeros(0, dtype=torch.int64), 4).shape == (0,)


def test_an_index_that_does_not_fit():
    with pytest.raises(ValueError, match=r"index: got shape \(3,\), expected \(4,\)"):
        graph.scatter_sum(torch.zeros(4, 2), torch.zeros(3, dtype=torch.int64), 2)
