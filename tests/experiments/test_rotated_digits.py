"""The rotated digits table: what its networks are exactly invariant to, and that its data turn as they should."""

import pytest
import torch

from m2m import runtime
from m2m.experiments import rotated_digits as rd
from m2m.messages import groups


def scores(net, angle, count=8):
    levels = rd.grey("test")[0][:count]
    with torch.no_grad():
        return net.eval()(levels.flatten(1), rd.points(angle)) if model_of_points(net) else net.eval()(rd.draw(levels, angle))


def model_of_points(net):
    return isinstance(net, rd.PointSetNet)


def spoilt(net):
    """Other weights than the initial ones, and averages of a batch seen: a trained network, as far as symmetry goes."""
    for p in net.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=runtime.generator(p.numel()))
    for norm in net.norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(rd.inputs(net, rd.grey("train")[0][:16]))
    return net


def change(model, angle):
    net = spoilt(rd.build(model, 0))
    return ((scores(net, angle) - scores(net, 0)).norm() / scores(net, 0).norm()).item()


@pytest.mark.parametrize("model", ["p4", "C8 pixels", "C8 smooth", "SO(2)", "SE(2)"])
def test_quarter_turns_change_nothing(model):
    assert all(change(model, angle) < 1e-4 for angle in (90, 180, 270))


@pytest.mark.parametrize("model", ["CNN", "trivial", "T(2)"])
def test_networks_without_rotations_notice_a_quarter_turn(model):
    assert change(model, 90) > 1e-3


def test_only_so2_is_exact_between_quarter_turns():
    assert change("SO(2)", 45) < 1e-4 < 1e-3 < min(change("SE(2)", 45), change("p4", 45))


def test_a_digit_is_drawn_upright_and_turns_counterclockwise():
    levels = rd.grey("test")[0][:4]
    upright = rd.draw(levels, 0)
    assert upright.shape == (4, 1, 20, 20) and upright[..., 0, :].abs().max() == 0
    pooled = torch.nn.functional.avg_pool2d(upright[:, 0, 2:18, 2:18], 2)
    assert torch.corrcoef(torch.stack([pooled.flatten(), levels.flatten()]))[0, 1] > 0.95
    assert torch.equal(rd.draw(levels, 90), torch.rot90(upright, 1, (-2, -1)))


def test_points_turn_as_the_images_do():
    """The centre of ink, from points and from images, at several angles."""
    levels = rd.grey("test")[0][:1]
    across = (torch.arange(20.0) - 9.5) / 2
    for angle in (0, 30, 90, 200):
        image = rd.draw(levels, angle)[0, 0]
        centre = torch.stack([(image.sum(0) * across).sum(), -(image.sum(1) * across).sum()]) / image.sum()
        exact = (levels.flatten()[:, None] * rd.points(angle)).sum(0) / levels.sum()
        torch.testing.assert_close(centre, exact, atol=0.05, rtol=0)


def test_turning_error_is_zero_for_what_turns_and_large_for_what_does_not():
    maps = torch.rand(2, 3, 10, 10, generator=runtime.generator(0))
    assert rd.turning_error(maps, groups.rotate(maps, 45.0), 45.0) == 0
    assert rd.turning_error(maps, maps, 90.0) > 0.3


def test_equal_parameters_on_points():
    counts = {sum(p.numel() for p in rd.build(name, 0).parameters()) for name in rd.POINTS}
    assert len(counts) == 1


@pytest.mark.parametrize("model", ["CNN, turned", "T(2)", "SE(2), random lifts"])
def test_a_run_learns_and_repeats(model, monkeypatch):
    monkeypatch.setattr(rd, "ANGLES", [0, 90])
    monkeypatch.setattr(rd, "errors", lambda net: [0.0])
    settings = rd.task(model, 300, 0) | {"steps": 2 if model.startswith("SE") else 60}
    first, second = rd.run(**settings), rd.run(**settings)
    assert first == second and len(first["accuracy"]) == 2
    assert first["loss"] < 2.25 or model.startswith("SE")


def test_tasks_have_three_seeds_and_both_sizes():
    long = rd.tasks("gpu")
    for model in (*rd.IMAGES, *rd.POINTS):
        assert {t["seed"] for t in long if t["model"] == model} == {0, 1, 2}
    assert {t["images"] for t in long} == {300, 1204}
    assert all(t in long for t in rd.tasks("cpu"))


def test_unknown_model():
    with pytest.raises(ValueError, match="model: got 'p6'"):
        rd.build("p6", 0)
