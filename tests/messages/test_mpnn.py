"""Message passing layers: equal to the formula, to PyTorch Geometric's, and blind to the numbering of the nodes."""

import pytest
import torch
from torch import nn

from m2m import checks, runtime
from m2m.messages import graph, mpnn

C, A = 6, 4
LAYERS = {
    "gcn": lambda: mpnn.GCN(C, C),
    "gin": lambda: mpnn.GIN(C, C),
    "gated": lambda: mpnn.GatedGraph(C),
    "edge network": lambda: mpnn.EdgeNetwork(C, A),
    "edge network with gru": lambda: mpnn.EdgeNetwork(C, A, update="gru"),
    "pair": lambda: mpnn.PairMessage(C),
    "pair with edges": lambda: mpnn.PairMessage(C, A),
}
WITH_EDGES = ("edge network", "edge network with gru", "pair with edges")


def example(name="gcn", dtype=torch.float32, nodes=9, seed=0):
    """A layer, and a graph with an isolated node, edges in one direction only, and attributes where the layer wants them."""
    generator = runtime.generator(seed)
    runtime.seed_everything(seed)
    layer = LAYERS[name]().to(dtype)
    f = torch.randn(nodes, C, generator=generator, dtype=dtype)
    adjacent = torch.rand(nodes, nodes, generator=generator) < 0.35
    adjacent.fill_diagonal_(False)
    adjacent[-1], adjacent[:, -1] = False, False
    edge_index = adjacent.nonzero().T.contiguous()
    a = torch.randn(edge_index.shape[1], A, generator=generator, dtype=dtype) if name in WITH_EDGES else None
    return layer, f, edge_index, a


# --- The frame --------------------------------------------------------------------------------------------------------------


def test_frame_is_the_formula():
    _, f, edge_index, _ = example(nodes=5)
    a = torch.randn(edge_index.shape[1], C, generator=runtime.generator(1))
    layer = mpnn.MessagePassing(lambda f_i, f_j, a: f_i * f_j + a, lambda f, m: 2 * f + m)
    expected = 2 * f.clone()
    for e, (i, j) in enumerate(edge_index.T.tolist()):
        expected[i] += f[i] * f[j] + a[e]
    torch.testing.assert_close(layer(f, edge_index, a), expected)


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_frame_with_other_sums(aggregate):
    f = torch.tensor([[1.0], [2.0], [5.0]])
    layer = mpnn.MessagePassing(lambda f_i, f_j, a: f_j, lambda f, m: m, aggregate)
    edge_index = torch.tensor([[0, 0, 1], [1, 2, 2]])
    assert layer(f, edge_index)[:, 0].tolist() == [{"mean": 3.5, "max": 5.0}[aggregate], 5.0, 0.0]


@pytest.mark.parametrize("name", ["gcn", "gin", "gated", "edge network", "pair with edges"])
def test_every_layer_is_the_frame_with_its_own_parts(name):
    """The same weights put into message and update as the docstrings have them."""
    layer, f, edge_index, a = example(name, torch.float64)
    i, j = edge_index
    d = (graph.degree(edge_index, len(f)) + 1).double()[:, None]
    zeros = torch.zeros(len(f), C, dtype=torch.float64)

    def matrix_times(f_i, f_j, a):
        return torch.bmm(layer.matrix(layer.hidden(a)).view(-1, C, C), f_j[..., None])[..., 0]

    def pair(f_i, f_j, a):
        return layer.second(nn.functional.silu(layer.receiver(f_i) + layer.sender(f_j)) * layer.factor(a))

    message, update = {
        "gcn": (lambda f_i, f_j, a: layer.weight(f_j) / (d[i] * d[j]).sqrt(), lambda f, m: m + layer.weight(f) / d + layer.bias),
        "gin": (lambda f_i, f_j, a: f_j, lambda f, m: layer.mlp((1 + layer.eps) * f + m)),
        "gated": (lambda f_i, f_j, a: layer.weight(f_j), lambda f, m: layer.gru(m, f)),
        "edge network": (matrix_times, lambda f, m: m + layer.update(f)),
        "pair with edges": (pair, lambda f, m: f + layer.mlp(torch.cat([f, m], 1))),
    }[name]
    torch.testing.assert_close(layer(f, edge_index, a), mpnn.MessagePassing(message, update)(f, edge_index, a))
    assert not torch.allclose(layer(f, edge_index, a), update(f, zeros))  # the messages matter


# --- References ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def geometric():
    return pytest.importorskip("torch_geometric.nn")


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_gcn_is_pytorch_geometrics(geometric):
    layer, f, edge_index, _ = example("gcn")
    theirs = geometric.GCNConv(C, C)
    theirs.lin.weight.copy_(layer.weight.weight)
    layer.bias.normal_(), theirs.bias.copy_(layer.bias)
    close(layer(f, edge_index), theirs(f, edge_index.flip(0)))  # there row 0 is the sender


@torch.no_grad()
def test_gin_is_pytorch_geometrics(geometric):
    layer, f, edge_index, _ = example("gin")
    layer.eps.fill_(0.3)
    theirs = geometric.GINConv(layer.mlp, eps=0.3)  # which draws the weights of what it is given anew
    close(layer(f, edge_index), theirs(f, edge_index.flip(0)))


@torch.no_grad()
def test_gated_graph_is_pytorch_geometrics(geometric):
    layer, f, edge_index, _ = example("gated")
    theirs = geometric.GatedGraphConv(C, num_layers=1)
    theirs.weight.copy_(layer.weight.weight.T[None])
    theirs.rnn.load_state_dict(layer.gru.state_dict())
    close(layer(f, edge_index), theirs(f, edge_index.flip(0)))


@torch.no_grad()
def test_edge_network_is_pytorch_geometrics(geometric):
    layer, f, edge_index, a = example("edge network")
    matrices = lambda a: layer.matrix(layer.hidden(a)).view(-1, C, C).transpose(1, 2).reshape(-1, C * C)  # theirs is f A, ours A f
    theirs = geometric.NNConv(C, C, matrices, aggr="add")
    theirs.lin.weight.copy_(layer.update.weight), theirs.bias.copy_(layer.update.bias)
    close(layer(f, edge_index, a), theirs(f, edge_index.flip(0), a))


@torch.no_grad()
def test_set2set_is_pytorch_geometrics(geometric):
    runtime.seed_everything(0)
    readout, f, batch = mpnn.Set2Set(C, steps=4), torch.randn(9, C), graph.of_sizes([4, 1, 4])
    theirs = geometric.aggr.Set2Set(C, processing_steps=4)
    theirs.lstm.load_state_dict({f"{name}_l0": value for name, value in readout.lstm.state_dict().items()})
    close(readout(f, batch, 3), theirs(f, batch))


# --- Symmetry, batches, degenerate graphs ---------------------------------------------------------------------------------


def permuted(layer, f, edge_index, a):
    """Largest change under renumberings of the nodes, beyond moving along; edges are renumbered, and shuffled."""
    generator, errors = runtime.generator(3), []
    for _ in range(5):
        order, shuffle = torch.randperm(len(f), generator=generator), torch.randperm(edge_index.shape[1], generator=generator)
        place = order.argsort()  # old node -> new node
        moved = layer(f[order], place[edge_index][:, shuffle], None if a is None else a[shuffle])
        errors.append(checks.relative_error(moved, layer(f, edge_index, a)[order]))
    return max(errors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_layers_do_not_depend_on_the_numbering(name, dtype):
    assert permuted(*example(name, dtype)) < (1e-5 if dtype == torch.float32 else 1e-13)


def test_an_aggregate_with_an_order_is_rejected():
    """Control: the last message wins, or messages are weighted by their place in the list."""
    last = lambda m, i, n: torch.zeros(n, m.shape[1], dtype=m.dtype).index_put((i,), m)
    ranked = lambda m, i, n: graph.scatter_sum(m * torch.linspace(0, 1, len(m), dtype=m.dtype)[:, None], i, n)
    _, f, edge_index, _ = example(dtype=torch.float64)
    for aggregate in (last, ranked):
        broken = mpnn.MessagePassing(lambda f_i, f_j, a: f_j, lambda f, m: m, aggregate)
        assert permuted(broken, f, edge_index, None) > 0.01


@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_a_batch_is_its_graphs_one_by_one(name):
    layer, f, edge_index, a = example(name, torch.float64)
    _, f2, edge_index2, a2 = example(name, torch.float64, nodes=4, seed=1)
    both = layer(torch.cat([f, f2]), torch.cat([edge_index, edge_index2 + len(f)], 1), None if a is None else torch.cat([a, a2]))
    torch.testing.assert_close(both, torch.cat([layer(f, edge_index, a), layer(f2, edge_index2, a2)]))


@pytest.mark.parametrize("nodes", [0, 1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_graphs_without_edges_are_defined(name, nodes):
    layer = LAYERS[name]()
    f = torch.randn(nodes, C, requires_grad=True)
    a = torch.zeros(0, A) if name in WITH_EDGES else None
    out = layer(f, torch.zeros(2, 0, dtype=torch.int64), a)
    out.square().sum().backward()
    assert out.shape == (nodes, C) and out.isfinite().all() and f.grad.isfinite().all()


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_those_of_finite_differences(name):
    layer, f, edge_index, a = example(name, torch.float64, nodes=4)
    inputs = [f.requires_grad_()] + ([] if a is None else [a.requires_grad_()])
    assert torch.autograd.gradcheck(lambda f, a=None: layer(f, edge_index, a), inputs)


@torch.no_grad()
def test_set2set_ignores_the_order_within_a_graph_and_the_other_graphs():
    readout, f = mpnn.Set2Set(C).double(), torch.randn(7, C, dtype=torch.float64)
    batch = graph.of_sizes([3, 4])
    out = readout(f, batch, 2)
    torch.testing.assert_close(readout(f[[2, 0, 1, 6, 5, 3, 4]], batch, 2), out)
    torch.testing.assert_close(readout(f[:3], batch[:3], 1), out[:1])
    assert not torch.allclose(readout(f[[3, 0, 1, 2, 4, 5, 6]], batch, 2), out)  # control: a node of each graph exchanged
    assert readout(f, batch, 3).isfinite().all()  # a graph without nodes


# --- The network ------------------------------------------------------------------------------------------------------------


def network(readout="sum"):
    runtime.seed_everything(0)
    distances = lambda z, x, edge_index: graph.norm(graph.vectors(x, edge_index))[:, None].expand(-1, A) / 3
    edges = lambda z, x, batch: graph.radius(x, 3.0, batch)
    return mpnn.Network([mpnn.PairMessage(C, A) for _ in range(2)], C, 2, edges=edges, attributes=distances, readout=readout).double()


def cloud():
    z = torch.tensor([6, 1, 1, 8, 7, 1])
    x = torch.randn(6, 3, generator=runtime.generator(0), dtype=torch.float64)
    return z, x, graph.of_sizes([3, 1, 2])


@pytest.mark.parametrize("readout", ["sum", "mean", "set2set"])
@torch.no_grad()
def test_molecules_in_a_batch_are_molecules_alone(readout):
    model, (z, x, batch) = network(readout), cloud()
    out = model(z, x, batch)
    alone = [model(z[batch == k], x[batch == k], torch.zeros(int((batch == k).sum()), dtype=torch.int64)) for k in range(3)]
    assert out.shape == (3, 2)
    torch.testing.assert_close(out, torch.cat(alone))
    torch.testing.assert_close(model(z, x, batch, graph.radius(x, 3.0, batch), graphs=3), out)


@torch.no_grad()
def test_network_sees_distances_and_not_numbering_or_orientation():
    model, (z, x, _) = network(), cloud()
    one = torch.zeros(6, dtype=torch.int64)
    assert checks.rotation_error(lambda x: model(z, x, one), x) < 1e-12
    order = torch.randperm(6, generator=runtime.generator(2))
    torch.testing.assert_close(model(z[order], x[order], one), model(z, x, one))
    assert checks.relative_error(model(z, 1.1 * x, one), model(z, x, one)) > 1e-4  # control: sizes matter


def test_coincident_atoms_have_finite_gradients():
    model, x = network(), torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    model(torch.tensor([1, 1]), x, torch.tensor([0, 0])).sum().backward()
    assert x.grad.isfinite().all()


def test_no_molecules():
    assert network()(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)).shape == (0, 2)


# --- Bad input ----------------------------------------------------------------------------------------------------------------


def test_bad_input():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    layer = mpnn.GCN(C, C)
    with pytest.raises(ValueError, match=r"f: got shape \(6,\), expected \(N, C\)"):
        layer(torch.zeros(C), edge_index)
    with pytest.raises(ValueError, match="edge_index: got nodes 0 to 1, expected 0 to 0"):
        layer(torch.zeros(1, C), edge_index)
    with pytest.raises(ValueError, match=r"a: got shape \(3, 4\), expected \(2, A\)"):
        mpnn.PairMessage(C, A)(torch.zeros(2, C), edge_index, torch.zeros(3, A))
    with pytest.raises(ValueError, match=r"a: got none, expected \(E, A\)"):
        mpnn.PairMessage(C, A)(torch.zeros(2, C), edge_index)
    with pytest.raises(ValueError, match=r"a: got \(2, 4\), expected none"):
        mpnn.PairMessage(C)(torch.zeros(2, C), edge_index, torch.zeros(2, A))
    with pytest.raises(ValueError, match="aggregate: got 'median'"):
        mpnn.MessagePassing(lambda *_: None, lambda *_: None, "median")
    with pytest.raises(ValueError, match="update: got 'lstm'"):
        mpnn.EdgeNetwork(C, A, update="lstm")
    with pytest.raises(ValueError, match="readout: got 'max'"):
        network("max")
    with pytest.raises(ValueError, match="z: got atomic number 17"):
        network()(torch.tensor([17]), torch.zeros(1, 3, dtype=torch.float64), torch.tensor([0]))
