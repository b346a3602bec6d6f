"""Votes turn with the molecule, weights sum to one, nothing leaks from the removed atom, and the published network is as published."""

import pytest
import torch
from torch import nn

from m2m import checks
from m2m.data import missing_atom
from m2m.tensors import rotations, votes

NETWORKS = {"vectors": lambda: votes.Voter((6, 4), layers=2), "scalars": lambda: votes.Voter((6,), layers=2),
            "degree 2": lambda: votes.Voter((4, 4, 2), layers=3), "published": lambda: votes.PublishedVoter(5),
            "mixture": lambda: votes.MixtureVoter((6, 4), layers=2, arrows=3)}  # fmt: skip


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]().double()


def molecules(rows=3):
    batch = missing_atom.pools(0)["train"][torch.arange(rows)]
    return batch.x.double(), batch.element, torch.tensor([[0, 2]] * rows)


def test_guesses_turn_and_move_with_the_molecule(network):
    x, element, removed = molecules()
    turn, shift = (
        rotations.random(generator=torch.Generator().manual_seed(0), dtype=x.dtype),
        torch.tensor([3.0, 1, -2]).double(),
    )
    place, scores = network(x, element, removed)
    place_turned, scores_turned = network(x @ turn.T + shift, element, removed)
    assert torch.allclose(place_turned, place @ turn.T + shift, atol=1e-10) and torch.allclose(
        scores_turned, scores, atol=1e-10
    )
    assert checks.relative_error(place_turned, place) > 0.1


def test_votes(network):
    x, element, removed = molecules()
    cast = network.votes(x, element, removed)
    if isinstance(cast, votes.Mixture):
        pytest.skip("a mixture has a test of its own")
    left = votes.remaining(element >= 0, removed)
    assert torch.allclose(cast.weights.sum(-1), torch.ones(3, 2).double()) and (cast.weights[~left] == 0).all()
    place, scores = network(x, element, removed)
    assert torch.allclose(place, torch.einsum("brn,brnc->brc", cast.weights, cast.places))
    assert scores.shape == (3, 2, 5) and cast.places.shape == (*left.shape, 3)


def test_a_mixture_of_votes():
    torch.manual_seed(0)
    network, (x, element, removed) = NETWORKS["mixture"]().double(), molecules()
    cast = network.votes(x, element, removed)
    weights = cast.log_weights.exp().view(3, 2, -1, 3)
    left = votes.remaining(element >= 0, removed)
    assert torch.allclose(weights.sum((2, 3)), torch.ones(3, 2).double())
    assert (weights[~left] == 0).all() and (weights[left] > 0).all()
    assert cast.widths.min() >= 0.08 and cast.widths.max() <= 1.0 and cast.scores.shape == (3, 2, 5)
    arrows = (cast.places.view(3, 2, -1, 3, 3) - x[:, None, :, None])[left]
    assert torch.equal(network(x, element, removed)[0], cast.peak())
    assert (arrows[:, 0] - arrows[:, 1]).norm(dim=-1).min() > 1e-3  # the arrows of an atom differ from the start
    turn = rotations.random(generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    turned = network.votes(x @ turn.T + 1.0, element, removed)
    assert torch.allclose(turned.peak(), cast.peak() @ turn.T + 1.0, atol=1e-10)
    (cast.log_density(x[:, :2]).sum() + cast.scores[..., 0].sum()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    with pytest.raises(ValueError, match="degrees 0 and 1"):
        votes.MixtureVoter((6,))


@pytest.mark.parametrize(
    "wrong, named", [({"arrows": 0}, "arrows"), ({"narrow": 0.0}, "narrow"), ({"narrow": 0.5, "wide": 0.5}, "0 < narrow < wide")]
)
def test_a_mixture_needs_arrows_and_a_range_of_widths(wrong, named):
    with pytest.raises(ValueError, match=named):
        votes.MixtureVoter((6, 6), **wrong)


def mixture(places, weights, widths):
    """A `Mixture` of one removal from lists."""
    value = lambda given: torch.tensor(given)[None, None]
    return votes.Mixture(value(places), value(weights).log(), value(widths), torch.zeros(1, 1, 5))


def test_of_two_places_the_peak_is_one_and_the_mean_is_neither():
    places = [[1.0, 0.0, 0.0], [1.1, 0.0, 0.0], [-1.0, 0.0, 0.0], [-1.1, 0.0, 0.0], [0.0, 0.0, 0.0]]
    two = mixture(places, [0.27, 0.27, 0.23, 0.23, 0.0], [0.1] * 5)
    assert torch.allclose(two.peak()[0, 0], torch.tensor([1.05, 0.0, 0.0]), atol=1e-2)
    mean = (two.log_weights.exp()[..., None] * two.places).sum(2)
    assert mean.norm() < 0.1  # the control: the mean is neither
    density = lambda x: two.log_density(torch.tensor([[[x, 0.0, 0.0]]])).item()
    assert density(1.05) > density(-1.05) > density(0.0) + 5
    # one heavy but uncertain vote gives less density than two sure ones
    wide = mixture([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [2.0, 0.0, 0.1]], [0.5, 0.25, 0.25], [1.0, 0.1, 0.1]).peak()
    assert wide[0, 0, 0] > 1.9


def test_the_peak_is_never_asked_where_the_removed_atom_was():
    places = [[0.0, 0.25, 0.0], [0.0, -0.25, 0.0], [0.0, 0.0, 0.0]]
    gone, there = (mixture(places, [0.5, 0.5, third], [0.1, 0.1, 0.1]) for third in (0.0, 1e-6))
    assert gone.peak()[0, 0, 1].abs() > 0.1 > there.peak()[0, 0, 1].abs()


def test_the_density_is_one_in_all():
    steps = torch.linspace(-6, 6, 61)
    grid = torch.cartesian_prod(steps, steps, steps)
    single = mixture([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]], [0.5, 0.5], [0.6, 0.6])
    copies = votes.Mixture(*(value.expand(1, len(grid), *value.shape[2:]) for value in single))
    assert copies.log_density(grid[None]).exp().sum().item() * 0.2**3 == pytest.approx(1.0, abs=0.02)


def test_a_removed_atom_leaves_no_trace(network):
    x, element, removed = molecules()
    place, scores = network(x, element, removed)
    n = int((element[1] >= 0).sum())
    keep = [atom for atom in range(n) if atom != 2]
    alone = network(x[1:2, keep], element[1:2, keep], torch.tensor([[-1]]))
    assert torch.allclose(alone[0][0, 0], place[1, 1], atol=1e-12) and torch.allclose(alone[1][0, 0], scores[1, 1], atol=1e-12)
    x[1, 2] += 1.0  # nor does its place matter; that of another atom does
    assert torch.allclose(network(x, element, removed)[0][1, 1], place[1, 1], atol=1e-12)
    x[1, 1] += 0.1
    assert not torch.allclose(network(x, element, removed)[0][1, 1], place[1, 1], atol=1e-6)


def test_the_order_of_atoms_does_not_matter(network):
    x, element, removed = (value[:1] for value in molecules(1))
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(0))
    moved = order.argsort()[removed[0]][None]
    place, scores = network(x, element, removed)
    again = network(x[:, order], element[:, order], moved)
    assert torch.allclose(again[0], place, atol=1e-12) and torch.allclose(again[1], scores, atol=1e-12)


def test_scalars_cannot_point():
    x, element, removed = molecules()
    cast = NETWORKS["scalars"]().double().votes(x, element, removed)
    assert torch.equal(cast.places, x[:, None].expand_as(cast.places))
    assert not torch.allclose(NETWORKS["vectors"]().double().votes(x, element, removed).places, cast.places)


def test_gate():
    f = {0: torch.tensor([1.0, -2.0, 100.0]).view(1, 1, 1, 1, 3), 1: torch.ones(1, 3, 1, 1, 1)}
    out = votes.gate(f)
    assert torch.allclose(out[0].flatten(), nn.functional.silu(torch.tensor([1.0, -2.0]))) and torch.equal(out[1], f[1])


def per_pair(layer, f, basis, unit):
    """The published convolution as it is written: a filter for each pair, path and channel, and the coefficients as tensors."""
    levi = torch.linalg.cross(*torch.broadcast_tensors(torch.eye(3)[:, None], torch.eye(3)[None])).permute(2, 0, 1).double()
    coefficients = {(0, 0, 0): torch.ones(1, 1, 1), (0, 1, 1): torch.eye(3)[:, :, None], (1, 1, 0): torch.eye(3)[None],
                    (1, 0, 1): torch.eye(3)[:, None], (1, 1, 1): levi}  # fmt: skip
    out = {0: [], 1: []}
    for a, b, c in layer.paths:
        inner, outer = layer.inner[f"{a}{b}{c}"], layer.outer[f"{a}{b}{c}"]
        radial = outer(inner(basis).relu())  # (B, n, n, C)
        filters = radial[..., None] * (unit[..., None, :] if b else torch.ones(1).double())
        out[c].append(torch.einsum("wuv,bijcu,bvjrc->bwirc", coefficients[a, b, c].double(), filters, f[a]))
    return {l: torch.cat(parts, -1) for l, parts in out.items()}


def test_the_published_convolution_with_exchanged_sums():
    torch.manual_seed(0)
    layer = votes.Depthwise({0: 3, 1: 3}).double()
    f = {l: torch.randn(2, 2 * l + 1, 4, 2, 3).double() for l in (0, 1)}
    basis, unit = torch.rand(2, 4, 4, 4).double(), torch.randn(2, 4, 4, 3).double()
    got, expected = layer(f, basis, unit), per_pair(layer, f, basis, unit)
    assert all(torch.allclose(got[l], expected[l], atol=1e-12) for l in (0, 1))
    assert layer.channels_out == {0: 6, 1: 9}


def test_the_published_sizes():
    network = votes.PublishedVoter()
    assert [c.channels_out for c in network.convolutions] == [{0: 15, 1: 15}, {0: 30, 1: 45}, {0: 30, 1: 45}]
    assert torch.allclose(network.centres, torch.tensor([0.0, 2.5 / 3, 5 / 3, 2.5]))
    assert network.scores.in_features == 30 and network.arrow.in_features == 45 and network.arrow.bias is None
    weight = network.own[1]["1"].weight
    assert torch.allclose(weight @ weight.T, torch.eye(15), atol=1e-5) and "1" in network.own[0]
    assert votes.softplus(torch.zeros(1)).abs() < 1e-7
    assert torch.isfinite(votes.bend(torch.zeros(1, 3, 1, 1, 15), network.bias[0])).all()


def test_remaining():
    present = torch.tensor([[True, True, False]])
    left = votes.remaining(present, torch.tensor([[0, 1, -1]]))
    assert left.tolist() == [[[False, True, False], [True, False, False], [True, True, False]]]


def test_the_second_look_counts_what_stands_around_the_hole():
    torch.manual_seed(0)
    network = votes.MixtureVoter((6, 4), layers=2, arrows=3).double()
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double() / 3**0.5
    hole, left = torch.zeros(1, 1, 3).double(), torch.ones(1, 1, 4, dtype=torch.bool)
    f = torch.randn(6).double().expand(1, 4, 1, 6)
    summed = lambda count: network.look[0](
        torch.einsum("k,c->kc", network.basis(torch.ones(1).double())[0], f[0, 0, 0]).flatten() * count
    )
    for count in (3, 4):
        look = network.seen(corners[None, :count], f[:, :count], left[:, :, :count], hole)
        assert torch.allclose(look[0, 0], network.look[2](torch.nn.functional.silu(summed(count))))
    masked = left.clone()
    masked[..., 3] = False
    assert torch.allclose(
        network.seen(corners[None], f, masked, hole), network.seen(corners[None, :3], f[:, :3], left[:, :, :3], hole)
    )
