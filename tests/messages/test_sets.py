"""Networks on sets: permutations, independence of the sets of a batch, attention against its formula, bad input."""

import pytest
import torch
from torch import nn

from m2m import checks, runtime
from m2m.messages import sets

NETWORKS = {"deep set": sets.DeepSet, "set transformer": sets.SetTransformer}
each = pytest.mark.parametrize("name", NETWORKS)


def network(name, **options):
    torch.manual_seed(0)
    return NETWORKS[name](5, 3, channels=8, layers=2, **options).double().eval()


def points(*shape):
    return torch.randn(*shape, 5, generator=runtime.generator(0), dtype=torch.float64)


@each
def test_permutations_go_through(name):
    model, x = network(name), points(4, 6)
    order = torch.randperm(6, generator=runtime.generator(1))
    assert checks.relative_error(model(x[:, order]), model(x)[:, order]) < 1e-12


def test_the_check_rejects_a_network_that_knows_the_order():
    model, x = network("set transformer"), points(4, 6)
    place = torch.arange(6).double()[:, None].expand(6, 5)
    order = torch.tensor([1, 0, 2, 3, 4, 5])
    assert checks.relative_error(model(x[:, order] + place), model(x + place)[:, order]) > 1e-2


@each
def test_a_set_knows_nothing_of_the_others_in_its_batch(name):
    """Attention over the wrong axis would mix them: its control is PyTorch's default, where the batch comes second."""
    model, x = network(name), points(4, 6)
    alone = torch.cat([model(one[None]) for one in x])
    assert checks.relative_error(model(x), alone) < 1e-12
    mixed = nn.MultiheadAttention(5, 1, dtype=torch.float64)
    alone = torch.cat([mixed(one[None], one[None], one[None])[0] for one in x])
    assert checks.relative_error(mixed(x, x, x)[0], alone) > 1e-2


@each
def test_every_element_hears_every_other(name):
    x = points(1, 4).requires_grad_()
    network(name)(x)[0, 0].sum().backward()
    assert (x.grad[0].abs().sum(1) > 0).all()


def test_attention_is_its_formula():
    """One layer, one head: softmax(q k / sqrt(C)) v, then the sum with what was there."""
    model, x = network("set transformer", heads=1), points(2, 3)
    layer, f = model.layers[0], model.embed(x)
    attention = layer.self_attn
    q, k, v = nn.functional.linear(layer.norm1(f), attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
    f = f + attention.out_proj((q @ k.mT / 8**0.5).softmax(-1) @ v)
    f = f + layer.linear2(nn.functional.gelu(layer.linear1(layer.norm2(f))))
    assert checks.relative_error(layer(model.embed(x)), f) < 1e-12


def test_a_deep_set_is_its_formula():
    model, x = network("deep set"), points(2, 3)
    f = x @ model.embed.weight.T + model.embed.bias
    for layer in model.layers:
        mean = f.sum(1) / 3
        f = torch.stack([f[:, i] + layer(torch.cat([f[:, i], mean], -1)) for i in range(3)], 1)
    assert checks.relative_error(model(x), model.read(f)) < 1e-12


@each
def test_one_element_is_a_set(name):
    assert network(name)(points(2, 1)).isfinite().all()


@each
@pytest.mark.parametrize("shape", [(6,), (4, 0)])
def test_bad_sets_are_refused(name, shape):
    with pytest.raises(ValueError, match=r"x: got shape .* expected \(B, n, 5\)"):
        network(name)(points(*shape))
    with pytest.raises(ValueError, match="expected"):
        network(name)(points(2, 3)[..., :4])


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="heads: got 3, expected a divisor of the 8 channels"):
        network("set transformer", heads=3)
    with pytest.raises(ValueError, match="layers: got 0"):
        sets.DeepSet(5, 3, layers=0)
