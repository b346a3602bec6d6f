"""PointConv: the density of known sets, unequal sampling with and without its weights, symmetries it has and has not."""

import pytest
import torch

from m2m import checks, runtime
from m2m.messages import graph, pointconv


def cloud(n=40, dtype=torch.float64, seed=0):
    generator = runtime.generator(seed)
    x = torch.randn(n, 3, generator=generator, dtype=dtype)
    f = torch.randn(n, 4, generator=generator, dtype=dtype)
    return f, x, graph.radius(x, 1.5), pointconv.density(x, 0.5)


def test_density_of_a_uniform_square():
    x = torch.rand(5000, 2, generator=runtime.generator(0), dtype=torch.float64)
    inside = ((x > 0.2) & (x < 0.8)).all(1)
    assert pointconv.density(x, 0.04)[inside].mean().item() == pytest.approx(5000, rel=0.05)
    assert pointconv.density(2 * x, 0.08)[inside].mean().item() == pytest.approx(1250, rel=0.05)


def test_density_of_one_point_and_by_graph():
    alone = pointconv.density(torch.zeros(1, 3), 1.0).item()
    assert alone == pytest.approx((2 * torch.pi) ** -1.5)
    x = torch.randn(10, 3, dtype=torch.float64)
    batch = graph.of_sizes([4, 6])
    single = torch.cat([pointconv.density(x[:4], 0.5), pointconv.density(x[4:], 0.5)])
    assert torch.allclose(pointconv.density(x, 0.5, batch), single)


def test_the_sum_over_points_is_the_integral():
    layer, (f, x, edge_index, p) = pointconv.PointConv(4, 5, 1.5).double(), cloud()
    i = 7
    neighbours = edge_index[1][edge_index[0] == i]
    expected = torch.zeros(16, 4, dtype=torch.float64)
    for j in neighbours:
        w = layer.kernel((x[j] - x[i]) / 1.5)
        expected += w[:, None] * f[j] / (p[j] * 1.5**3)
    assert torch.allclose(layer(f, x, edge_index, p)[i], layer.mix(expected.flatten()))


def unequal_sampling_error(weighting):
    """How much the answer at fixed points changes when the right half of a square gets nine times the points."""
    generator = runtime.generator(0)
    layer = pointconv.PointConv(1, 8, 0.25, weighting=weighting, dim=2).double()
    layer.mix.bias.data.zero_()
    at = 0.3 + 0.4 * torch.rand(50, 2, generator=generator, dtype=torch.float64)

    def answer(x):
        everything = torch.cat([at, x])
        edge_index = graph.radius(everything, 0.25)
        edge_index = edge_index[:, (edge_index[0] < 50) & (edge_index[1] >= 50)]
        p = torch.cat([torch.ones(50), pointconv.density(x, 0.05)])
        f = everything[:, :1] ** 2
        return layer(f, everything, edge_index, p)[:50]

    x = torch.rand(4000, 2, generator=generator, dtype=torch.float64)
    equal, dense = answer(x[:2000]), answer(torch.cat([x[:400], x[400:][x[400:, 0] > 0.5]]))
    if weighting == "none":
        dense = dense * (equal.norm() / dense.norm())
    return ((dense - equal).norm() / equal.norm()).item()


def test_inverse_density_undoes_unequal_sampling_and_plain_sums_and_means_do_not():
    error = {name: unequal_sampling_error(name) for name in ("inverse", "mean", "none")}
    assert error["inverse"] < 0.1 < 0.15 < min(error["mean"], error["none"])


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("weighting", pointconv.PointConv.WEIGHTINGS)
def test_translations_leave_it_unchanged_and_rotations_do_not(weighting, dtype, bound):
    layer, (f, x, edge_index, p) = pointconv.PointConv(4, 5, 1.5, weighting=weighting).to(dtype), cloud(dtype=dtype)
    output = layer(f, x, edge_index, p)
    assert checks.relative_error(layer(f, x + 0.5, edge_index, p), output) < bound
    assert checks.rotation_error(lambda x: layer(f, x, edge_index, p), x) > 0.05
    order = torch.randperm(len(x))
    place = order.argsort()
    assert checks.relative_error(layer(f[order], x[order], place[edge_index], p[order]), output[order]) < bound


def test_edge_cases():
    layer = pointconv.PointConv(2, 3, 1.0)
    f, x = torch.randn(3, 2), torch.zeros(3, 3, requires_grad=True)
    layer(f, x, graph.radius(x, 1.0), pointconv.density(x, 0.5)).sum().backward()
    assert x.grad.isfinite().all()
    none = torch.zeros(2, 0, dtype=torch.int64)
    assert torch.allclose(layer(f, x, none, torch.ones(3)), layer.mix.bias.expand(3, -1))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda layer, f, x, e, p: layer(f, x, e), "p: got None"),
        (lambda layer, f, x, e, p: layer(f, x, e, 0 * p), "positive densities"),
        (lambda layer, f, x, e, p: layer(f, x[:, :2], e, p), "f, x: got shapes"),
        (lambda layer, f, x, e, p: layer(f[:3], x, e, p), "f, x: got shapes"),
        (lambda layer, f, x, e, p: layer(f, x, e + 40, p), "edge_index"),
        (lambda *_: pointconv.density(torch.zeros(3, 3), 0.0), "bandwidth"),
        (lambda *_: pointconv.PointConv(1, 1, 1.0, weighting="half"), "weighting"),
        (lambda *_: pointconv.PointConv(0, 1, 1.0), "inputs=0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(pointconv.PointConv(4, 5, 1.5).double(), *cloud())
