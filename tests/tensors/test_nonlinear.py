"""Non-linearities: what they compute, that they turn with their input, and their gradients at zero."""

import pytest
import torch
from torch.nn import functional

from m2m import runtime
from m2m.tensors import irreps, nonlinear, rotations

KINDS = {"norm": nonlinear.NormNonlinearity, "gate": nonlinear.Gate}
CHANNELS = {0: 3, 1: 2, 3: 2}


def made(kind, channels=CHANNELS, nodes=5):
    module = KINDS[kind](channels).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module, irreps.random(module.channels_in, nodes, generator=runtime.generator(0), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_equivariant(kind):
    module, f = made(kind)
    R = rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    got, expected = module(irreps.rotate(f, R)), irreps.rotate(module(f), R)
    assert {l: v.shape[1] for l, v in got.items()} == CHANNELS == module.channels_out
    assert all(torch.allclose(got[l], expected[l], atol=1e-12) for l in CHANNELS)
    assert not torch.allclose(module({l: 2 * v for l, v in f.items()})[1], 2 * module(f)[1], atol=1e-2)  # not linear


def test_bending_each_component_is_not_equivariant():
    _, f = made("norm")
    R = rotations.random(generator=runtime.generator(1), dtype=torch.float64)
    assert not torch.allclose(functional.silu(f[1] @ R.T), functional.silu(f[1]) @ R.T, atol=1e-2)


def test_norm_is_the_formula():
    module, f = made("norm")
    eta = lambda x: (0.5 * x.exp() + 0.5).log()
    got = module(f)
    assert torch.allclose(got[0], eta(f[0] + module.bias["0"]))
    assert torch.allclose(got[1], eta(f[1].norm(dim=-1, keepdim=True) + module.bias["1"]) * f[1])
    other = nonlinear.NormNonlinearity(CHANNELS, activation=torch.tanh).double()
    assert torch.allclose(other(f)[3], f[3].norm(dim=-1, keepdim=True).tanh() * f[3])


def test_gate_is_the_formula():
    module, f = made("gate")
    got = module(f)
    assert module.channels_in == {0: 7, 1: 2, 3: 2}
    assert torch.allclose(got[0], functional.silu(f[0][:, :3]))
    assert torch.allclose(got[3], f[0][:, 5:].sigmoid() * f[3])
    assert set(made("gate", {1: 2})[0](made("gate", {1: 2})[1])) == {1}  # no numbers need go out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_gradients_at_zero_and_no_nodes(kind, dtype):
    for nodes in (4, 0):
        module = KINDS[kind](CHANNELS).to(dtype)
        f = {l: torch.zeros(nodes, c, 2 * l + 1, dtype=dtype).requires_grad_() for l, c in module.channels_in.items()}
        out = module(f)
        sum(value.sum() for value in out.values()).backward()
        assert all(value.isfinite().all() and value.dtype == dtype for value in out.values())
        assert all(value.grad.isfinite().all() for value in f.values())
    slope = functional.silu  # the control: dividing by the length has no gradient at zero
    bad = torch.zeros(1, 3, requires_grad=True)
    (slope(bad.norm(dim=-1, keepdim=True)) * bad / bad.norm(dim=-1, keepdim=True)).sum().backward()
    assert not bad.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_input(kind):
    module, f = made(kind)
    with pytest.raises(ValueError):
        module(f | {1: f[1][:, :1]})
    with pytest.raises(ValueError):
        module({0: f[0]})
    for wrong in ({}, {0: 0}, {-1: 2}, {0: 1.5}, {"0": 2}):
        with pytest.raises(ValueError, match="channels: got"):
            KINDS[kind](wrong)
