"""The moons' flow in TensorFlow Probability: the same weights in PyTorch are the same density."""

import math
import subprocess
import sys

import numpy
import pytest
import torch

pytest.importorskip("tensorflow_probability")
pytest.importorskip("tf_keras")

from m2m import checks, runtime  # noqa: E402
from m2m.data import moons  # noqa: E402
from m2m.flows import bijectors, tfp_moons  # noqa: E402
from m2m.flows.tfp_moons import tf, tf_keras  # noqa: E402

SHAPES = [dict(), dict(permute=False), dict(layers=2, hidden=[16], dim=5), dict(layers=1, hidden=[3, 4, 5], dim=1)]


@pytest.fixture(scope="module", autouse=True)
def seeds():
    tf_keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def trained():
    """A flow after a few steps, and its losses: weights that are no longer their start."""
    distribution = tfp_moons.build(layers=2, hidden=[32, 32])
    x = moons.sample(1000, generator=runtime.generator(0)).numpy()
    return distribution, tfp_moons.train(distribution, x, epochs=10, batch_size=100, progress=False)


def with_biases(distribution):
    """Random biases: they start at zero, where a lost one would not show."""
    random = numpy.random.default_rng(0)
    for network in tfp_moons.networks(distribution):
        network.set_weights([w if w.ndim > 1 else random.normal(size=w.shape) / 3 for w in network.get_weights()])
    return distribution


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("dtype", "precision"), [("float32", 1e-5), ("float64", 1e-12)])
def test_the_same_weights_are_the_same_density(shape, dtype, precision):
    distribution = with_biases(tfp_moons.build(**shape, dtype=dtype))
    copy = tfp_moons.to_torch(distribution)
    x = torch.randn(200, shape.get("dim", 2), generator=runtime.generator(0), dtype=getattr(torch, dtype))
    theirs = torch.from_numpy(distribution.log_prob(x.numpy()).numpy())
    ours = copy.log_prob(x).detach()
    assert ours.dtype == theirs.dtype == x.dtype
    torch.testing.assert_close(ours, theirs, rtol=precision, atol=precision)
    # And the same samples from the same noise
    z = x.numpy()
    torch.testing.assert_close(
        copy(x)[0].detach(),
        torch.from_numpy(distribution.bijector.forward(z).numpy()),
        rtol=10 * precision,
        atol=10 * precision,
    )


def test_a_copy_that_differs_in_its_conventions_is_told_apart(trained):
    distribution, _ = trained
    x = moons.sample(200, generator=runtime.generator(1))
    theirs = torch.from_numpy(distribution.log_prob(x.numpy()).numpy())
    difference = lambda copy: (copy.log_prob(x) - theirs).abs().max().item()
    assert difference(tfp_moons.to_torch(distribution)) < 1e-5 * theirs.abs().max()
    bounded, unpermuted, swapped = (tfp_moons.to_torch(distribution) for _ in range(3))
    for part in bounded.chain:
        if isinstance(part, bijectors.MaskedAutoregressive):
            part.transform = bijectors.AffineTransform()
    del unpermuted.chain[1]
    last = swapped.chain[0].net.layers[-1]
    last.weight.data, last.bias.data = (
        p.reshape(2, 2, -1).flip(1).reshape(p.shape) for p in (last.weight.data, last.bias.data)
    )
    assert min(difference(copy) for copy in (bounded, unpermuted, swapped)) > 1e-2


def test_training_lowers_the_loss_and_keeps_the_flow_autoregressive(trained):
    distribution, losses = trained
    assert len(losses) == 10 and losses[-1] < losses[0] - 0.3 and all(math.isfinite(loss) for loss in losses)
    copy = tfp_moons.to_torch(distribution).double()
    for part in copy.chain:
        if isinstance(part, bijectors.MaskedAutoregressive):
            for layer in part.net.layers:
                assert torch.equal(layer.weight, layer.masked_weight()), "a weight outside the mask has learned"
    assert checks.log_det_error(copy, torch.randn(3, 2, dtype=torch.float64)) < 1e-10


def test_double_precision_keeps_the_weights(trained):
    distribution, _ = trained
    x = moons.sample(100, generator=runtime.generator(2)).numpy()
    double = tfp_moons.in_float64(distribution)
    value = double.log_prob(x.astype(numpy.float64)).numpy()
    assert value.dtype == numpy.float64
    numpy.testing.assert_allclose(value, distribution.log_prob(x).numpy(), rtol=1e-4, atol=1e-4)
    assert tf_keras.backend.floatx() == "float32", "the global precision was left changed"


def test_training_repeats_and_counts_its_epochs():
    def run():
        tf_keras.utils.set_random_seed(1)
        distribution, finished = tfp_moons.build(layers=1, hidden=[8]), []
        x = moons.sample(100, generator=runtime.generator(0))
        losses = tfp_moons.train(distribution, x, epochs=3, batch_size=30, seed=2, progress=False, callback=finished.append)
        assert finished == [1, 2, 3]
        return losses

    assert run() == pytest.approx(run(), rel=1e-5)


def test_two_parameters_per_dimension_and_not_because_there_are_two_dimensions():
    network = tfp_moons.networks(tfp_moons.build(**SHAPES[2]))[0]
    assert network(tf.zeros([7, 5])).shape == (7, 5, 2)


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (numpy.zeros((10, 3)), {}, r"x: got shape \(10, 3\), expected finite points \(N, 2\)"),
        (numpy.zeros(10), {}, r"x: got shape \(10,\), expected finite points \(N, 2\)"),
        (numpy.full((10, 2), math.nan), {}, r"x: got shape \(10, 2\), expected finite points"),
        (numpy.zeros((10, 2)), dict(batch_size=11), r"batch_size: got 11 for 10 points, expected at most as many"),
    ],
)
def test_refused(x, arguments, message):
    with pytest.raises(ValueError, match=message):
        tfp_moons.train(tfp_moons.build(layers=1, hidden=[4]), x, **{"batch_size": 5} | arguments)


def test_the_rest_of_the_library_does_not_load_tensorflow():
    code = "import sys; from m2m import checks, plotting, training; from m2m.flows import flow, stochastic;"
    code += "sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
