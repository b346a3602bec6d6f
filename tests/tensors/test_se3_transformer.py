"""SE(3)-Transformers: the layer against its formula, symmetries to rounding, neighbours and heads, broken models, bad input."""

import math

import pytest
import torch

from m2m import runtime
from m2m.messages import graph, radial
from m2m.tensors import irreps, rotations, se3_transformer, tfn
from m2m.tensors.clebsch_gordan import clebsch_gordan

IN, OUT, L = {0: 3, 1: 2}, {0: 4, 1: 4, 2: 2}, 2
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}
KINDS = ["full", "depthwise"]


def basis():
    return radial.Gaussians(4.0, 6)


def system(dtype=torch.float64, sizes=(5, 3, 1), channels=IN, edges=2):
    """Clouds as one graph, with features and edge features; the last cloud is a point without neighbours."""
    draw, batch = runtime.generator(0), graph.of_sizes(list(sizes))
    x = torch.randn(len(batch), 3, generator=draw, dtype=torch.float64).to(dtype)
    edge_index = graph.complete(batch)
    f = irreps.random(channels, len(batch), generator=draw, dtype=dtype)
    return x, edge_index, f, torch.randn(edge_index.shape[1], edges, generator=draw, dtype=torch.float64).to(dtype)


def network(dtype=torch.float64, **options):
    torch.manual_seed(0)
    options = {"layers": 2, "heads": 2, "l_filter": L, "basis": basis(), "edge_features": 2} | options
    return se3_transformer.SE3Transformer(IN, OUT, {0: 1, 1: 2}, **options).to(dtype)


def attention(**options):
    torch.manual_seed(0)
    options = {"heads": 2, "edge_features": 2} | options
    return se3_transformer.Attention(IN, OUT, L, basis(), **options).double()


def apart(got, expected):
    """|got - expected| / |expected| over all degrees: the paper's relative error."""
    assert set(got) == set(expected)
    norm = lambda parts: math.sqrt(sum(part.square().sum().item() for part in parts))
    return norm(got[l] - expected[l] for l in got) / norm(expected.values())


def turning_error(model, x, edge_index, f, a, R, shift=5.0):
    turned = model(irreps.rotate(f, R), tfn.Geometry(x @ R.T + shift, edge_index, L), a)
    return apart(turned, irreps.rotate(model(f, tfn.Geometry(x, edge_index, L), a), R))


def turn(dtype=torch.float64, seed=1):
    return rotations.random(generator=runtime.generator(seed), dtype=dtype)


# --- The formula ----------------------------------------------------------------------------------------------------------


def by_hand(model, x, edge_index, f, a):
    """Attention of kind "full" as loops over nodes, heads and neighbours, from its weights."""
    receiver, sender = edge_index
    geometry, messages = tfn.Geometry(x, edge_index, L), model.messages
    h = messages.radial(geometry.d, a)
    both = {l: x.new_zeros(len(receiver), c, 2 * l + 1) for l, c in messages.channels_out.items()}
    start = dict.fromkeys(both, 0)
    for l_in, l_filter, l in messages.paths:
        c, width, out = messages.channels_in[l_in], messages.width[l], messages.channels_out[l]
        w = messages.weights[str(l)].view(-1, width, out)[:, start[l] : start[l] + c] / math.sqrt(width)
        start[l] += c
        Y = geometry.Y[:, l_filter**2 : (l_filter + 1) ** 2]
        product = math.sqrt(2 * l + 1) * torch.einsum("abm,eb,eca->ecm", clebsch_gordan(l_in, l_filter, l), Y, f[l_in][sender])
        both[l] += torch.einsum("eh,hco,ecm->eom", h, w, product)
    q = model.query(f)
    k = {l: both[l][:, : model.keys[l]] for l in model.keys}
    v = {l: both[l][:, model.keys.get(l, 0) :] for l in both}
    out, weights = (
        {l: torch.zeros(len(x), c, 2 * l + 1).double() for l, c in OUT.items()},
        torch.zeros(len(receiver), 2).double(),
    )
    for i in range(len(x)):
        edges = (receiver == i).nonzero()[:, 0]
        for head in range(2) if len(edges) else ():
            part = lambda c: slice(head * c // 2, (head + 1) * c // 2)
            fit = lambda e: sum((q[l][i, part(c)] * k[l][e, part(c)]).sum() for l, c in model.keys.items())
            n = sum((2 * l + 1) * c // 2 for l, c in model.keys.items())
            alpha = (torch.stack([fit(e) for e in edges]) / math.sqrt(n)).softmax(0)
            weights[edges, head] = alpha
            for l, c in OUT.items():
                out[l][i, part(c)] = sum(alpha[n] * v[l][e, part(c)] for n, e in enumerate(edges))
    return out, weights


def test_attention_is_its_formula():
    x, edge_index, f, a = system()
    model = attention(kind="full")
    geometry = tfn.Geometry(x, edge_index, L)
    out, weights = by_hand(model, x, edge_index, f, a)
    assert apart(model(f, geometry, a), out) < 1e-13
    assert geometry.slots == 4 and len(geometry.arranged(a)) > len(a)  # some places are padded
    assert (model.look(f, geometry, a) - weights).abs().max() < 1e-13
    assert apart(attention(kind="depthwise")(f, geometry, a), out) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_without_attention_it_is_the_convolution_of_a_tensor_field_network(kind):
    """With the same weights, divided by the number of neighbours; attention is another function."""
    x, edge_index, f, _ = system(sizes=(4, 4))
    model = attention(attention=False, edge_features=0, kind=kind)
    layer = tfn.Convolution(IN, OUT, L, basis(), kind=kind).double()
    layer.load_state_dict({name.removeprefix("messages."): w for name, w in model.state_dict().items()})
    geometry = tfn.Geometry(x, edge_index, L)
    mean = {l: value / 3 for l, value in layer(f, geometry).items()}
    assert apart(model(f, geometry), mean) < 1e-13
    assert apart(attention(edge_features=0, kind=kind)(f, geometry), mean) > 1e-2


def test_keys_that_do_not_differ_weigh_all_the_same():
    x, edge_index, f, a = system(sizes=(5, 5))
    model, geometry = attention(), tfn.Geometry(x, edge_index, L)
    with torch.no_grad():
        for weight in model.query.weights.values():
            weight.zero_()
    assert (model.look(f, geometry, a) - 1 / 4).abs().max() < 1e-15


def test_attentive_self_interaction_is_its_formula():
    _, _, f, _ = system()
    torch.manual_seed(0)
    model = se3_transformer.AttentiveSelfInteraction(IN, {0: 2, 1: 3}).double()
    out = model(f)
    for l, c in {0: 2, 1: 3}.items():
        for i in range(9):
            inner = torch.stack([torch.stack([p @ q for q in f[l][i]]) for p in f[l][i]]) / (2 * l + 1)
            w = model.change[str(l)]((inner / (1 + inner.abs())).flatten()).view(c, IN[l]) / math.sqrt(IN[l])
            bias = model.linear.bias if l == 0 else 0.0
            assert (out[l][i] - (w + model.linear.weights[str(l)].T) @ f[l][i] - bias).abs().max() < 1e-13


# --- Symmetries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("itself", ["linear", "attentive"])
@pytest.mark.parametrize("nonlinearity", ["gate", "norm", None])
def test_rotation_and_translation(kind, itself, nonlinearity, dtype):
    model = network(dtype, kind=kind, self_interaction=itself, nonlinearity=nonlinearity)
    shift = 5.0 if dtype == torch.float64 else 0.0  # a shift costs float32 digits of the positions before any layer
    errors = [turning_error(model, *system(dtype), turn(dtype, seed), shift) for seed in range(5)]
    assert max(errors) < TOLERANCE[dtype] * (3 if nonlinearity == "norm" else 1)  # which is of third order in f


@pytest.mark.parametrize("broken", ["one component's query", "bias on keys", "heads across components"])
def test_the_check_rejects_broken_attention(broken):
    class Broken(se3_transformer.Attention):
        def alpha(self, f, keys, geometry):
            if broken == "bias on keys":
                keys = {l: k + geometry.arranged(geometry.d)[:, None, None] for l, k in keys.items()}
            if broken == "one component's query":
                keys = {l: k * (torch.arange(2 * l + 1) == 0)[:, None] for l, k in keys.items()}
            return super().alpha(f, keys, geometry)

        def deal(self, values):
            if broken == "heads across components" and values.ndim == 3:
                return super().deal(values).roll(1, 0)[torch.randperm(values.shape[-1])] * values.mean()
            return super().deal(values)

    torch.manual_seed(0)
    model = Broken(IN, OUT, L, basis(), heads=2, edge_features=2).double()
    assert turning_error(attention(), *system(), turn()) < 1e-13 < 1e-3 < turning_error(model, *system(), turn())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_do_not_turn(kind):
    x, edge_index, f, a = system()
    model, R = attention(kind=kind), turn()
    still = model.look(f, tfn.Geometry(x, edge_index, L), a)
    assert (model.look(irreps.rotate(f, R), tfn.Geometry(x @ R.T, edge_index, L), a) - still).abs().max() < 1e-14
    assert (model.look(f, tfn.Geometry(x @ R.T, edge_index, L), a) - still).abs().max() > 1e-3  # features must turn along


@pytest.mark.parametrize("kind", KINDS)
def test_permutation_and_order_of_edges(kind):
    x, edge_index, f, a = system()
    model, order = network(kind=kind), torch.randperm(9, generator=runtime.generator(2))
    out = model(f, tfn.Geometry(x, edge_index, L), a)
    mixed = torch.randperm(edge_index.shape[1], generator=runtime.generator(3))
    renamed = order.argsort()[edge_index][:, mixed]
    moved = model({l: v[order] for l, v in f.items()}, tfn.Geometry(x[order], renamed, L), a[mixed])
    assert apart(moved, {l: v[order] for l, v in out.items()}) < 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_batched_is_one_by_one(kind):
    sizes = (5, 3, 1)
    x, edge_index, f, a = system(sizes=sizes)
    model, parts, node, edge = network(kind=kind), [], 0, 0
    for n in sizes:
        own, count = graph.complete(graph.of_sizes([n])), n * (n - 1)
        part = {l: v[node : node + n] for l, v in f.items()}
        parts.append(model(part, tfn.Geometry(x[node : node + n], own, L), a[edge : edge + count]))
        node, edge = node + n, edge + count
    assert apart(model(f, tfn.Geometry(x, edge_index, L), a), {l: torch.cat([p[l] for p in parts]) for l in parts[0]}) < 1e-13


# --- Degenerate clouds ----------------------------------------------------------------------------------------------------


def degenerate(case, dtype):
    """Clouds on which directions are not defined, or lie on the poles of some recursion."""
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).to(dtype)
    tiny = 1e-12 * torch.randn(6, 3, generator=runtime.generator(5), dtype=torch.float64).to(dtype)
    return {"coincident": torch.zeros(6, 3, dtype=dtype), "two places": axes[[0, 0, 0, 1, 1, 1]], "axes": axes,
            "one line": torch.arange(6)[:, None] * axes[:1], "nearly coincident": tiny}[case]  # fmt: skip


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["coincident", "two places", "axes", "one line", "nearly coincident"])
def test_degenerate_clouds_are_finite_and_equivariant(case, kind, dtype):
    x = degenerate(case, dtype)
    _, edge_index, f, a = system(dtype, sizes=(6,))
    model = network(dtype, kind=kind, self_interaction="attentive")
    for R in (turn(dtype), rotations.about(torch.eye(3, dtype=dtype)[1], torch.tensor(math.pi / 2, dtype=dtype))):
        assert turning_error(model, x, edge_index, f, a, R, shift=0.0) < TOLERANCE[dtype]
    x = x.clone().requires_grad_()
    sum(v.square().sum() for v in model(f, tfn.Geometry(x, edge_index, L), a).values()).backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_node_without_neighbours_keeps_what_it_was():
    x, edge_index, f, a = system()
    out = attention()(f, tfn.Geometry(x, edge_index, L), a)
    assert all((v[-1] == 0).all() and (v[0] != 0).any() for v in out.values())
    alone = network()({l: v[-1:] for l, v in f.items()}, tfn.Geometry(x[-1:], edge_index[:, :0], L), a[:0])
    assert all(v.isfinite().all() for v in alone.values())


def test_more_neighbours_than_there_are_points():
    """`graph.nearest` gives all others; so the network sees the complete graph."""
    x, _, f, _ = system(sizes=(5,))
    model = network(edge_features=0)
    few, all_ = (model(f, tfn.Geometry(x, graph.nearest(x, k), L)) for k in (2, 50))
    assert apart(all_, model(f, tfn.Geometry(x, graph.complete(graph.of_sizes([5])), L))) < 1e-13 < 1e-3 < apart(few, all_)


def test_weights_sum_to_one_over_neighbours_whether_places_are_padded_or_not():
    x, _, f, _ = system(sizes=(9,))
    model = attention(edge_features=0)
    for edge_index in (graph.radius(x, 1.5), graph.radius(x, 2.5), graph.nearest(x, 3)):
        geometry = tfn.Geometry(x, edge_index, L)
        alpha = graph.scatter_sum(model.look(f, geometry), edge_index[0], 9)
        has = (graph.degree(edge_index, 9) > 0).double()[:, None]
        assert (alpha - has).abs().max() < 1e-14
    parts = [tfn.Geometry(x, graph.radius(x, cutoff), L).slots for cutoff in (1.5, 2.5)]
    assert parts[0] != parts[1]


def test_softmax_and_receivers_of_a_padded_geometry():
    """One node with three neighbours and two with one: empty places weigh nothing."""
    edge_index = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])
    x, logits = torch.randn(4, 3, generator=runtime.generator(0)), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])[:, None]
    geometry = tfn.Geometry(x, edge_index, 1)
    assert geometry.slots == 3 and len(geometry.arranged(logits)) == 12
    alpha = geometry.softmax(geometry.arranged(logits)).view(4, 3)
    want = torch.cat([logits[:3].softmax(0).T, torch.eye(3)[[0, 0, 0]]])
    assert (alpha - want).abs().max() < 1e-7
    assert (geometry.at_receivers(x).view(4, 3, 3) == x[:, None]).all()


# --- Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [3, 0, 2.0, True])
def test_heads_that_do_not_divide_the_channels(heads):
    with pytest.raises(ValueError, match="heads: got .* expected a divisor of each number of channels"):
        network(heads=heads)


def test_degrees_that_cannot_be():
    with pytest.raises(ValueError, match=r"channels_out: got degrees \[1\], expected one of channels_in"):
        se3_transformer.Attention({0: 2}, {1: 2}, 1, basis())
    with pytest.raises(ValueError, match="channels_out: got degree 3"):
        se3_transformer.SE3Transformer(IN, OUT, {3: 1}, heads=2, basis=basis())
    with pytest.raises(ValueError, match="layers: got 0"):
        network(layers=0)
    with pytest.raises(ValueError, match="self_interaction: got 'full'"):
        network(self_interaction="full")
    with pytest.raises(ValueError, match="nonlinearity: got 'relu'"):
        network(nonlinearity="relu")


def test_edge_features_that_do_not_fit():
    x, edge_index, f, a = system()
    geometry = tfn.Geometry(x, edge_index, L)
    for wrong in (None, a[:, :1], a[:-1]):
        with pytest.raises(ValueError, match="a: got .* the features of each edge"):
            network()(f, geometry, wrong)
    with pytest.raises(ValueError, match="a: got .* expected None"):
        network(edge_features=0)(f, geometry, a)
    with pytest.raises(ValueError, match="f: got channels"):
        network()({0: f[0]}, geometry, a)
