"""Normalisations of point clouds, against their definitions written out in NumPy."""

import numpy
import pytest
import torch

from m2m import runtime
from m2m.data import cloud_scaling


def clouds(dtype=torch.float64, far=0.0):
    x = torch.randn(5, 100, 3, generator=runtime.generator(0), dtype=torch.float64)
    return (x * torch.tensor([1.0, 2, 3]) + torch.tensor([1.0, -2, 5]) + far).to(dtype)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_unit_sphere(dtype, close):
    y = cloud_scaling.unit_sphere(clouds(dtype))
    assert y.dtype == dtype
    assert torch.allclose(y.norm(dim=-1).amax(-1), torch.ones(5, dtype=dtype), atol=close)
    assert torch.allclose(y.amin(-2), -y.amax(-2), atol=close)
    mean = cloud_scaling.unit_sphere(clouds(dtype), centre="mean")
    assert torch.allclose(mean.mean(-2), torch.zeros(5, 3, dtype=dtype), atol=close)
    assert mean.mean(-2).abs().max() < 0.01 * y.mean(-2).abs().max()  # the control: the two centres differ


def test_unit_sphere_does_not_depend_on_place_and_size():
    assert torch.allclose(cloud_scaling.unit_sphere(7 * clouds() + 1000), cloud_scaling.unit_sphere(clouds()), atol=1e-10)
    far = cloud_scaling.unit_sphere(clouds(torch.float32, far=1000.0))
    assert torch.allclose(far.double(), cloud_scaling.unit_sphere(clouds()), atol=1e-3)


def test_one_cloud_without_a_batch():
    assert torch.equal(cloud_scaling.unit_sphere(clouds()[0]), cloud_scaling.unit_sphere(clouds())[0])


@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("per_cloud", [False, True])
def test_standardisation_is_that_of_pointflow(per_cloud, per_axis):
    x = clouds().numpy()
    if per_cloud:
        mean = x.mean(1, keepdims=True)
        std = x.std(1, keepdims=True) if per_axis else x.reshape(5, -1).std(1).reshape(5, 1, 1)
    else:
        mean = x.reshape(-1, 3).mean(0)
        std = x.reshape(-1, 3).std(0) if per_axis else x.reshape(-1).std()
    scaling = cloud_scaling.standardisation(clouds(), per_cloud=per_cloud, per_axis=per_axis)
    assert numpy.allclose(scaling.apply(clouds()).numpy(), (x - mean) / std, atol=1e-12)
    assert torch.allclose(scaling.undo(scaling.apply(clouds())), clouds(), atol=1e-12)


def test_one_deviation_is_not_that_about_the_centre():
    """PointFlow's deviation of the heap is larger than the points' spread wherever the axes have different means."""
    scaling = cloud_scaling.standardisation(clouds())
    assert scaling.scale.item() > 1.2 * (clouds() - scaling.shift).square().mean().sqrt().item()


def test_the_training_set_scales_the_test_set():
    scaling = cloud_scaling.standardisation(clouds()[:3])
    assert scaling.apply(clouds()[3:]).shape == (2, 100, 3)
    assert scaling.shift.shape == (1, 1, 3) and scaling.scale.shape == (1, 1, 1)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 5, 2), r"got shape \(2, 5, 2\)"),
        (torch.zeros(3), r"got shape \(3,\)"),
        (torch.zeros(2, 0, 3), r"got shape \(2, 0, 3\)"),
        (torch.ones(2, 5, 3, dtype=torch.int64), "int64"),
        (torch.full((2, 5, 3), float("nan")), "NaN"),
        (torch.full((2, 5, 3), float("inf")), "NaN"),
        (torch.ones(2, 5, 3), "all the same"),
        (torch.ones(2, 1, 3), "all the same"),
    ],
)
def test_bad_input(x, message):
    with pytest.raises(ValueError, match=message):
        cloud_scaling.unit_sphere(x)
    with pytest.raises(ValueError, match=message):
        cloud_scaling.standardisation(x, per_cloud=True, per_axis=True)


def test_bad_arguments():
    with pytest.raises(ValueError, match="centre: got 'middle'"):
        cloud_scaling.unit_sphere(clouds(), centre="middle")
    with pytest.raises(ValueError, match=r"expected \(B, N, 3\)"):
        cloud_scaling.standardisation(clouds()[0])
