"""The TFN layer: symmetries to rounding, agreement with e3nn and with the formula, the cases at the edge, broken models."""

import math

import pytest
import torch
from torch import nn

from m2m import runtime
from m2m.messages import graph, radial
from m2m.tensors import harmonics, irreps, rotations, tfn
from m2m.tensors.clebsch_gordan import clebsch_gordan

IN, OUT = {0: 3, 1: 2, 2: 2}, {0: 4, 1: 2, 2: 3}
TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-12}
KINDS = ["full", "depthwise"]


def basis():
    return radial.Gaussians(4.0, 8)


def system(dtype=torch.float64, sizes=(5, 3, 1), channels=IN):
    draw, batch = runtime.generator(0), graph.of_sizes(list(sizes))
    x = torch.randn(len(batch), 3, generator=draw, dtype=torch.float64).to(dtype)
    return x, graph.complete(batch), irreps.random(channels, len(batch), generator=draw, dtype=dtype)


def layer(dtype=torch.float64, nonlinearity="gate", **options):
    torch.manual_seed(0)
    return tfn.Layer(IN, OUT, 2, basis(), nonlinearity=nonlinearity, neighbours=3.0, **options).to(dtype)


def apart(got, expected):
    assert set(got) == set(expected)
    scale = max(value.abs().max().item() for value in expected.values())
    return max((got[l] - expected[l]).abs().max().item() for l in expected) / scale


def turning_error(model, dtype=torch.float64, shift=5.0, geometry=tfn.Geometry):
    """Error of model(R f, R x + t) against R model(f, x)."""
    x, edge_index, f = system(dtype)
    R = rotations.random(generator=runtime.generator(1), dtype=dtype)
    turned = model(irreps.rotate(f, R), geometry(x @ R.T + shift, edge_index, 2))
    return apart(turned, irreps.rotate(model(f, geometry(x, edge_index, 2)), R))


# --- Symmetries -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nonlinearity", ["gate", "norm", None])
def test_rotation_and_translation(kind, nonlinearity, dtype):
    assert turning_error(layer(dtype, nonlinearity, kind=kind, cutoff=3.0), dtype) < TOLERANCE[dtype]


class Broken(nn.Module):
    """A layer with one thing wrong."""

    def __init__(self, what):
        super().__init__()
        self.inner, self.what = layer(nonlinearity=None), what

    def forward(self, f, geometry):
        c = self.inner.convolution
        if self.what == "order of Clebsch-Gordan":
            geometry.kernels(c.paths)[1] = geometry.kernels(c.paths)[1].roll(1, -1)
        if self.what == "sign of Clebsch-Gordan":
            geometry.kernels(c.paths)[1] = geometry.kernels(c.paths)[1] * torch.tensor([1.0, 1, -1]).double()
        out = self.inner(f, geometry)
        return {l: v + 0.1 for l, v in out.items()} if self.what == "bias on arrows" else out


@pytest.mark.parametrize("what", ["order of Clebsch-Gordan", "sign of Clebsch-Gordan", "bias on arrows"])
def test_the_check_rejects_broken_layers(what):
    assert turning_error(Broken("nothing")) < 1e-12 < 1e-2 < turning_error(Broken(what))


def test_the_check_rejects_harmonics_of_positions():
    """They turn as they should, so that only a translation tells them from those of differences."""

    def anchored(x, edge_index, l):
        geometry = tfn.Geometry(x, edge_index, l)
        geometry.Y = harmonics.harmonics(x, l)[edge_index[1]]
        return geometry

    assert turning_error(layer(), shift=0.0, geometry=anchored) < 1e-12 < 1e-2 < turning_error(layer(), geometry=anchored)


def test_mirrors_need_the_paths_of_even_parity():
    """Without paths whose degrees sum to an odd number, f of degree l gets the sign (-1)^l in a mirror; with them it does not."""
    x, edge_index, f = system()
    even = [path for path in layer().convolution.paths if sum(path) % 2 == 0]
    mirrored = {l: (-1) ** l * value for l, value in f.items()}
    for paths, respected in ((even, True), (None, False)):
        model = layer(nonlinearity=None, paths=paths)
        got = model(mirrored, tfn.Geometry(-x, edge_index, 2))
        want = {l: (-1) ** l * value for l, value in model(f, tfn.Geometry(x, edge_index, 2)).items()}
        assert (apart(got, want) < 1e-12) == respected and (apart(got, want) < 1e-2) == respected


@pytest.mark.parametrize("kind", KINDS)
def test_permutation_and_order_of_edges(kind):
    x, edge_index, f = system()
    model, order = layer(kind=kind), torch.randperm(9, generator=runtime.generator(2))
    out = model(f, tfn.Geometry(x, edge_index, 2))
    renamed = order.argsort()[edge_index][:, torch.randperm(edge_index.shape[1], generator=runtime.generator(3))]
    moved = model({l: v[order] for l, v in f.items()}, tfn.Geometry(x[order], renamed, 2))
    assert apart(moved, {l: v[order] for l, v in out.items()}) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_batched_is_one_by_one(kind):
    sizes = (5, 3, 1)
    x, edge_index, f = system(sizes=sizes)
    model = layer(kind=kind)
    parts, start = [], 0
    for n in sizes:
        own = graph.complete(graph.of_sizes([n]))
        parts.append(model({l: v[start : start + n] for l, v in f.items()}, tfn.Geometry(x[start : start + n], own, 2)))
        start += n
    together = model(f, tfn.Geometry(x, edge_index, 2))
    assert apart(together, {l: torch.cat([part[l] for part in parts]) for l in OUT}) < 1e-12


# --- What it computes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["complete", "star"])
def test_full_convolution_is_the_formula(name):
    x, edge_index, f = system(sizes=(6,))
    edge_index = edge_index if name == "complete" else edge_index[:, edge_index[0] == 0]
    torch.manual_seed(0)
    model = tfn.Convolution(IN, OUT, 2, basis(), hidden=5, cutoff=3.0).double()
    geometry = tfn.Geometry(x, edge_index, 2)
    h, (i, j) = model.radial(geometry.d), edge_index
    for l_out, got in model(f, geometry).items():
        W = model.weights[str(l_out)].view(5, -1, OUT[l_out])
        expected, start = torch.zeros_like(got), 0
        for a, b, _ in [path for path in model.paths if path[2] == l_out]:
            phi = torch.einsum("ek,kco->eco", h, W[:, start : start + IN[a]])
            C, Y = math.sqrt(2 * l_out + 1) * clebsch_gordan(a, b, l_out), geometry.Y[:, b * b : (b + 1) ** 2]
            expected.index_add_(0, i, torch.einsum("eco,abm,eb,eca->eom", phi, C, Y, f[a][j]))
            start += IN[a]
        assert torch.allclose(got, expected / math.sqrt(start), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_radials_are_the_whole_radial_dependence(kind):
    x, edge_index, f = system()
    model = layer(nonlinearity=None, kind=kind, cutoff=3.0).convolution
    geometry, (i, j) = tfn.Geometry(x, edge_index, 2), edge_index
    expected = {l: torch.zeros(9, c, 2 * l + 1).double() for l, c in OUT.items()}
    for (a, b, c), phi in model.radials(geometry.d).items():
        Y = geometry.Y[:, b * b : (b + 1) ** 2]
        message = torch.einsum("eco,abm,eb,eca->eom", phi, clebsch_gordan(a, b, c), Y, f[a][j])
        expected[c].index_add_(0, i, message)
    assert apart(model(f, geometry), expected) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_e3nn(kind):
    """A tensor-product convolution built from e3nn's parts, with the same weights, to 1e-10."""
    o3 = pytest.importorskip("e3nn.o3")
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # e3nn rounds its coefficients to the default type
    try:
        compare_with_e3nn(o3, kind)
    finally:
        torch.set_default_dtype(default)


def compare_with_e3nn(o3, kind):
    x, edge_index, f = system(sizes=(6, 4))
    model = tfn.Convolution(IN, OUT, 2, basis(), hidden=5, kind=kind).double()
    geometry, (i, j) = tfn.Geometry(x, edge_index, 2), edge_index
    h = model.radial(geometry.d)
    into = o3.Irreps([(c, (l, 1)) for l, c in IN.items()])
    filters = o3.Irreps([(1, (l, 1)) for l in range(3)])
    Y = o3.spherical_harmonics(filters, x[j] - x[i], normalize=True, normalization="component")
    sign = lambda path: (clebsch_gordan(*path) * o3.wigner_3j(*path, dtype=torch.float64)).sum().sign()  # theirs or ours
    middle = (
        [(IN[path[0]], (path[2], 1)) for path in model.paths] if kind == "depthwise" else [(c, (l, 1)) for l, c in OUT.items()]
    )
    slot = {path: k if kind == "depthwise" else path[2] for k, path in enumerate(model.paths)}
    mode = "uvu" if kind == "depthwise" else "uvw"
    product = o3.TensorProduct(
        into, filters, o3.Irreps(middle), [(a, b, slot[a, b, c], mode, True) for a, b, c in model.paths],
        shared_weights=False, internal_weights=False,
    ).double()  # fmt: skip
    weights, start = [], {l: 0 for l in OUT}
    for path in model.paths:
        a, _, c = path
        columns = OUT[c] if kind == "full" else 1
        own = (h @ model.weights[str(c)]).view(len(h), -1, columns)[:, start[c] : start[c] + IN[a]]
        weights.append(sign(path) * own.flatten(1))
        start[c] += IN[a]
    got = product(torch.cat([f[l].flatten(1) for l in IN], 1)[j], Y, torch.cat(weights, 1))
    got = graph.scatter_sum(got, i, len(x))
    if kind == "depthwise":
        linear = o3.Linear(o3.Irreps(middle), o3.Irreps([(c, (l, 1)) for l, c in OUT.items()])).double()
        # theirs has a matrix for each path into each degree, in the order of the paths
        rows = [model.mix[str(l)].split([IN[path[0]] for path in model.paths if path[2] == l]) for l in OUT]
        linear.weight.data = torch.cat([part.flatten() for l in rows for part in l])
        got = linear(got)
    ours = torch.cat([value.flatten(1) for value in model(f, geometry).values()], 1)
    assert (got - ours).abs().max() < 1e-10 and ours.abs().max() > 0.1


def test_self_interaction_mixes_channels_only():
    x, _, f = system()
    model = tfn.SelfInteraction(IN, {0: 4, 2: 3}).double()
    nn.init.normal_(model.bias)
    got, R = model(f), rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    assert set(got) == {0, 2} and apart(model(irreps.rotate(f, R)), irreps.rotate(got, R)) < 1e-12
    assert torch.allclose(got[2], torch.einsum("io,nim->nom", model.weights["2"], f[2]))
    assert torch.allclose(got[0] - model.bias, torch.einsum("io,nim->nom", model.weights["0"], f[0]))


def test_radial_ends_smoothly_at_the_cutoff():
    d = torch.tensor([1.0, 2.999, 3.0, 3.5], dtype=torch.float64, requires_grad=True)
    h = tfn.Radial(basis(), 6, cutoff=3.0).double()(d)
    (slope,) = torch.autograd.grad(h.square().sum(), d)
    assert h.shape == (4, 6) and h[0].abs().max() > 0.1 and h[1].abs().max() < 1e-6
    assert not h[2:].any() and not slope[2:].any()
    assert tfn.Radial(basis(), 6)(d.float())[3].abs().max() > 1e-3  # without one, neighbours far away are heard


@pytest.mark.parametrize("kind", KINDS)
def test_features_keep_their_size(kind):
    """Of a few hundred nodes with unit features, in each degree, before training."""
    draw = runtime.generator(0)
    x = 3 * torch.rand(300, 3, generator=draw)
    channels = {0: 32, 1: 32, 2: 32}
    torch.manual_seed(0)
    model = tfn.Convolution(channels, channels, 2, basis(), kind=kind, neighbours=12)
    out = model(irreps.random(channels, 300, generator=draw), tfn.Geometry(x, graph.nearest(x, 12), 2))
    for value in out.values():
        assert 0.4 < value.square().mean().sqrt().item() < 2.5


# --- At the edge ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["coincident", "isolated", "no edges", "one node", "no node", "self-loop", "zero features"])
def test_finite_gradients(kind, case, dtype):
    x, edge_index, f = system(dtype, sizes=(4,))
    if case == "coincident":
        x[1] = x[0]
    elif case == "isolated":
        edge_index = edge_index[:, (edge_index != 3).all(0)]
    elif case == "self-loop":
        edge_index = torch.cat([edge_index, torch.tensor([[0], [0]])], 1)
    elif case == "zero features":
        f = {l: torch.zeros_like(v) for l, v in f.items()}
    else:
        n = {"no edges": 4, "one node": 1, "no node": 0}[case]
        x, edge_index, f = x[:n], edge_index[:, :0], {l: v[:n] for l, v in f.items()}
    x.requires_grad_()
    f = {l: v.requires_grad_() for l, v in f.items()}
    model = layer(dtype, "norm", kind=kind)
    out = model(f, tfn.Geometry(x, edge_index, 2))
    sum(value.square().sum() for value in out.values()).backward()
    assert all(value.isfinite().all() and value.dtype == dtype for value in out.values())
    inputs = [*f.values(), *model.parameters(), *([x] if edge_index.numel() else [])]
    assert all(t.grad is None or t.grad.isfinite().all() for t in inputs)
    if case in ("isolated", "no edges"):
        assert not any(value[-1].any() for value in model.convolution(f, tfn.Geometry(x, edge_index, 2)).values())


def test_gradient_of_positions_is_right():
    x, edge_index, f = system(sizes=(4,))
    model = layer(cutoff=3.0)
    value = lambda p: sum(v.square().sum() for v in model(f, tfn.Geometry(p, edge_index, 2)).values())
    assert torch.autograd.gradcheck(value, x.requires_grad_())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels_in": {0: 0}}, "channels_in: got"),
        ({"channels_out": {}}, "channels_out: got"),
        ({"l_filter": -1}, "l_filter: got -1, expected a whole number from 0"),
        ({"l_filter": 99}, "l_filter: got 99"),
        ({"l_filter": 1.0}, "l_filter: got 1.0"),
        ({"kind": "uvu"}, "kind: got 'uvu'"),
        ({"cutoff": 0.0}, "cutoff: got 0.0"),
        ({"neighbours": 0.0}, "neighbours: got"),
        ({"channels_out": {5: 2}}, "no path leads to degree 5"),
        ({"paths": [(1, 1, 0)]}, "no path leads to degree 1"),
        ({"paths": [(1, 2, 1), (0, 1, 1), (0, 0, 0)]}, r"paths: got \[\(1, 2, 1\)\], expected some of"),
    ],
)
def test_wrong_settings(change, message):
    good = {"channels_in": {0: 2, 1: 2}, "channels_out": {0: 2, 1: 2}, "l_filter": 1, "basis": basis()}
    tfn.Convolution(**good)
    with pytest.raises(ValueError, match=message):
        tfn.Convolution(**(good | change))


def test_wrong_input():
    x, edge_index, f = system()
    model, geometry = layer(), tfn.Geometry(x, edge_index, 2)
    model(f, geometry)
    with pytest.raises(ValueError, match=r"channels"):
        model({l: v for l, v in f.items() if l < 2}, geometry)
    with pytest.raises(ValueError, match=r"\(N, C, 3\)"):
        model(f | {1: f[1][..., :2]}, geometry)
    with pytest.raises(ValueError, match="f: got 9 nodes of torch.float32"):
        model(f | {2: f[2].float()}, geometry)
    with pytest.raises(ValueError, match="f: got 4 nodes"):
        model({l: v[:4] for l, v in f.items()}, geometry)
    with pytest.raises(ValueError, match="geometry: got harmonics to degree 1, expected 2"):
        model(f, tfn.Geometry(x, edge_index, 1))
    with pytest.raises(ValueError, match="nonlinearity: got 'relu'"):
        layer(nonlinearity="relu")
    with pytest.raises(ValueError, match="channels_out: got degree 3"):
        tfn.SelfInteraction(IN, {3: 1})
