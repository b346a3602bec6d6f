"""The digits table: its parts are densities and bijectors, and a model that cheats is found out."""

import pytest
import torch

from m2m import checks, runtime
from m2m.data import digits as data
from m2m.experiments import digits
from m2m.flows import flow


@pytest.fixture(scope="module")
def histograms():
    return digits.marginals("histograms")


def test_histograms_are_inverted_with_their_log_determinant(histograms):
    z = torch.randn(200, 64, generator=runtime.generator(0))
    x, log_det = histograms.forward(z)
    assert 0 <= x.min() and x.max() < 1
    again, log_det_x = histograms.inverse(x)
    # float32 knows x to 6e-8; where the density in x is high that is much in z
    assert (again - z).abs().mean() < 1e-4 and (log_det + log_det_x).abs().mean() < 1e-3


def test_log_determinant_of_histograms_is_autograds(histograms):
    x = data.dequantise(data.load("test")[0][:3], runtime.generator(1)).double()
    exact = [torch.linalg.slogdet(checks.jacobian(lambda p: histograms.inverse(p)[0], row))[1] for row in x]
    torch.testing.assert_close(histograms.inverse(x)[1], torch.stack(exact), atol=1e-4, rtol=1e-5)


def test_histograms_have_the_code_length_of_the_table(histograms):
    """An independent count: the mean of -log2 p(level)."""
    pixels = data.load("test")[0]
    exact = -histograms.p.log2().gather(1, pixels.T).mean().item()
    model, _ = digits.baseline("histograms")
    assert digits.bits(model, "test") == pytest.approx(exact, abs=1e-4)


def test_uniform_costs_log2_17():
    assert digits.run(model="uniform", seed=0)["test"] == pytest.approx(4.0875, abs=1e-4)


@pytest.fixture(scope="module")
def copula(histograms):
    return digits.bits(digits.gaussian(histograms)[0], "test", draws=8)


@pytest.mark.parametrize("name", digits.FLOWS)
def test_every_flow_starts_at_the_copula_and_has_the_size_it_says(name, copula):
    model = digits.build(name)
    assert digits.bits(model, "test", draws=8) == pytest.approx(copula, abs=1e-4)
    assert 56_000 < digits.parameters(model) < 61_000


def test_flow_learns(copula):
    found = digits.run(model="realnvp", seed=0, steps=150, batch_size=128, lr=5e-3)
    assert found["start"] == pytest.approx(copula, abs=1e-4)
    assert found["test"] < copula - 0.03


def test_linear_before_marginals_is_triangular():
    """So that MADE's order is the order of the pixels."""
    model, _ = digits.baseline("copula")
    x = torch.randn(1, 64, generator=runtime.generator(2))
    jacobian = checks.jacobian(lambda z: model.chain[0].forward(z)[0], x[0])
    assert jacobian.triu(1).abs().max() < 1e-6 < jacobian.tril(-1).abs().max()


def test_a_density_with_the_wrong_determinant_is_found_out(histograms):
    """Control: forgetting one factor gives a 'density' whose mass is not one, and bits below the truth."""

    class Cheat(digits.Histograms):
        def inverse(self, x):
            z, log_det = super().inverse(x)
            return z, log_det + 1.0

    cheat = Cheat(data.load("train")[0])
    honest = digits.bits(flow.Flow(64, [histograms]), "test")
    assert digits.bits(flow.Flow(64, [cheat]), "test") < honest - 0.02
    x = data.dequantise(data.load("test")[0][:1], runtime.generator(1)).double()
    exact = torch.linalg.slogdet(checks.jacobian(lambda p: cheat.inverse(p)[0], x[0]))[1]
    assert abs(cheat.inverse(x)[1].item() - exact.item()) > 0.9


def test_samples_survive_the_results_file():
    images = torch.randint(17, (3, 64), generator=runtime.generator(0))
    assert torch.equal(digits.decode(digits.encode((images + 0.5) / 17)).view(3, 64), images)
    assert digits.encode(torch.tensor([-1.0, 2.0])) == "0g"


def test_tasks_have_all_models_and_three_seeds():
    long = digits.tasks("gpu")
    assert {task["model"] for task in long} == set(digits.BASELINES + digits.FLOWS)
    assert all(sum(task["model"] == name for task in long) == 3 for name in digits.FLOWS)


def test_unknown_model():
    with pytest.raises(ValueError, match="model: got 'vae'"):
        digits.train("vae")
