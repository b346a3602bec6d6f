"""Steerable networks: symmetries to rounding, agreement with the formula and with e3nn, edge cases, broken models."""

import math

import pytest
import torch

from m2m import runtime
from m2m.messages import graph
from m2m.tensors import irreps, rotations, segnn
from m2m.tensors.clebsch_gordan import clebsch_gordan
from m2m.tensors.harmonics import harmonics

IN, OUT = {0: 3, 1: 2, 2: 2}, {0: 4, 1: 2, 2: 3}
TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-12}


def numbers(rows, l, dtype=torch.float64, seed=1):
    return torch.randn(rows, (l + 1) ** 2, generator=runtime.generator(seed), dtype=dtype)


def turned(a, R):
    l_max = math.isqrt(a.shape[1]) - 1
    return torch.cat([a[:, l * l : (l + 1) ** 2] @ irreps.wigner_d(l, R).T for l in range(l_max + 1)], 1)


def apart(got, expected):
    assert set(got) == set(expected)
    scale = max(value.abs().max().item() for value in expected.values())
    return max((got[l] - expected[l]).abs().max().item() for l in expected) / scale


def product(dtype=torch.float64, l_attribute=2, channels_in=IN, channels_out=OUT):
    torch.manual_seed(0)
    model = segnn.Product(channels_in, channels_out, l_attribute).to(dtype)
    torch.nn.init.normal_(model.bias)
    return model


def features(rows, dtype=torch.float64, channels=IN, seed=0):
    return irreps.random(channels, rows, generator=runtime.generator(seed), dtype=dtype)


# --- The product ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("l_attribute", [0, 1, 2])
def test_product_turns(l_attribute, dtype):
    model, f, a = product(dtype, l_attribute, OUT, OUT), features(7, dtype, OUT), numbers(7, l_attribute, dtype)
    R = rotations.random(generator=runtime.generator(2), dtype=dtype)
    want = irreps.rotate(model(f, segnn.Attributes(a)), R)
    assert apart(model(irreps.rotate(f, R), segnn.Attributes(turned(a, R))), want) < TOLERANCE[dtype]
    if l_attribute:  # the attribute has to turn too
        assert apart(model(irreps.rotate(f, R), segnn.Attributes(a)), want) > 1e-2


def test_product_is_the_formula():
    model, f, a = product(), features(6), numbers(6, 2)
    got, start = model(f, segnn.Attributes(a)), {l: 0 for l in IN}
    want = {l: torch.zeros_like(value) for l, value in got.items()}
    for l1, l2, l in model.paths:
        w = model.weights[str(l1)][:, start[l1] : start[l1] + OUT[l]]
        start[l1] += OUT[l]
        c = math.sqrt(2 * l + 1) * clebsch_gordan(l1, l2, l)
        want[l] += torch.einsum("co,abm,eca,eb->eom", w, c, f[l1], a[:, l2 * l2 : (l2 + 1) ** 2])
    want[0] += model.bias
    assert apart(got, want) < 1e-13
    assert {l: w.shape[1] for l, w in model.weights.items()} == {str(l): n for l, n in start.items()}


def test_product_is_that_of_e3nn():
    o3 = pytest.importorskip("e3nn.o3")
    model, f, a = product(), features(6), numbers(6, 2)
    order = lambda channels: o3.Irreps([(c, (l, 1)) for l, c in channels.items()])
    torch.set_default_dtype(torch.float64)  # its coefficients are made in the default type
    try:
        attribute = o3.Irreps("0e + 1e + 2e")
        theirs = o3.FullyConnectedTensorProduct(order(IN), attribute, order(OUT), irrep_normalization="component")
    finally:
        torch.set_default_dtype(torch.float32)
    start, ours = {l: 0 for l in IN}, {}
    for path in model.paths:
        columns = OUT[path[2]]
        ours[path] = model.weights[str(path[0])][:, start[path[0]] : start[path[0]] + columns]
        start[path[0]] += columns
    with torch.no_grad():  # theirs are divided by the root of the number of terms, ours start so; signs differ by path
        for k, step in enumerate(theirs.instructions):
            path = step.i_in1, step.i_in2, step.i_out
            sign = torch.sign((clebsch_gordan(*path) * o3.wigner_3j(*path, dtype=torch.float64)).sum())
            factor = step.path_weight / math.sqrt(2 * path[2] + 1)
            theirs.weight_view_for_instruction(k)[:] = (sign * ours[path] / factor)[:, None]
    flat = lambda f: torch.cat([f[l].flatten(1) for l in sorted(f)], 1)
    got = model(f, segnn.Attributes(a))
    got[0] = got[0] - model.bias
    assert (flat(got) - theirs(flat(f), a)).abs().max() < 1e-12


def test_gradients():
    model, f, a = product(), features(3), numbers(3, 2).requires_grad_()
    leaves = [value.requires_grad_() for value in f.values()]
    run = lambda a, *parts: tuple(model(dict(zip(IN, parts, strict=True)), segnn.Attributes(a)).values())
    assert torch.autograd.gradcheck(run, (a, *leaves))


def test_output_has_the_size_of_the_input():
    model = segnn.Product({0: 32, 1: 32, 2: 32}, {0: 64, 1: 64, 2: 64}, 2)
    f = features(500, torch.float32, {0: 32, 1: 32, 2: 32})
    r = torch.randn(500, 3, generator=runtime.generator(1))
    for value in model(f, segnn.Attributes.of(r, 2)).values():
        assert 0.8 < value.square().mean().sqrt().item() < 1.25


# --- Attributes -----------------------------------------------------------------------------------------------------------


def test_attributes_of_vectors():
    r = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    a = segnn.Attributes.of(r, 2)
    assert torch.equal(a.a, harmonics(r, 2)) and a.l_max == 2 and len(a) == 2
    assert a.a[1, 0] == 1 and not a.a[1, 1:].any()


@pytest.mark.parametrize("shape", [(4, 3), (4, 5), (4,), (4, 0), (2, 4, 4)])
def test_attributes_refuse_shapes(shape):
    with pytest.raises(ValueError, match="a: got shape"):
        segnn.Attributes(torch.zeros(shape))


def test_attributes_refuse_what_is_not_finite():
    with pytest.raises(ValueError, match="1 numbers that are NaN"):
        segnn.Attributes(torch.tensor([[1.0, math.nan, 0, 0]]))
    with pytest.raises(ValueError, match="floating-point"):
        segnn.Attributes(torch.ones(3, 4, dtype=torch.int64))


# --- The network ----------------------------------------------------------------------------------------------------------


def network(dtype=torch.float64, l=1, edges=2):
    torch.manual_seed(0)
    degrees = range(l + 1)
    into, out = {0: 2, 1: 2} if l else {0: 2}, {k: 2 for k in degrees}
    return segnn.SEGNN(into, {k: 6 for k in degrees}, out, layers=2, edges=edges, l_attribute=l, neighbours=3.0).to(dtype)


def system(dtype=torch.float64, sizes=(5, 3, 1)):
    draw, batch = runtime.generator(0), graph.of_sizes(list(sizes))
    x, v = (torch.randn(len(batch), 3, generator=draw, dtype=torch.float64).to(dtype) for _ in range(2))
    return x, v, graph.complete(batch)


def predict(model, x, v, edge_index, l=1, order=None):
    r = graph.vectors(x, edge_index)
    around = segnn.Attributes.of(r, l)
    mean = graph.scatter_mean(around.a, edge_index[0], len(x))
    along = segnn.Attributes((mean + harmonics(v, l)) / 2)
    d = graph.norm(r)[:, None]
    label = torch.linspace(-1, 1, len(x), dtype=x.dtype)
    label = label if order is None else label[order]
    f = {0: torch.stack([graph.norm(v), label], 1)[..., None], 1: torch.stack([v, 2 * v], 1)}
    f = f if l else {0: f[0]}
    return model(f, edge_index, torch.cat([d, 1 / (1 + d)], 1), around, along)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("l", [0, 1, 2])
def test_rotation_and_translation(l, dtype):
    if l == 2:
        torch.manual_seed(0)
        sizes = {0: 6, 1: 4, 2: 2}
        model = segnn.SEGNN({0: 2, 1: 2}, sizes, {0: 1, 1: 1, 2: 1}, layers=2, edges=2, l_attribute=2, neighbours=3).to(dtype)
    else:
        model = network(dtype, l)
    x, v, edge_index = system(dtype)
    R = rotations.random(generator=runtime.generator(1), dtype=dtype)
    want = irreps.rotate(predict(model, x, v, edge_index, l), R)
    assert apart(predict(model, x @ R.T + 2, v @ R.T, edge_index, l), want) < TOLERANCE[dtype]
    if l:
        assert apart(predict(model, x @ R.T + 2, v, edge_index, l), want) > 1e-2


def test_a_bias_on_arrows_is_caught():
    class Biased(segnn.Product):
        def steer(self, mixed, a):
            out = super().steer(mixed, a)
            return {l: value + 0.1 for l, value in out.items()}

    torch.manual_seed(0)
    f, a, R = features(5), numbers(5, 2), rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    errors = []
    for kind in (segnn.Product, Biased):
        model = kind(IN, OUT, 2).double()
        want = irreps.rotate(model(f, segnn.Attributes(a)), R)
        errors.append(apart(model(irreps.rotate(f, R), segnn.Attributes(turned(a, R))), want))
    assert errors[0] < 1e-12 < 1e-2 < errors[1]


def test_permutation():
    x, v, edge_index = system()
    model, order = network(), torch.randperm(9, generator=runtime.generator(2))
    out = predict(model, x, v, edge_index)
    renamed = order.argsort()[edge_index][:, torch.randperm(edge_index.shape[1], generator=runtime.generator(3))]
    moved = predict(model, x[order], v[order], renamed, order=order)
    assert apart(moved, {l: value[order] for l, value in out.items()}) < 1e-12


def test_pairs_are_a_product_of_what_stands_beside_each_other():
    x, _, edge_index = system()
    torch.manual_seed(0)
    pair = segnn.PairProduct(IN, 2, OUT, 1).double()
    f, b, (i, j) = features(9), torch.randn(edge_index.shape[1], 2).double(), edge_index
    beside = {l: torch.cat([value[i], value[j]], 1) for l, value in f.items()}
    beside[0] = torch.cat([beside[0], b[..., None]], 1)
    a = segnn.Attributes.of(graph.vectors(x, edge_index), 1)
    assert apart(pair(f, edge_index, b, a), segnn.Product.forward(pair, beside, a)) < 1e-13


def test_layer_is_two_steerable_networks():
    x, v, edge_index = system()
    torch.manual_seed(0)
    channels = {0: 4, 1: 3}
    layer = segnn.Layer(channels, 1, 1, neighbours=4.0).double()
    f, i, b = features(9, channels=channels), edge_index[0], torch.randn(edge_index.shape[1], 1).double()
    around, along = segnn.Attributes.of(graph.vectors(x, edge_index), 1), segnn.Attributes.of(v, 1)
    message = layer.gate(layer.second(layer.gate(layer.first(f, edge_index, b, around)), around))
    for node in range(9):
        total = {l: value[i == node].sum(0, keepdim=True) / 2 for l, value in message.items()}
        both = {l: torch.cat([value[node : node + 1], total[l]], 1) for l, value in f.items()}
        own = segnn.Attributes(along.a[node : node + 1])
        step = layer.fourth(layer.gate(layer.third(both, own)), own)
        got = {l: value[node : node + 1] for l, value in layer(f, edge_index, b, around, along).items()}
        assert apart(got, {l: f[l][node : node + 1] + step[l] for l in f}) < 1e-12


def test_without_edges_and_without_nodes():
    model, none = network(), torch.zeros(2, 0, dtype=torch.int64)
    for nodes in (3, 0):
        x = v = torch.ones(nodes, 3).double()
        assert [value.shape for value in predict(model, x, v, none).values()] == [(nodes, 2, 1), (nodes, 2, 3)]


def test_coincident_points_have_finite_gradients():
    x, v, edge_index = system(sizes=(3,))
    x[1] = x[0]
    x.requires_grad_()
    sum(value.sum() for value in predict(network(), x, v, edge_index).values()).backward()
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0


def test_gradients_turn_too():
    """Forces as gradients of a scalar: the attributes must be differentiated as well as the numbers b_ij."""
    x, v, edge_index = system()
    R = rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    slopes = []
    for points, speeds in ((x, v), (x @ R.T, v @ R.T)):
        points = points.clone().requires_grad_()
        predict(network(), points, speeds, edge_index)[0].sum().backward()
        slopes.append(points.grad)
    assert (slopes[1] - slopes[0] @ R.T).abs().max() < 1e-10 < 1e-2 < slopes[0].abs().max()


def test_attributes_change_the_answer():
    """The node's own arrows are heard: turning the velocity attribute alone changes what comes out."""
    x, v, edge_index = system()
    model, around = network(), segnn.Attributes.of(graph.vectors(x, edge_index), 1)
    f, b = {0: torch.ones(9, 2, 1).double(), 1: torch.zeros(9, 2, 3).double()}, torch.ones(edge_index.shape[1], 2).double()
    got = [model(f, edge_index, b, around, segnn.Attributes.of(s * v, 1))[1] for s in (1, -1)]
    assert (got[0] - got[1]).abs().max() > 1e-2


# --- Bad input ------------------------------------------------------------------------------------------------------------


def test_refuses():
    with pytest.raises(ValueError, match="without gaps"):
        segnn.Product({0: 2, 2: 2}, {0: 1}, 1)
    with pytest.raises(ValueError, match="no path leads"):
        segnn.Product({0: 2}, {2: 1}, 1)
    with pytest.raises(ValueError, match="l: got -1"):
        segnn.Product({0: 2}, {0: 1}, -1)
    with pytest.raises(ValueError, match="channels_in"):
        segnn.Product({}, {0: 1}, 1)
    with pytest.raises(ValueError, match="neighbours"):
        segnn.Layer({0: 2}, 0, 0, neighbours=0)


def test_refuses_input_that_does_not_fit():
    model, f = product(), features(4)
    with pytest.raises(ValueError, match="attributes: got 3 to degree 2, expected 4"):
        model(f, segnn.Attributes(numbers(3, 2)))
    with pytest.raises(ValueError, match="to degree 1, expected 4 to degree 2"):
        model(f, segnn.Attributes(numbers(4, 1)))
    with pytest.raises(ValueError, match="f: got"):
        model({0: f[0]}, segnn.Attributes(numbers(4, 2)))
    pair, edge_index = segnn.PairProduct(IN, 2, OUT, 1).double(), graph.complete(graph.of_sizes([4]))
    with pytest.raises(ValueError, match=r"b: got shape \(12, 1\), expected \(12, 2\)"):
        pair(f, edge_index, torch.zeros(12, 1).double(), segnn.Attributes(numbers(12, 1)))
    with pytest.raises(ValueError, match="edge_index"):
        pair(f, edge_index + 1, torch.zeros(12, 2).double(), segnn.Attributes(numbers(12, 1)))
