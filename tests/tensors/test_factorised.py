"""The exchanged sums against the formula written out, e3nn, and rotations."""

import math

import pytest
import torch
from torch import nn

from m2m import checks
from m2m.messages.radial import Gaussians
from m2m.tensors import factorised, irreps, rotations
from m2m.tensors.clebsch_gordan import clebsch_gordan
from m2m.tensors.harmonics import harmonics, split

IN, OUT, SIZE = {0: 3, 1: 2, 2: 2}, {0: 4, 1: 3, 2: 1}, 5


def setting(dtype=torch.float64, l_max=2, l_filter=2, batch=2, n=4, copies=2):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(batch, n, 3, generator=g, dtype=dtype)
    f = {l: torch.randn(batch, 2 * l + 1, n, copies, IN[l], generator=g, dtype=dtype) for l in range(l_max + 1)}
    torch.manual_seed(0)
    layer = factorised.Convolution({l: IN[l] for l in f}, {l: OUT[l] for l in f}, l_filter, SIZE).to(dtype)
    return x, torch.ones(batch, n, dtype=torch.bool), f, layer, Gaussians(3.0, SIZE).to(dtype)


def written_out(x, f, layer, basis, b, i):
    """The sum of the docstring for one receiver, with loops: {l: (R, C, 2l + 1)}."""
    out = {l: torch.zeros(f[0].shape[3], c, 2 * l + 1, dtype=x.dtype) for l, c in layer.channels_out.items()}
    for l, found in layer.paths.items():
        for l1, l2, _ in found:
            weight = layer.weights[f"{l1}{l2}{l}"].view(layer.channels_in[l1], SIZE, -1)
            for j in range(x.shape[1]):
                if j != i:
                    r = x[b, j] - x[b, i]
                    y, e = split(harmonics(r, 2))[l2], basis(r.norm())
                    sent = torch.einsum("mrc,ckd,k->rdm", f[l1][b, :, j], weight, e)
                    out[l] += math.sqrt(2 * l + 1) * torch.einsum("uvm,rdu,v->rdm", clebsch_gordan(l1, l2, l).to(x), sent, y)
    return out


def test_it_is_the_formula():
    x, present, f, layer, basis = setting()
    out = layer(f, factorised.Geometry(x, present, basis, 2))
    for b, i in ((0, 0), (1, 3)):
        for l, expected in written_out(x, f, layer, basis, b, i).items():
            assert torch.allclose(out[l][b, :, i], expected.permute(2, 0, 1), atol=1e-12)
    with torch.no_grad():
        layer.weights["110"].mul_(2)  # a control: other weights give another sum
    assert not torch.allclose(layer(f, factorised.Geometry(x, present, basis, 2))[0], out[0])


@pytest.fixture
def doubles():
    """e3nn makes its constants in the default type."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_each_path_is_e3nns(doubles):
    """Path by path, since the sign of a path's coefficients is a convention."""
    o3 = pytest.importorskip("e3nn.o3")
    x, present, f, layer, basis = setting(batch=1, copies=1)
    listed = [path for l in OUT for path in layer.paths[l]]
    i, j = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T
    i, j = i[i != j], j[i != j]
    r = x[0, j] - x[0, i]
    rows = lambda features: torch.cat([features[l][0, :, :, 0].permute(1, 2, 0).flatten(1) for l in IN], 1)
    irreps_in, irreps_out = (o3.Irreps([(c, (l, 1)) for l, c in channels.items()]) for channels in (IN, OUT))
    for path in listed:
        weight = layer.weights["{}{}{}".format(*path)]
        product = o3.TensorProduct(
            irreps_in, o3.Irreps("0e + 1e + 2e"), irreps_out, [(*path, "uvw", True)], irrep_normalization="component",
            path_normalization="none", shared_weights=False, internal_weights=False)  # fmt: skip
        w = torch.einsum("ek,ckd->ecd", basis(r.norm(dim=-1)), weight.view(IN[path[0]], SIZE, -1)).flatten(1)
        sent = product(rows(f)[j], o3.spherical_harmonics([0, 1, 2], r, True, "component"), w)
        theirs = torch.zeros(4, sent.shape[1], dtype=x.dtype).index_add_(0, i, sent)
        single = factorised.Convolution(IN, OUT, 2, SIZE).double()
        for key, value in single.weights.items():
            value.data.copy_(weight if key == "{}{}{}".format(*path) else torch.zeros_like(value))
        ours = rows(single(f, factorised.Geometry(x, present, basis, 2)))
        assert min((ours - theirs).abs().max(), (ours + theirs).abs().max()) < 1e-12 < ours.abs().max()


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_rotations_pass_through(dtype, tolerance):
    x, present, f, layer, basis = setting(dtype)
    turn = rotations.random(generator=torch.Generator().manual_seed(1), dtype=dtype)
    turned = {l: torch.einsum("uv,bvnrc->bunrc", irreps.wigner_d(l, turn), value) for l, value in f.items()}
    out, out_turned = (
        layer(g, factorised.Geometry(p, present, basis, 2)) for g, p in ((f, x), (turned, x @ turn.T))
    )  # fmt: skip
    for l in OUT:
        expected = torch.einsum("uv,bvnrc->bunrc", irreps.wigner_d(l, turn), out[l])
        assert checks.relative_error(out_turned[l], expected) < tolerance
        if l:
            assert checks.relative_error(out_turned[l], out[l]) > 0.1


def test_absent_points_and_padding_change_nothing():
    x, present, f, layer, basis = setting(n=6)
    present[:, 4:] = False
    out = layer(f, factorised.Geometry(x, present, basis, 2))
    short = layer({l: value[:, :, :4] for l, value in f.items()}, factorised.Geometry(x[:, :4], present[:, :4], basis, 2))
    for l in OUT:
        assert torch.allclose(out[l][:, :, :4], short[l], atol=1e-13) and (out[l][:, :, 4:] == 0).all()
    present[:, 4] = True
    assert not torch.allclose(layer(f, factorised.Geometry(x, present, basis, 2))[0][:, :, :4], short[0])


def test_copies_share_a_geometry():
    x, present, f, layer, basis = setting()
    geometry = factorised.Geometry(x, present, basis, 2)
    both, second = layer(f, geometry), layer({l: value[:, :, :, 1:] for l, value in f.items()}, geometry)
    assert all(torch.allclose(both[l][:, :, :, 1:], second[l], atol=1e-13) for l in OUT)


def test_fewer_degrees_take_the_first_columns():
    x, present, f, _, basis = setting()
    layer = factorised.Convolution({0: 3}, {0: 2, 1: 2}, 2, SIZE).double()
    wide, narrow = (layer({0: f[0]}, factorised.Geometry(x, present, basis, l, 2)) for l in (2, 1))
    assert all(torch.allclose(wide[l], narrow[l], atol=1e-13) for l in (0, 1))


def test_coincident_points_have_finite_gradients():
    x, present, f, layer, basis = setting()
    x[:, 1] = x[:, 0]
    x.requires_grad_()
    sum(value.square().sum() for value in layer(f, factorised.Geometry(x, present, basis, 2)).values()).backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().max() > 0


def test_outputs_start_at_the_order_of_inputs():
    torch.manual_seed(0)
    layer = factorised.Convolution({0: 64, 1: 64}, {0: 64, 1: 64}, 1, 1)
    f = {l: torch.randn(8, 2 * l + 1, 2, 1, 64) for l in (0, 1)}
    geometry = factorised.Geometry(torch.randn(8, 2, 3), torch.ones(8, 2, dtype=torch.bool), One(), 1)
    assert all(0.7 < value.std() < 1.4 for value in layer(f, geometry).values())


class One(nn.Module):
    def forward(self, d):
        return torch.ones_like(d)[..., None]


def test_bad_input():
    x, present, f, layer, basis = setting()
    with pytest.raises(ValueError, match="expected \\(B, n, 3\\)"):
        factorised.Geometry(x[0], present, basis, 2)
    with pytest.raises(ValueError, match="torch.bool"):
        factorised.Geometry(x, present.float(), basis, 2)
    with pytest.raises(ValueError, match="radial functions, expected"):
        layer(f, factorised.Geometry(x, present, Gaussians(3.0, SIZE + 1).double(), 2))
    with pytest.raises(ValueError, match="f: got"):
        layer({l: value[:, :, :3] for l, value in f.items()}, factorised.Geometry(x, present, basis, 2))
    with pytest.raises(ValueError, match="without gaps"):
        factorised.Convolution({0: 1, 2: 1}, {0: 1}, 2, SIZE)
    with pytest.raises(ValueError, match="no path leads"):
        factorised.Convolution({0: 1}, {2: 1}, 1, SIZE)
