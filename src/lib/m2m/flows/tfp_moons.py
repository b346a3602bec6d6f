"""The moons' masked autoregressive flow in TensorFlow Probability, and its weights in PyTorch.

The only module of the library that needs TensorFlow. TensorFlow Probability 0.25 works with `tf_keras`, Keras 2 under
its own name; with Keras 3, a model made of `distribution.log_prob(x)` cannot be built. The training step is a
`tf.function` instead, which works with any of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager

import numpy
import torch
from tqdm.auto import tqdm

from m2m.flows import bijectors, flow


@contextmanager
def _silent():
    """Send what the C++ side writes to stderr nowhere: TensorFlow greets with eight lines that nothing else stops."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved), os.close(null)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with _silent():
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    tf.constant(0.0)

tfb, tfd = tfp.bijectors, tfp.distributions


def build(
    layers: int = 3, hidden: Sequence[int] = (128, 128), dim: int = 2, permute: bool = True, dtype: str = "float32"
) -> tfd.Distribution:
    """Standard normal seen through `layers` masked autoregressive flows, dimensions reversed between each two.

    `AutoregressiveNetwork(params=2)` gives two numbers per dimension, a shift and a log-scale; the 2 is not D.
    `tfb.Chain` lists its bijectors as functions compose: the last one meets the noise first.
    """
    # Keras layers take their precision from its global setting, some when they are made, some at the first call
    before = tf_keras.backend.floatx()
    tf_keras.backend.set_floatx(dtype)
    try:
        chain = []
        for k in range(layers):
            if permute and k > 0:
                chain.append(tfb.Permute(list(range(dim))[::-1]))
            network = tfb.AutoregressiveNetwork(params=2, event_shape=[dim], hidden_units=list(hidden), activation="relu")
            chain.append(tfb.MaskedAutoregressiveFlow(network))
        base = tfd.MultivariateNormalDiag(tf.zeros(dim, dtype))
        distribution = tfd.TransformedDistribution(base, tfb.Chain(chain))
        distribution.log_prob(tf.zeros([1, dim], dtype))  # makes the variables; before it there is nothing to train
        return distribution
    finally:
        tf_keras.backend.set_floatx(before)


def train(
    distribution: tfd.Distribution,
    x: numpy.ndarray,
    *,
    epochs: int = 50,
    batch_size: int = 256,
    lr: float = 5e-3,
    clip: float = 0.5,
    seed: int = 0,
    progress: bool = True,
    callback: Callable[[int], None] | None = None,
) -> list[float]:
    """Maximum likelihood with Adam and a cosine schedule; returns the mean loss of each epoch in nats.

    Args:
        x: training points, (N, D).
        clip: the largest norm of the gradient; a flow with unbounded log-scales jumps without one.
        callback: called with the number of finished epochs after each one.

    Raises:
        ValueError: points of another shape or not finite, or a batch larger than the data.
    """
    x = numpy.asarray(x, dtype=distribution.dtype.as_numpy_dtype)
    if x.ndim != 2 or x.shape[1] != distribution.event_shape[0] or not numpy.isfinite(x).all():
        raise ValueError(f"x: got shape {x.shape}, expected finite points (N, {distribution.event_shape[0]})")
    if len(x) < batch_size:
        raise ValueError(f"batch_size: got {batch_size} for {len(x)} points, expected at most as many")
    batches = len(x) // batch_size
    optimizer = tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(lr, epochs * batches))

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(distribution.log_prob(batch))
        # The weights carry their masks as constraints, which this optimizer applies: they stay autoregressive
        variables = distribution.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(tf.clip_by_global_norm(gradients, clip)[0], variables, strict=True))
        return loss

    random = numpy.random.default_rng(seed)
    losses = []
    for epoch in tqdm(range(epochs), desc="epochs", disable=not progress, leave=False):
        order = random.permutation(len(x))[: batches * batch_size].reshape(batches, batch_size)
        losses.append(float(numpy.mean([step(x[index]) for index in order])))
        if callback:
            callback(epoch + 1)
    return losses


def networks(distribution: tfd.Distribution) -> list[tf_keras.Model]:
    """The autoregressive networks, in the order in which noise meets them."""
    parts = reversed(distribution.bijector.bijectors)
    return [part._shift_and_log_scale_fn for part in parts if isinstance(part, tfb.MaskedAutoregressiveFlow)]


def in_float64(distribution: tfd.Distribution) -> tfd.Distribution:
    """The same flow with the same weights in double precision, to tell rounding from error."""
    twin = build(**_shape(distribution), dtype="float64")
    for net, copy in zip(networks(distribution), networks(twin), strict=True):
        copy.set_weights([numpy.asarray(w, dtype=numpy.float64) for w in net.get_weights()])
    return twin


def to_torch(distribution: tfd.Distribution) -> flow.Flow:
    """The same flow in PyTorch, weight by weight, in the same precision.

    The two libraries agree in everything that matters: degrees ascending by the same rule, outputs grouped by dimension,
    shift before log-scale. Only the kernels are transposed.
    """
    copy = flow.maf(**_shape(distribution), transform=bijectors.AffineTransform(bound=None))
    copy = copy.to(torch.float64 if distribution.dtype == tf.float64 else torch.float32)
    layers = [part for part in copy.chain if isinstance(part, bijectors.MaskedAutoregressive)]
    with torch.no_grad():
        for layer, network in zip(layers, networks(distribution), strict=True):
            for linear, (kernel, bias) in zip(layer.net.layers, _kernels(network), strict=True):
                linear.weight.copy_(torch.from_numpy(kernel.T))
                linear.bias.copy_(torch.from_numpy(bias))
    return copy


def _kernels(network: tf_keras.Model) -> list[list[numpy.ndarray]]:
    """Kernel and bias of each layer of an autoregressive network."""
    return [layer.get_weights() for layer in network._network.layers if layer.get_weights()]


def _shape(distribution: tfd.Distribution) -> dict:
    """The arguments that `build` and `flow.maf` need for a flow of this shape."""
    nets = networks(distribution)
    return {
        "dim": int(distribution.event_shape[0]),
        "layers": len(nets),
        "hidden": [kernel.shape[1] for kernel, _ in _kernels(nets[0])[:-1]],
        "permute": any(isinstance(part, tfb.Permute) for part in distribution.bijector.bijectors),
    }
