"""Encoders of clouds: order and number of points, gradients, and the error of the axis that shows in what it breaks."""

import math

import pytest
import torch

from m2m import checks
from m2m.clouds.encoders import Attention, AttentionPool, NeighbourAttention, PointNet, nearest

MAKERS = {
    "PointNet": lambda: PointNet(8, point=(16, 32), head=(16,)),
    "attention": lambda: Attention(8, width=16, layers=2),
    "attention, attention pooling": lambda: Attention(8, width=16, layers=2, pool="attention"),
    "neighbours": lambda: Attention(8, width=16, layers=2, over="neighbours", k=5),
}


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
    for name, mixes in {"attention": True, "neighbours": True, "PointNet": False}.items():
        net = MAKERS[name]().double()
        net.head = torch.nn.Identity()
        alone = torch.cat([net(x[:, i : i + 1]) for i in range(30)]).amax(0)
        assert ((net(x)[0] - alone).abs().max() > 1e-3) == mixes


@pytest.mark.parametrize("name", MAKERS)
def test_one_point_duplicates_and_training(name):
    net, x = MAKERS[name](), draw(3, 20, 3, dtype=torch.float32)
    assert net(x[:, :1]).shape == (3, 8)
    if name != "neighbours":  # where each point has its double for a neighbour
        torch.testing.assert_close(net(torch.cat([x, x], 1)), net(x), rtol=1e-4, atol=1e-5)  # twice the points, the same shape
    assert net(x[:, :1].expand(3, 20, 3)).isfinite().all()
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


def test_with_all_points_as_neighbours_it_is_torchs_layer():
    torch.manual_seed(0)
    ours, f = NeighbourAttention(16, 4).double(), draw(3, 9, 16)
    theirs = torch.nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, norm_first=True, batch_first=True).double()
    theirs.self_attn.in_proj_weight.data, theirs.self_attn.in_proj_bias.data = ours.inputs.weight.data, ours.inputs.bias.data
    for mine, other in (
        (ours.out, theirs.self_attn.out_proj),
        (ours.norm1, theirs.norm1),
        (ours.norm2, theirs.norm2),
        (ours.feed[0], theirs.linear1),
        (ours.feed[2], theirs.linear2),
    ):
        other.load_state_dict(mine.state_dict())
    everyone = torch.arange(9).expand(3, 9, 9)
    torch.testing.assert_close(ours(f, everyone), theirs(f), rtol=1e-10, atol=1e-12)
    assert (ours(f, everyone[..., :4]) - theirs(f)).abs().max() > 1e-3  # the control


def test_a_point_hears_its_neighbours_and_no_others():
    layer, f, x = NeighbourAttention(8, 2).double(), draw(1, 30, 8), draw(1, 30, 3)
    near = nearest(x, 4)
    moved = f.clone()
    moved[0, 7, 0] += 1
    heard = (layer(moved, near) - layer(f, near)).detach().abs().amax(-1)[0] > 1e-9
    assert torch.equal(heard, (near[0] == 7).any(-1)) and 1 <= heard.sum() < 30


@pytest.mark.parametrize("n", [1, 2, 5, 60])
def test_the_nearest_are_those_of_all_distances(n):
    x = draw(3, n, 3)
    got, expected = nearest(x, 6), torch.cdist(x, x).topk(min(7, n), largest=False).indices
    assert got.shape == expected.shape and torch.equal(got.sort(-1).values, expected.sort(-1).values)
    assert torch.equal(got[..., 0], torch.arange(n).expand(3, n))  # itself first


def test_attention_pooling_is_a_mean_where_the_query_says_nothing():
    pool, f = AttentionPool(8, 2).double(), draw(2, 10, 8)
    weighed = pool(f)
    pool.score.weight.data.zero_()
    torch.testing.assert_close(pool(f), pool.out(pool.value(f.mean(1))), rtol=1e-12, atol=1e-12)
    assert (weighed - pool(f)).abs().max() > 1e-3


@pytest.mark.parametrize("maker", [lambda: Attention(8, width=16, points=20), lambda: PointNet(8, point=(16, 32), points=20)])
def test_a_part_of_the_points_is_read(maker):
    net, x = maker().double(), draw(2, 50, 3)
    torch.testing.assert_close(net(x), net(x[:, :20]), rtol=1e-12, atol=0)
    assert (net(x) - net(x[:, 20:])).abs().max() > 1e-3  # so the order counts, for which are the first
    assert net(x[:, :5]).shape == (2, 8)


def test_options_that_are_none():
    with pytest.raises(ValueError, match="over: got 'channels', expected 'points', 'neighbours' or 'batch'"):
        Attention(8, over="channels")
    with pytest.raises(ValueError, match="pool: got 'mean', expected 'max' or 'attention'"):
        Attention(8, pool="mean")
    with pytest.raises(ValueError, match="k: got 0"):
        Attention(8, over="neighbours", k=0)
    with pytest.raises(ValueError, match="points: got 0"):
        Attention(8, points=0)
    with pytest.raises(ValueError, match="heads: got 3 for width 16"):
        Attention(8, width=16, heads=3, over="neighbours")
