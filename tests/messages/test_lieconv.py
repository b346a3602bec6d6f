"""Convolution over a Lie group on points: what each group's kernel may see, and which motions it is equivariant to."""

import math

import pytest
import torch

from m2m import runtime
from m2m.messages import lie, lieconv

DTYPES = [torch.float32, torch.float64]


def cloud(n=12, dtype=torch.float64, seed=0):
    return torch.randn(n, 2, generator=runtime.generator(seed), dtype=dtype)


def layer(dtype=torch.float64, inputs=3, outputs=5, kernel=None):
    runtime.seed_everything(0)
    return lieconv.LieConv(inputs, outputs, kernel or lieconv.MLPKernel()).to(dtype)


def output(conv, elements, f, chart="log", relative=None):
    edge_index = lieconv.neighbours(elements, 1.5)
    a = (relative or lieconv.relative)(elements, edge_index, chart)
    return conv(f[elements.point], a, edge_index)


def moved(elements, h):
    """The elements after the motion h of the plane, (3, 3)."""
    x = elements.x @ h[:2, :2].T + h[:2, 2]
    theta = elements.theta
    if elements.group == "SE(2)":
        theta = theta + lie.so2_log(h[:2, :2])
    if elements.group == "SO(2)":
        theta = torch.atan2(x[:, 1], x[:, 0])
    return lieconv.Elements(elements.group, x, theta, elements.point)


def motion(shift=(0.0, 0.0), angle=0.0, dtype=torch.float64):
    return lie.motion(lie.so2_exp(torch.tensor(angle, dtype=dtype)), torch.tensor(shift, dtype=dtype))


def lifted(group, x):
    angles = 2 * math.pi * torch.rand(len(x), 3, generator=runtime.generator(1), dtype=x.dtype)
    return lieconv.lift(x, group, angles=angles if group == "SE(2)" else None)


MOTIONS = {"shift": dict(shift=(0.7, -1.1)), "turn": dict(angle=1.2), "both": dict(shift=(0.7, -1.1), angle=-2.0)}
# which motions leave all coordinates of pairs as they are
EXACT = {"trivial": (), "T(2)": ("shift",), "SO(2)": ("turn",), "SE(2)": ("shift", "turn", "both")}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", lieconv.GROUPS)
@pytest.mark.parametrize("name", MOTIONS)
def test_each_group_is_equivariant_to_its_motions_and_to_no_others(group, name, dtype):
    """The features move with their elements: no number changes. Each group is the control of the others."""
    x, f = cloud(dtype=dtype), torch.randn(12, 3, generator=runtime.generator(2), dtype=dtype)
    elements, conv = lifted(group, x), layer(dtype)
    change = (output(conv, moved(elements, motion(**MOTIONS[name], dtype=dtype)), f) - output(conv, elements, f)).abs().max()
    assert change < 100 * torch.finfo(dtype).eps if name in EXACT[group] else change > 1e-3


@pytest.mark.parametrize("chart", ["log", "product"])
def test_both_charts_of_se2_are_equivariant(chart):
    x, f = cloud(), torch.randn(12, 3, dtype=torch.float64)
    elements, conv = lifted("SE(2)", x), layer()
    change = output(conv, moved(elements, motion(**MOTIONS["both"])), f, chart) - output(conv, elements, f, chart)
    assert change.abs().max() < 1e-13


def test_the_wrong_order_is_rejected():
    """Control: a kernel of g_j g_i^-1 does not survive a motion of both."""

    def wrong(elements, edge_index, chart):
        g = elements.matrices()
        i, j = edge_index
        return torch.nn.functional.pad(lie.se2_log(g[j] @ lie.inverse(g[i])), (0, 1))

    x, f = cloud(), torch.randn(12, 3, dtype=torch.float64)
    elements, conv = lifted("SE(2)", x), layer()
    h = motion(**MOTIONS["both"])
    assert (output(conv, moved(elements, h), f, relative=wrong) - output(conv, elements, f, relative=wrong)).abs().max() > 1e-2


def test_coordinates_are_the_logarithm_of_the_relative_element():
    elements = lifted("SE(2)", cloud())
    edge_index = lieconv.neighbours(elements, 1.5)
    g = elements.matrices()
    exact = lie.se2_log(lie.relative(g[edge_index[0]], g[edge_index[1]]))
    torch.testing.assert_close(lieconv.relative(elements, edge_index)[:, :3], exact, rtol=0, atol=1e-12)
    itself = lieconv.relative(elements, torch.arange(len(elements)).expand(2, -1))
    assert itself.abs().max() == 0
    product = lieconv.relative(elements, edge_index, "product")
    apart = (elements.x[edge_index[1]] - elements.x[edge_index[0]]).norm(dim=-1)
    torch.testing.assert_close(product[:, :2].norm(dim=-1), apart)


@pytest.mark.parametrize("dtype", DTYPES)
def test_opposite_points_do_not_depend_on_rounding(dtype):
    """Relative angles of exactly pi: on a pixel grid there are many, and a jump from +pi to -pi would break equivariance."""
    x = torch.tensor([[0.5, 0.5], [-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]], dtype=dtype)
    f = torch.randn(4, 3, generator=runtime.generator(2), dtype=dtype)
    for group, k in (("SO(2)", 1), ("SE(2)", 4)):
        conv = layer(dtype)
        start = lieconv.lift(x, group, k)
        for angle in torch.linspace(0.1, 6.2, 30).tolist():
            change = output(conv, moved(start, motion(angle=angle, dtype=dtype)), f) - output(conv, start, f)
            assert change.abs().max() < 200 * torch.finfo(dtype).eps


def test_a_grid_of_lifts_is_exact_for_its_own_rotations_and_for_no_others():
    """Here the lifts are made anew after the turn, as a network does: the mean over them may change between the grid's."""
    x, f = cloud(), torch.randn(12, 3, dtype=torch.float64)
    conv = layer()

    def mean_over_lifts(angle):
        turned = x @ lie.so2_exp(torch.tensor(angle, dtype=x.dtype)).T
        return torch.tanh(output(conv, lieconv.lift(turned, "SE(2)", 4), f)).unflatten(0, (12, 4)).mean(1)

    change = lambda angle: (mean_over_lifts(angle) - mean_over_lifts(0.0)).abs().max()
    assert change(math.pi / 2) < 1e-13 and change(math.pi) < 1e-13 and change(math.pi / 4) > 1e-4


def test_a_point_at_the_origin_has_no_angle():
    """Documented: SO(2) cannot lift it, and it alone turns wrongly."""
    x = torch.cat([torch.zeros(1, 2, dtype=torch.float64), 1.5 * cloud(5)])
    f = torch.randn(6, 3, dtype=torch.float64)
    elements, conv = lieconv.lift(x, "SO(2)"), layer()
    change = (output(conv, moved(elements, motion(angle=1.0)), f) - output(conv, elements, f)).abs().amax(1)
    away = x.norm(dim=-1) >= 1.5  # further from the origin than the cutoff
    assert change[0] > 1e-3 and away.any() and change[away].max() < 1e-13


def test_equal_parameters_for_all_groups():
    assert len({sum(p.numel() for p in layer().parameters()) for _ in lieconv.GROUPS}) == 1


# --- Edges ----------------------------------------------------------------------------------------------------------------


def test_neighbours_have_themselves_and_all_lifts_of_near_points():
    elements = lieconv.lift(torch.tensor([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]]), "SE(2)", 2)
    edges = {tuple(e) for e in lieconv.neighbours(elements, 1.5).T.tolist()}
    near, far = {0, 1, 2, 3}, {4, 5}
    assert edges == {(i, j) for i in near for j in near} | {(i, j) for i in far for j in far}


def test_batched_is_one_by_one():
    sizes, conv = (4, 1, 7), layer()
    x, f = cloud(12), torch.randn(12, 3, dtype=torch.float64)
    batch = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    together = lieconv.lift(x, "SE(2)", 3)
    edge_index = lieconv.neighbours(together, 1.5, batch)
    all_at_once = conv(f[together.point], lieconv.relative(together, edge_index), edge_index)
    one_by_one = [output(conv, lieconv.lift(a, "SE(2)", 3), b) for a, b in zip(x.split(sizes), f.split(sizes), strict=True)]
    torch.testing.assert_close(all_at_once, torch.cat(one_by_one))


@pytest.mark.parametrize("dtype", DTYPES)
def test_shared_geometry_gives_the_same_numbers(dtype):
    x, f = cloud(dtype=dtype), torch.randn(4, 12, 3, dtype=dtype)
    elements, conv = lieconv.lift(x, "SE(2)", 2), layer(dtype)
    edge_index = lieconv.neighbours(elements, 1.5)
    a = lieconv.relative(elements, edge_index)
    single = torch.stack([conv(one[elements.point], a, edge_index) for one in f])
    torch.testing.assert_close(conv(f[:, elements.point], a, edge_index), single)


def test_permutation_of_the_points_moves_along():
    x, f, order = cloud(), torch.randn(12, 3, dtype=torch.float64), torch.randperm(12, generator=runtime.generator(0))
    conv = layer()
    y = output(conv, lieconv.lift(x, "T(2)"), f)
    torch.testing.assert_close(output(conv, lieconv.lift(x[order], "T(2)"), f[order]), y[order])


def test_empty_sets_single_points_and_coincident_points():
    conv, nothing = layer(), torch.zeros(2, 0, dtype=torch.int64)
    x = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    f = torch.randn(3, 3, dtype=torch.float64)
    isolated = lieconv.lift(x, "T(2)")
    torch.testing.assert_close(conv(f, lieconv.relative(isolated, nothing), nothing), conv.mix.bias.expand(3, -1))
    for group in lieconv.GROUPS:
        y = output(conv, lieconv.lift(x, group, 2 if group == "SE(2)" else 1), f)
        assert torch.autograd.grad(y.sum(), x, allow_unused=True)[0].isfinite().all()
    assert output(conv, lieconv.lift(x[:1], "T(2)"), f[:1]).shape == (1, 5)
    assert conv(f[:0], torch.zeros(0, 4, dtype=torch.float64), nothing).shape == (0, 5)


def test_sampled_neighbours_give_an_unbiased_mean():
    """The Monte-Carlo sum: right in the mean, with an error that falls as 1 / sqrt(k)."""
    x, f = cloud(40), torch.randn(40, 3, dtype=torch.float64)
    elements, conv = lieconv.lift(x, "T(2)"), layer()
    edge_index = lieconv.neighbours(elements, 100.0)
    value = lambda e: conv(f, lieconv.relative(elements, e), e).detach()
    exact, generator = value(edge_index), runtime.generator(0)

    def estimates(keep):
        return torch.stack([value(lieconv.sample(edge_index, keep, generator)) for _ in range(200)]) - exact

    few, many = estimates(4), estimates(16)
    assert few.mean(0).abs().max() < 5 * few.std(0).max() / 200**0.5
    # drawn without replacement from 40: variance (1 / k)(1 - (k - 1) / 39)
    expected = math.sqrt(16 / 4 * (1 - 3 / 39) / (1 - 15 / 39))
    assert few.std() / many.std() == pytest.approx(expected, rel=0.1)
    kept = lieconv.sample(edge_index, 7, generator)
    assert torch.equal(torch.bincount(kept[0]), torch.full((40,), 7)) and len({tuple(e) for e in kept.T.tolist()}) == 280
    assert lieconv.sample(torch.zeros(2, 0, dtype=torch.int64), 3).shape == (2, 0)


# --- Splines --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_shifted_splines_sum_to_one(degree):
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)
    total = sum(lieconv.bspline(x - k, degree) for k in range(-4, 5))
    torch.testing.assert_close(total, torch.ones_like(x))
    assert lieconv.bspline(torch.tensor([1.0, -1.0]) * ((degree + 1) / 2 + 1e-3), degree).abs().max() == 0


def test_splines_are_scipys():
    from scipy.interpolate import BSpline

    x = torch.linspace(-2.5, 2.5, 51, dtype=torch.float64)
    element = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)(x.numpy())
    torch.testing.assert_close(lieconv.bspline(x), torch.nan_to_num(torch.as_tensor(element)), rtol=0, atol=1e-14)


def test_spline_kernel_is_a_partition_of_one_and_periodic():
    kernel = lieconv.SplineKernel((-3, -3, -math.pi), (3, 3, math.pi), (7, 7, 5), (False, False, True)).double()
    a = torch.rand(50, 4, generator=runtime.generator(0), dtype=torch.float64) * 4 - 2
    k = kernel(a)
    assert k.shape == (50, kernel.size) and kernel.size == 245
    torch.testing.assert_close(k.sum(-1), torch.ones(50, dtype=torch.float64))
    around = a + torch.tensor([0, 0, 2 * math.pi, 0], dtype=torch.float64)
    torch.testing.assert_close(kernel(around), k, rtol=0, atol=1e-6)  # the centres are stored in float32
    away = a + torch.tensor([10.0, 0, 0, 0], dtype=torch.float64)
    assert kernel(away).abs().max() == 0


def test_a_spline_kernel_on_the_group_is_equivariant():
    kernel = lieconv.SplineKernel((-1.5, -1.5, -math.pi), (1.5, 1.5, math.pi), (5, 5, 4), (False, False, True))
    conv = layer(kernel=kernel)
    x, f = cloud(), torch.randn(12, 3, dtype=torch.float64)
    elements = lifted("SE(2)", x)
    change = output(conv, moved(elements, motion(**MOTIONS["both"])), f, "product") - output(conv, elements, f, "product")
    assert change.abs().max() < 1e-12 and output(conv, elements, f).std() > 1e-3


# --- Bad input ------------------------------------------------------------------------------------------------------------

SQUARE = torch.rand(4, 2)
LOOPS = torch.arange(4).expand(2, -1)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: lieconv.lift(SQUARE, "SO(3)"), r"group: got 'SO\(3\)'"),
    (lambda: lieconv.lift(torch.zeros(4, 3), "T(2)"), r"x: got shape \(4, 3\)"),
    (lambda: lieconv.lift(torch.full((4, 2), math.nan), "T(2)"), "expected finite positions"),
    (lambda: lieconv.lift(SQUARE, "T(2)", 4), "rotations: got 4"),
    (lambda: lieconv.lift(SQUARE, "SE(2)", 0), "rotations: got 0"),
    (lambda: lieconv.lift(SQUARE, "SE(2)", angles=torch.zeros(4)), r"angles: got shape \(4,\)"),
    (lambda: lieconv.relative(lieconv.lift(SQUARE, "T(2)"), LOOPS, "polar"), "chart, unit: got 'polar'"),
    (lambda: lieconv.relative(lieconv.lift(SQUARE, "T(2)"), LOOPS, unit=0), "positive length"),
    (lambda: lieconv.relative(lieconv.lift(SQUARE, "T(2)"), LOOPS + 1), "edge_index: got nodes 1 to 4"),
    (lambda: lieconv.sample(LOOPS, 0), "keep: got 0"),
    (lambda: lieconv.bspline(SQUARE, -1), "degree: got -1"),
    (lambda: lieconv.SplineKernel((0,), (1, 2), (3,)), "low, high, count"),
    (lambda: lieconv.SplineKernel((1,), (0,), (3,)), "expected low < high"),
    (lambda: lieconv.SplineKernel((0,), (1,), (3,), (True,)), "degree \\+ 1 for a period"),
    (lambda: layer(torch.float32)(torch.zeros(4, 3), torch.zeros(4, 3), LOOPS), r"f, a: got shapes \(4, 3\) and \(4, 3\)"),
    (lambda: layer(torch.float32)(torch.zeros(3, 3), torch.zeros(4, 4), LOOPS), "edge_index: got nodes 0 to 3"),
])  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
