"""Decoders of clouds: what a group may know, and a density that is one."""

import math

import pytest
import torch
from scipy import integrate, stats

from m2m.clouds.decoders import MLP, Autoregressive, Groups, sort


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def awake(model):
    """Weights at random in the last layer too."""
    model.net.layers[-1].reset_parameters()
    return model.double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("maker", [lambda: MLP(5, 24), *(lambda g=g: Groups(5, 24, g) for g in (1, 2, 8, 24))])
def test_clouds_and_gradients(maker, dtype):
    model, z = maker().to(dtype), draw(3, 5, dtype=dtype)
    x = model(z)
    assert x.shape == (3, 24, 3) and x.dtype == dtype
    torch.testing.assert_close(model(z[1:2])[0], x[1], rtol=1e-4, atol=1e-5)  # a latent knows nothing of the others
    x.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())


def test_a_group_knows_those_before_and_not_those_after():
    model, z = Groups(5, 12, 4).double(), draw(1, 5)
    before = model(z)
    with torch.no_grad():
        model.write[2][-1].bias += 1  # moves the third group
    moved = (model(z) - before).detach().abs().amax(-1)[0].reshape(4, 3).amax(1)
    assert moved[0] == moved[1] == 0 and moved[2] == pytest.approx(1) and moved[3] > 1e-3


def test_one_group_is_an_mlp():
    model = Groups(5, 12, 1, width=16, hidden=(8,)).double()
    same = MLP(5, 12, hidden=(16, 8)).double()
    for a, b in zip(same.parameters(), model.parameters(), strict=True):
        a.data.copy_(b)
    z = draw(4, 5)
    torch.testing.assert_close(same(z), model(z), rtol=1e-12, atol=0)


def test_the_density_integrates_to_one():
    """One point: three coordinates, summed over a grid wide enough."""
    model = awake(Autoregressive(2, points=1, hidden=(8,)))
    axis = torch.linspace(-9, 9, 91, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis, axis)[:, None]
    with torch.no_grad():
        p = model.log_prob(grid, draw(1, 2).expand(len(grid), 2)).exp().reshape(91, 91, 91)
    total = integrate.simpson(integrate.simpson(integrate.simpson(p.numpy(), axis), axis), axis)
    assert total == pytest.approx(1, abs=1e-4)


def test_at_first_it_is_a_normal_distribution():
    model, x = Autoregressive(0, points=7).double(), draw(3, 7, 3)
    expected = stats.norm.logpdf(x.numpy()).sum((1, 2))
    assert model.log_prob(x).tolist() == pytest.approx(expected.tolist(), rel=1e-12)
    assert model.sample(torch.zeros(2, 0, dtype=torch.float64)).shape == (2, 7, 3)


def test_samples_are_of_the_density():
    model, z = awake(Autoregressive(2, points=1, hidden=(8,))), draw(1, 2)
    with torch.no_grad():
        x = model.sample(z.expand(4000, 2), torch.Generator().manual_seed(0))[:, 0]
        mu, alpha = model.transform.shift_and_log_scale(model.net(x, z.expand(4000, 2)))
    noise = ((x - mu) / alpha.exp()).numpy()  # if they are, this is standard normal, whatever came before
    assert all(stats.kstest(noise[:, i], "norm").pvalue > 1e-3 for i in range(3))
    assert min(stats.kstest(x.numpy()[:, i], "norm").pvalue for i in range(3)) < 1e-6  # the control


def test_the_order_counts_for_the_density():
    model, z, x = awake(Autoregressive(2, points=6, hidden=(32,))), draw(3, 2), sort(draw(3, 6, 3))
    assert (model.log_prob(x, z) - model.log_prob(x.flip(1), z)).abs().max() > 1e-3
    assert (model.log_prob(x, z) - model.log_prob(x, -z)).abs().max() > 1e-3  # and so does z


def test_sorting():
    x = torch.tensor([[[2.0, 0, 1], [1, 5, 2], [2, 0, 0], [0, 9, 3]]])
    assert sort(x)[0].tolist() == [[0, 9, 3], [1, 5, 2], [2, 0, 1], [2, 0, 0]]
    assert sort(x, axis=2)[0, :, 2].tolist() == [0, 1, 2, 3]
    assert torch.equal(sort(x[0]), sort(x)[0])


def test_bad_input():
    with pytest.raises(ValueError, match="groups: got 5 for 12 points"):
        Groups(4, 12, 5)
    with pytest.raises(ValueError, match="groups: got 0"):
        Groups(4, 12, 0)
    with pytest.raises(ValueError, match="points: got 0"):
        MLP(4, 0)
    with pytest.raises(ValueError, match="points: got 1.5"):
        Autoregressive(4, 1.5)
    with pytest.raises(ValueError, match="context: got none"):
        Autoregressive(4, 5).log_prob(torch.zeros(2, 5, 3))
    with pytest.raises(ValueError, match=r"x: got shape \(2, 18\), expected \(..., 15\)"):
        Autoregressive(4, 5).log_prob(torch.zeros(2, 6, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="axis: got 3"):
        sort(torch.zeros(2, 5, 3), axis=3)
    with pytest.raises(ValueError, match="x: got 15 numbers that are NaN"):
        sort(torch.full((1, 5, 3), math.nan))
