"""MADE: who sees whom, and that solving dimension by dimension costs one pass."""

import doctest
import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from m2m import checks
from m2m.flows import made

SIZES = [
    (1, [4]),
    (1, [3, 5]),
    (2, [8]),
    (2, [16, 16]),
    (3, [2]),
    (6, [16, 16]),
    (6, [3]),
    (6, [5, 5]),
    (7, [16, 5, 9]),
    (20, [7, 30]),
]
WIDE = [(dim, hidden) for dim, hidden in SIZES if min(hidden) >= dim - 1]


def network(dim, hidden, outputs=2, context=0, seed=0):
    """A MADE in float64 whose weights are all in use: smooth, and no weight small."""
    net = made.MADE(dim, hidden, outputs, context, activation=torch.tanh).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) / math.sqrt(p.shape[-1]))
    return net


def points(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dependence(net):
    """max over outputs of |d params_i / d x_j| at one point, (D, D)."""
    jacobian = checks.jacobian(net, points(net.dim))
    return jacobian.abs().amax(1)


def sees_only_earlier(net):
    return bool((dependence(net).triu() == 0).all())


# Who sees whom


@pytest.mark.parametrize("dim", [1, 2, 3, 6, 63])
@pytest.mark.parametrize("units", [1, 2, 7, 62, 512])
def test_degrees_are_those_of_tensorflow_probability(dim, units):
    degrees = made.hidden_degrees(dim, units)
    equal = numpy.ceil(numpy.arange(1, units + 1) * (dim - 1) / float(units + 1)).astype(int)
    assert degrees.tolist() == equal.tolist()
    assert degrees.tolist() == sorted(degrees.tolist())
    assert set(degrees.tolist()) <= set(range(1, dim)) or dim == 1
    if units >= dim - 1 > 0:
        assert set(degrees.tolist()) == set(range(1, dim)), "some input would be seen by nobody"
        counts = torch.bincount(degrees)[1:]
        assert counts.max() - counts.min() <= 1, "not evenly spread"


@pytest.mark.parametrize(("dim", "units"), [(1, 3), (2, 2), (6, 16), (6, 4), (63, 64)])
def test_with_a_context_some_units_see_no_input(dim, units):
    degrees = made.hidden_degrees(dim, units, context=True)
    assert degrees[0] == 0 and degrees.tolist() == sorted(degrees.tolist()) and degrees[-1] < dim
    assert units < dim or set(degrees.tolist()) == set(range(dim))


@pytest.mark.parametrize(("dim", "hidden"), SIZES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_masks_by_brute_force(dim, hidden, outputs):
    degrees = [list(range(1, dim + 1)), *(made.hidden_degrees(dim, units).tolist() for units in hidden)]
    got = made.masks(dim, hidden, outputs)
    for mask, before, after in zip(got, degrees, degrees[1:], strict=False):
        assert mask.tolist() == [[float(b <= a) for b in before] for a in after]
    assert got[-1].tolist() == [[float(m < i) for m in degrees[-1]] for i in range(1, dim + 1) for _ in range(outputs)]


@pytest.mark.parametrize(("dim", "hidden"), WIDE)
def test_paths_through_the_masks_join_each_output_with_all_earlier_inputs(dim, hidden):
    paths = torch.eye(dim)
    for mask in made.masks(dim, hidden):
        paths = mask @ paths
    assert torch.equal(paths > 0, torch.ones(dim, dim).tril(-1) > 0)


@pytest.mark.parametrize(("dim", "hidden"), [*SIZES, (63, [64, 64])])
def test_the_jacobian_is_strictly_lower_triangular(dim, hidden):
    net = network(dim, hidden)
    assert sees_only_earlier(net)
    if (dim, hidden) in WIDE:
        assert (dependence(net)[torch.ones(dim, dim).tril(-1) > 0] > 0).all(), "a dependence that should be there is missing"


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_broken_mask_is_detected(layer):
    net = network(6, [16, 16])
    assert sees_only_earlier(net)
    mask = net.layers[layer].mask
    row, column = (mask == 0).nonzero()[0]
    mask[row, column] = 1.0
    assert not sees_only_earlier(net)


def test_the_usual_slip_is_detected(monkeypatch):
    # Outputs that read units of their own degree see their own input
    def slipped(dim, hidden, outputs=1, context=False):
        last = torch.arange(1, dim + 1).repeat_interleave(outputs)[:, None] >= made.hidden_degrees(dim, hidden[-1])[None, :]
        return [*right(dim, hidden, outputs)[:-1], last.float()]

    right = made.masks
    monkeypatch.setattr(made, "masks", slipped)
    assert not sees_only_earlier(network(6, [16, 16]))


@settings(max_examples=30, deadline=None)
@given(dim=st.integers(1, 9), hidden=st.lists(st.integers(1, 12), min_size=1, max_size=3), outputs=st.integers(1, 4),
       batch=st.lists(st.integers(0, 3), max_size=3))  # fmt: skip
def test_any_sizes_keep_order_and_shapes(dim, hidden, outputs, batch):
    net = network(dim, hidden, outputs)
    assert sees_only_earlier(net)
    x = points(*batch, dim)
    assert net(x).shape == (*batch, dim, outputs)
    torch.testing.assert_close(net(x).reshape(-1, dim, outputs), net(x.reshape(-1, dim)), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dim", "hidden"), [(1, [4]), (4, [16, 16]), (6, [3, 4])])
def test_every_output_sees_the_context(dim, hidden):
    net, x = network(dim, hidden, context=3), points(5, dim)
    change = (net(x, points(5, 3, seed=2)) - net(x, points(5, 3, seed=3))).abs()
    assert (change > 0).all(), "the first dimension has no input to read, but the context"
    assert sees_only_earlier(partial_network(net, points(1, 3)))


def partial_network(net, context):
    """The network at a fixed context, for `dependence`."""
    fixed = lambda x: net(x, context.expand(len(x), -1))
    fixed.dim = net.dim
    return fixed


def test_zero_last_starts_at_zero_and_still_learns():
    net = network(3, [8]).zero_last()
    out = net(points(5, 3))
    assert (out == 0).all()
    out.sum().backward()
    assert net.layers[-1].bias.grad.abs().min() > 0


# Solving dimension by dimension


def affine(z, params):
    m, s = params.unbind(-1)
    return z * (0.3 * s).exp() + m, 0.3 * s


def naive(net, z, step, context=None):
    """D passes, as the definition reads."""
    x, log_det = torch.zeros_like(z), 0.0
    for i in range(net.dim):
        params = net(x, context)[:, i]
        value, log_slope = step(z[:, i], params)
        x = torch.cat([x[:, :i], value[:, None], x[:, i + 1 :]], 1)
        log_det = log_det + log_slope
    return x, log_det


@pytest.mark.parametrize(("dim", "hidden"), [*SIZES, (63, [64, 64]), (63, [16])])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("context", [0, 3])
def test_scan_gives_what_many_passes_give(dim, hidden, gradient, context):
    net, z = network(dim, hidden, context=context), points(5, dim)
    c = points(5, context, seed=2) if context else None
    with torch.set_grad_enabled(gradient):
        for got, expected in zip(net.scan(z, affine, c), naive(net, z, affine, c), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
            assert got.requires_grad == gradient


@pytest.mark.parametrize("context", [0, 3])
def test_gradients_through_scan_are_those_of_many_passes(context):
    net = network(6, [16, 9], context=context)
    z, c = points(5, 6).requires_grad_(), points(5, context, seed=2).requires_grad_() if context else None
    inputs = [z, *net.parameters()] + ([c] if context else [])
    weighted = lambda x, log_det: (x * points(5, 6, seed=3)).sum() + (log_det**2).sum()
    got = torch.autograd.grad(weighted(*net.scan(z, affine, c)), inputs)
    expected = torch.autograd.grad(weighted(*naive(net, z, affine, c)), inputs)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    assert all((g != 0).any() for g in got)


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_scan_of_any_number_of_points(batch):
    x, log_det = network(4, [8]).scan(points(batch, 4), affine)
    assert x.shape == (batch, 4) and log_det.shape == (batch,)


@pytest.mark.parametrize(("dim", "hidden"), [(6, [64, 64]), (63, [128, 128])])
def test_scan_multiplies_no_more_than_one_pass(dim, hidden):
    net, z = network(dim, hidden), points(16, dim)

    def multiplications(f):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            f()
        return counter.get_total_flops()

    one_pass = multiplications(lambda: net(z))
    assert 0 < multiplications(lambda: net.scan(z, affine)) <= one_pass
    assert multiplications(lambda: naive(net, z, affine)) == dim * one_pass


# Bad input


@pytest.mark.parametrize(
    "arguments",
    [dict(dim=0), dict(dim=2, hidden=[]), dict(dim=2, hidden=[0]), dict(dim=2, outputs=0)],
)
def test_sizes_that_make_no_network(arguments):
    with pytest.raises(ValueError, match=r"MADE: got dim=\d, hidden=.*expected positive sizes"):
        made.MADE(**arguments)


def test_wrong_shapes_are_named():
    net, with_context = made.MADE(3, [8]), made.MADE(3, [8], context=2)
    with pytest.raises(ValueError, match=r"x: got shape \(5, 4\), expected \(\.\.\., 3\)"):
        net(torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"z: got shape \(5, 4\), expected \(\.\.\., 3\)"):
        net.scan(torch.zeros(5, 4), affine)
    with pytest.raises(ValueError, match=r"context: got shape \(5, 2\), expected none"):
        net(torch.zeros(5, 3), torch.zeros(5, 2))
    with pytest.raises(ValueError, match=r"context: got none, expected \(\.\.\., 2\)"):
        with_context.scan(torch.zeros(5, 3), affine)
    with pytest.raises(ValueError, match=r"context: got shape \(5, 1\), expected \(\.\.\., 2\)"):
        with_context(torch.zeros(5, 3), torch.zeros(5, 1))


def test_the_example_in_the_docstring():
    result = doctest.testmod(made)
    assert result.attempted > 0 and result.failed == 0
