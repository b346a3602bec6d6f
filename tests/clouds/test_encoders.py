"""Encoders of clouds: order and number of points, gradients, and the error of the axis that shows in what it breaks."""

import math

import pytest
import torch

from m2m import checks
from m2m.clouds.encoders import Attention, PointNet

MAKERS = {"PointNet": lambda: PointNet(8, point=(16, 32), head=(16,)), "attention": lambda: Attention(8, width=16, layers=2)}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def plain(net, x):
    """PointNet as it is written in the formula."""
    return net.head(net.point(x).amax(1))


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_pointnet_is_the_formula_with_its_gradients(dtype, tolerance):
    net, x = PointNet(6, point=(16, 32, 64)).to(dtype), draw(5, 200, 3, dtype=dtype).requires_grad_()
    got, expected = net(x), plain(net, x)
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)
    weights = torch.randn_like(got)
    inputs = [x, *net.parameters()]
    for a, b in zip(*(torch.autograd.grad((out * weights).sum(), inputs) for out in (got, expected)), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
    mean = net.head(net.point(x).mean(1))  # the control
    assert (mean - got).abs().max() > 1e-3


@pytest.mark.parametrize("name", MAKERS)
def test_the_order_of_points_and_the_other_clouds_do_not_matter(name):
    net, x = MAKERS[name]().double(), draw(4, 50, 3)
    assert checks.permutation_error(lambda p: net(p[None]), x[0], equivariant=False) < 1e-12
    torch.testing.assert_close(torch.cat([net(cloud[None]) for cloud in x]), net(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(net(x[[2, 0]]), net(x)[[2, 0]], rtol=1e-12, atol=1e-12)
    assert (net(x)[0] - net(x)[1]).abs().max() > 1e-3  # the control: other clouds have other codes


def test_over_the_batch_both_matter():
    torch.manual_seed(0)
    net, x = Attention(8, width=16, over="batch").double(), draw(4, 50, 3)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    shuffled = x.clone()
    shuffled[1] = x[1, order]
    assert (net(shuffled)[1] - net(x)[1]).abs().max() > 1e-3  # its own points in another order
    assert (net(shuffled)[0] - net(x)[0]).abs().max() > 1e-3  # a neighbour's points in another order
    assert (net(x[:1])[0] - net(x)[0]).abs().max() > 1e-3  # alone
    right = Attention(8, width=16, over="points").double()
    right.load_state_dict(net.state_dict())  # the same weights; only the axis differs
    for other in (right(shuffled), torch.cat([right(x[:1]), right(x[1:])])):
        torch.testing.assert_close(other, right(x), rtol=1e-12, atol=1e-12)


def test_attention_mixes_points():
    """The code of a cloud is not the largest of what each point alone gives, as it is for PointNet."""
    x = draw(1, 30, 3)
    for name, mixes in {"attention": True, "PointNet": False}.items():
        net = MAKERS[name]().double()
        net.head = torch.nn.Identity()
        alone = torch.cat([net(x[:, i : i + 1]) for i in range(30)]).amax(0)
        assert ((net(x)[0] - alone).abs().max() > 1e-3) == mixes


@pytest.mark.parametrize("name", MAKERS)
def test_one_point_duplicates_and_training(name):
    net, x = MAKERS[name](), draw(3, 20, 3, dtype=torch.float32)
    assert net(x[:, :1]).shape == (3, 8)
    torch.testing.assert_close(net(torch.cat([x, x], 1)), net(x), rtol=1e-4, atol=1e-5)  # twice the points, the same shape
    net(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    "x, message",
    [
        (torch.zeros(5, 3), r"x: got shape \(5, 3\), expected at least one cloud"),
        (torch.zeros(0, 5, 3), r"x: got shape \(0, 5, 3\), expected at least one cloud"),
        (torch.zeros(2, 5, 2), r"x: got shape \(2, 5, 2\)"),
        (torch.zeros(2, 0, 3), "at least one point"),
        (torch.full((1, 5, 3), math.nan), "15 numbers that are NaN"),
    ],
)
def test_bad_clouds(name, x, message):
    with pytest.raises(ValueError, match=message):
        MAKERS[name]()(x)


def test_an_axis_that_is_none():
    with pytest.raises(ValueError, match="over: got 'channels'"):
        Attention(8, over="channels")
