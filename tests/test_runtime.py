"""Device, scale, seeds and the one line that a chapter starts with."""

import random
import sys
import types

import numpy
import pytest
import torch

from m2m import runtime


def draws():
    return random.random(), numpy.random.rand(), torch.rand(1).item()


def test_the_device_is_the_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runtime.device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.device() == torch.device("cuda")
    assert runtime.device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "tpu", "", "cpu:x"])
def test_an_unknown_device_is_named_beside_those_there_are(name):
    with pytest.raises(ValueError, match=f"device: got '{name}', expected one that this machine has: cpu"):
        runtime.device(name)


def test_scale(monkeypatch):
    monkeypatch.delenv("M2M_SCALE", raising=False)
    for has_gpu, name in [(False, "cpu"), (True, "gpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert runtime.scale_name() == name
        assert runtime.scale(cpu=1, gpu=2) == {"cpu": 1, "gpu": 2}[name]
    monkeypatch.setenv("M2M_SCALE", "cpu")
    assert runtime.scale_name() == "cpu" and runtime.scale(cpu="small", gpu="large") == "small"
    monkeypatch.setenv("M2M_SCALE", "huge")
    with pytest.raises(ValueError, match="M2M_SCALE: got 'huge', expected 'cpu' or 'gpu'"):
        runtime.scale(cpu=1, gpu=2)


def test_seeds():
    draw = {}
    for name, seed in [("a", 3), ("b", 3), ("other", 4)]:
        runtime.seed_everything(seed)
        draw[name] = draws()
    assert draw["a"] == draw["b"]
    assert all(p != q for p, q in zip(draw["a"], draw["other"], strict=True))


def test_a_generator_neither_reads_nor_moves_the_global_one():
    runtime.seed_everything(0)
    first = torch.rand(3)
    runtime.seed_everything(0)
    values = torch.rand(3, generator=runtime.generator(7))
    assert torch.equal(torch.rand(3), first)
    assert torch.equal(values, torch.rand(3, generator=runtime.generator(7)))
    assert not torch.equal(values, torch.rand(3, generator=runtime.generator(8)))


def test_one_generator_does_not_move_another():
    one, two = runtime.generator(1), runtime.generator(1)
    torch.rand(100, generator=one)
    assert torch.equal(torch.rand(3, generator=two), torch.rand(3, generator=runtime.generator(1)))


def test_setup_seeds_and_prints_one_line(monkeypatch, capsys):
    monkeypatch.setenv("M2M_SCALE", "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device = runtime.setup(seed=5)
    after = draws()
    assert capsys.readouterr().out == "device cpu · scale gpu · seed 5\n" and device == torch.device("cpu")
    runtime.seed_everything(5)
    assert draws() == after


def test_setup_sets_the_threads(monkeypatch):
    before, asked = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.delenv("M2M_THREADS", raising=False)
    runtime.setup()
    assert asked == []
    monkeypatch.setenv("M2M_THREADS", "3")
    runtime.setup()
    assert asked == [3] and torch.get_num_threads() == before


def test_colab(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    assert not runtime.in_colab()
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert runtime.in_colab()
