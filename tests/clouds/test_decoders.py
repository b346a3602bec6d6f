"""Decoders of clouds: what a group may know, and a density that is one."""

import itertools
import math

import numpy
import pytest
import torch
from scipy import integrate, stats

from m2m import checks
from m2m.clouds.decoders import MLP, Autoregressive, Groups, morton, sort


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


@pytest.mark.parametrize("steps", [None, 0, 2])
def test_the_terms_are_the_log_determinant_and_the_noise(steps):
    model, z = awake(Autoregressive(2, points=4, hidden=(32,), steps=steps)), draw(1, 2)
    x = sort(draw(1, 4, 3, seed=1), steps or 0)
    jacobian = checks.jacobian(lambda p: model.noise(p.view(-1, 4, 3), z).flatten(1), x.flatten())
    assert jacobian.triu(1).abs().max() == 0
    expected = stats.norm.logpdf(model.noise(x, z).detach()).sum() + torch.linalg.slogdet(jacobian)[1].item()
    assert model.log_prob(x, z).item() == pytest.approx(expected, rel=1e-10)
    assert model.terms(x, z).sum().item() == pytest.approx(expected, rel=1e-10)


def test_with_a_broken_mask_it_is_no_density():
    """The first coordinate is told what it is to predict: the Jacobian is full, and the mass is not 1."""
    model = awake(Autoregressive(0, points=1, hidden=(8,)))
    model.net.layers[0].mask[:] = model.net.layers[1].mask[:] = 1
    x = draw(1, 1, 3)
    assert checks.jacobian(lambda p: model.noise(p.view(-1, 1, 3)).flatten(1), x.flatten()).triu(1).abs().max() > 1e-3
    axis = torch.linspace(-9, 9, 61, dtype=torch.float64)
    with torch.no_grad():
        p = model.log_prob(torch.cartesian_prod(axis, axis, axis)[:, None]).exp().sum() * 0.3**3
    assert abs(p.item() - 1) > 0.05


@pytest.mark.parametrize("steps", [None, 0, 1, 2])
def test_noise_and_cloud_are_inverse(steps):
    model, z = awake(Autoregressive(2, points=5, hidden=(16, 16), steps=steps)), draw(3, 2)
    x = sort(draw(3, 5, 3, seed=1), steps or 0)
    torch.testing.assert_close(model.cloud(model.noise(x, z), z), x, rtol=0, atol=1e-9)
    half = model.noise(x, z)
    half[:, 2:] = 0  # the first points are made of the first numbers alone
    torch.testing.assert_close(model.cloud(half, z)[:, :2], x[:, :2], rtol=0, atol=1e-9)
    assert (model.cloud(half, z)[:, 2:] - x[:, 2:]).abs().min() > 0


def test_the_order_counts_for_the_density():
    model, z, x = awake(Autoregressive(2, points=6, hidden=(32,))), draw(3, 2), sort(draw(3, 6, 3))
    assert (model.log_prob(x, z) - model.log_prob(x.flip(1), z)).abs().max() > 1e-3
    assert (model.log_prob(x, z) - model.log_prob(x, -z)).abs().max() > 1e-3  # and so does z


def test_a_set_has_n_factorial_times_the_density_of_a_list():
    """Over all orders of a list the density adds up to N! p only where the order does not matter, as at first."""
    new, x = Autoregressive(0, points=3, hidden=(8,)).double(), sort(draw(2, 3, 3))
    orders = torch.tensor(list(itertools.permutations(range(3))))
    over_orders = lambda model: model.log_prob(x[:, orders].flatten(0, 1)).view(2, 6).logsumexp(1)
    torch.testing.assert_close(over_orders(new), math.log(6) + new.log_prob(x), rtol=1e-12, atol=0)
    model = awake(Autoregressive(0, points=3, hidden=(8,)))
    assert (over_orders(model) - math.log(6) - model.log_prob(x)).abs().min() > 1e-3


def test_a_model_of_unordered_points_loses_all_but_one_of_n_factorial_parts():
    model = Autoregressive(0, points=3, hidden=(8,)).double()
    x = model.sample(torch.zeros(6000, 0, dtype=torch.float64), torch.Generator().manual_seed(0))[..., 0]
    sorted_share = (x.diff(dim=1) > 0).all(1).double().mean().item()
    assert sorted_share == pytest.approx(1 / 6, abs=4 * math.sqrt(5 / 36 / 6000))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_with_steps_samples_are_in_order_and_other_lists_have_no_density(axis):
    model, z = awake(Autoregressive(2, points=20, hidden=(16,), steps=axis)), draw(50, 2)
    x, free = model.sample(z), awake(Autoregressive(2, points=20, hidden=(16,))).sample(z)
    assert (x[..., axis].diff(dim=1) > 0).all() and not (free[..., axis].diff(dim=1) > 0).all(1).any()
    assert model.log_prob(x, z).isfinite().all() and (model.log_prob(x.flip(1), z) == -torch.inf).all()
    tied = x.clone()
    tied[:, 3, axis] = tied[:, 2, axis]
    assert model.log_prob(tied, z).isfinite().all()


def test_with_steps_the_whole_mass_is_in_order():
    """Two points: the second x over all that is to the right of the first one, by quadrature; to the left there is none."""
    model = awake(Autoregressive(0, points=2, hidden=(8,), steps=0))
    x = draw(1, 2, 3).expand(4001, 2, 3).clone()
    d = torch.linspace(-12, 8, 4001, dtype=torch.float64).exp()
    x[:, 1, 0] = x[:, 0, 0] + d
    with torch.no_grad():
        p = model.terms(x)[:, 1, 0].exp()
        assert integrate.simpson((p * d).numpy(), d.log().numpy()) == pytest.approx(1, abs=1e-6)
        x[:, 1, 0] = x[:, 0, 0] - d
        assert model.terms(x)[:, 1, 0].exp().max() == 0


def test_exponential_steps_are_logistic():
    """d exponential with mean w = 16/N: u is what a logistic distribution draws, and -d is no step."""
    model, uniform = Autoregressive(0, points=2, steps=1).double(), torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    x = torch.zeros(999, 2, 3, dtype=torch.float64)
    x[:, 1, 1] = -8.0 * torch.log1p(-uniform)  # w = 8, by the inverse of the distribution function
    torch.testing.assert_close(model.noise(x)[:, 1, 1], uniform.logit(), rtol=1e-9, atol=1e-9)
    assert (model.log_prob(-x) == -torch.inf).all()


def test_a_blind_decoder_knows_z_alone():
    model, z, x = awake(Autoregressive(2, points=4, hidden=(16,))), draw(2, 2), draw(2, 4, 3, seed=1)
    blind = model.terms(x, z, seen=torch.zeros_like(x))
    moved = x.clone()
    moved[:, 0] += 1
    again = model.terms(moved, z, seen=torch.zeros_like(x))
    assert torch.equal(blind[:, 1:], again[:, 1:]) and not torch.equal(model.terms(x, z)[:, 1:], model.terms(moved, z)[:, 1:])
    assert torch.equal(model.terms(x, z, seen=x), model.terms(x, z))


def test_blur_is_the_mean_over_noise():
    """On the last coordinate, which no other sees. Three nodes are exact for a square."""
    model, x, blur = awake(Autoregressive(0, points=2, hidden=(8,))), draw(3, 2, 3), 0.3
    expected = 0.0
    for node, weight in zip(*numpy.polynomial.hermite_e.hermegauss(3), strict=True):
        moved = x.clone()
        moved[:, -1, -1] += blur * node
        expected = expected + weight / math.sqrt(2 * math.pi) * model.terms(moved)[:, -1, -1]
    torch.testing.assert_close(model.terms(x, blur=blur)[:, -1, -1], expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(model.log_prob(x, blur=blur), model.terms(x, blur=blur).sum((1, 2)))
    assert (model.log_prob(x, blur=blur) < model.log_prob(x)).all()


@pytest.mark.parametrize("blur", [0.0, 0.5])
def test_blur_adds_its_square_to_the_best_variance(blur):
    model, x = Autoregressive(0, points=1, hidden=(4,)).double(), draw(50, 1, 3)
    best = 0.5 * (x.var(0, correction=0) + blur**2).log()[0]
    raw = best / (1 - best.abs() / model.transform.bound)
    bias = model.net.layers[-1].bias
    bias.data.copy_(torch.stack([x.mean(0)[0], raw], -1).flatten())
    torch.testing.assert_close(model.conditionals(x)[1][0, 0], best, rtol=1e-12, atol=0)
    at_best = lambda b: torch.autograd.grad(model.log_prob(x, blur=b).mean(), bias)[0].abs().max().item()
    assert at_best(blur) < 1e-12 and at_best(blur + 0.1) > 1e-3


def test_sorting():
    x = torch.tensor([[[2.0, 0, 1], [1, 5, 2], [2, 0, 0], [0, 9, 3]]])
    assert sort(x)[0].tolist() == [[0, 9, 3], [1, 5, 2], [2, 0, 1], [2, 0, 0]]
    assert sort(x, axis=2)[0, :, 2].tolist() == [0, 1, 2, 3]
    assert torch.equal(sort(x[0]), sort(x)[0])
    assert torch.equal(sort(x, "morton")[0], x[0, morton(x)[0].argsort()])


@pytest.mark.parametrize("axis", [0, 1, 2, "morton"])
def test_a_sorted_list_does_not_depend_on_the_order_that_came(axis):
    x, mixed = draw(2, 50, 3), torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sort(x[:, mixed], axis), sort(x, axis)) and not torch.equal(x[:, mixed], x)


def test_the_curve_visits_cells_by_their_shuffled_digits():
    axis = torch.arange(4) - 1.5  # the middles of 4 cells
    cells = torch.cartesian_prod(axis, axis, axis)
    digits = [f"{i:02b}{j:02b}{k:02b}" for i, j, k in itertools.product(range(4), repeat=3)]
    expected = [int(d[0] + d[2] + d[4] + d[1] + d[3] + d[5], 2) for d in digits]
    assert morton(cells, radius=2, bits=2).tolist() == expected and sorted(expected) == list(range(64))
    assert morton(torch.tensor([[9.0, -9.0, 9.0]]), radius=2, bits=1).tolist() == [5]  # outside: a cell on the faces


def test_neighbours_on_the_curve_are_near():
    x = draw(4, 200, 3)
    steps = {axis: sort(x, axis).diff(dim=1).norm(dim=-1).mean().item() for axis in (0, "morton")}
    unsorted = x.diff(dim=1).norm(dim=-1).mean().item()
    assert steps["morton"] < 0.6 * steps[0] < 0.6 * unsorted


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
    model = Autoregressive(4, 5)
    with pytest.raises(ValueError, match=r"x: got shape \(2, 6, 3\), expected \(B, 5, 3\)"):
        model.log_prob(torch.zeros(2, 6, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"x: got shape \(5, 3\), expected \(B, 5, 3\)"):
        model.log_prob(torch.zeros(5, 3), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="x: got 30 numbers that are NaN"):
        model.log_prob(torch.full((2, 5, 3), math.nan), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="blur: got -1"):
        model.log_prob(torch.zeros(2, 5, 3), torch.zeros(2, 4), blur=-1)
    with pytest.raises(ValueError, match=r"noise: got shape \(2, 15\), expected \(B, 5, 3\)"):
        model.cloud(torch.zeros(2, 15), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="steps: got 'x'"):
        Autoregressive(4, 5, steps="x")
    with pytest.raises(ValueError, match="axis: got 3"):
        sort(torch.zeros(2, 5, 3), axis=3)
    with pytest.raises(ValueError, match="axis: got 'hilbert'"):
        sort(torch.zeros(2, 5, 3), axis="hilbert")
    with pytest.raises(ValueError, match="bits=0"):
        morton(torch.zeros(2, 5, 3), bits=0)
    with pytest.raises(ValueError, match="radius=0"):
        morton(torch.zeros(2, 5, 3), radius=0)
    with pytest.raises(ValueError, match="x: got 15 numbers that are NaN"):
        sort(torch.full((1, 5, 3), math.nan))
