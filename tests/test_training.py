"""The training loop: what it learns, what it promises about repeating and resuming, and what it refuses."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from m2m import runtime, training

x = torch.randn(96, 2, generator=runtime.generator(0))
y = x.sin().sum(-1, keepdim=True)


def network(seed=1, dropout=0.2):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))


def loss(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def noisy(model, batch):
    return loss(model, (batch[0] + 0.1 * torch.randn_like(batch[0]), batch[1]))


def error(model):
    return loss(model, (x, y)).item()


# The processes that the tests start have the same small problem.
PROBLEM = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_training import error, loss, network, nn, noisy, torch, training, x, y
"""
LONG = dict(steps=60, batch_size=32, lr=1e-2, clip=1.0, average=0.9, warmup=5, validate=error, validate_every=7, patience=9)


def same(a, b):
    """Whether two models have bit for bit the same weights."""
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def python(code, *arguments, **options):
    """Start another Python with the same problem and `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", PROBLEM + textwrap.dedent(code), *map(str, arguments)], text=True, **options
    )


# What it learns and reports


def test_it_learns_and_the_history_fits_together():
    model = network(dropout=0.0)
    before = error(model)
    history = training.fit(model, (x, y), loss, steps=300, batch_size=32, lr=1e-2, validate=error, validate_every=100)
    assert error(model) < before / 10
    assert history.step == list(range(1, 301)) and len(history.loss) == len(history.lr) == len(history.seconds) == 300
    assert history.validation_step == [100, 200, 300] and history.validation[-1] == pytest.approx(error(model))
    assert history.seconds == sorted(history.seconds)
    assert not model.training


def test_the_first_steps_are_those_of_a_bare_loop():
    ours, bare = network(dropout=0.0), network(dropout=0.0)
    training.fit(ours, (x, y), loss, steps=3, batch_size=96, lr=1e-2, schedule="constant", weight_decay=0.1)
    optimizer = torch.optim.AdamW(bare.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss(bare, (x, y)).backward()
        optimizer.step()
    for p, q in zip(ours.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_an_epoch_is_every_example_once_in_an_order_of_its_own():
    seen = []

    def spy(model, batch):
        seen.append(batch[:, 0].long())
        return model(batch).square().mean()

    rows = torch.arange(24.0)[:, None]
    training.fit(nn.Linear(1, 1), rows, spy, epochs=2, batch_size=8)
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(24))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("form", ["tensor", "tuple", "object"])
def test_forms_of_data(form):
    class Pairs:
        def __len__(self):
            return len(x)

        def __getitem__(self, index):
            return {"x": x[index], "y": y[index]}

    data = {"tensor": torch.cat([x, y], 1), "tuple": (x, y), "object": Pairs()}[form]
    parts = {"tensor": lambda b: (b[:, :2], b[:, 2:]), "tuple": lambda b: b, "object": lambda b: (b["x"], b["y"])}[form]
    model, reference = network(), network()
    training.fit(model, data, lambda m, b: loss(m, parts(b)), steps=5, batch_size=32)
    training.fit(reference, (x, y), loss, steps=5, batch_size=32)
    assert same(model, reference)


def test_learning_rates():
    assert (
        training.rate(0.0, 0) == 1
        and training.rate(0.5, 50) == pytest.approx(0.5)
        and training.rate(1.0, 100) == pytest.approx(0)
    )
    assert [training.rate(0.0, step, "constant", warmup=3) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert training.rate(0.6, 6, lambda done: 0.3 ** int(done * 4)) == pytest.approx(0.09)
    history = training.fit(network(), (x, y), loss, steps=10, batch_size=32, lr=0.5e-3)
    assert history.lr[0] == 0.5e-3 and history.lr == sorted(history.lr, reverse=True)


def test_the_learning_rate_acts_on_the_groups_of_an_optimizer_of_ones_own():
    model = network(dropout=0.0)
    groups = lambda parameters, lr: torch.optim.SGD([{"params": parameters[:2], "lr": 0.0}, {"params": parameters[2:]}], lr=lr)
    before = [p.detach().clone() for p in model.parameters()]
    training.fit(model, (x, y), loss, steps=5, batch_size=32, lr=0.1, optimizer=groups)
    assert [torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True)] == [True, True, False, False]


def test_clipping_bounds_the_step():
    def moved(clip):
        model = network(dropout=0.0)
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        steep = lambda m, b: 100 * loss(m, b)
        training.fit(model, (x, y), steep, steps=1, batch_size=96, lr=1.0, clip=clip, optimizer=torch.optim.SGD)
        return (torch.cat([p.detach().flatten() for p in model.parameters()]) - before).norm().item()

    assert moved(0.5) == pytest.approx(0.5, rel=1e-4)
    assert moved(None) > 5


def test_average_of_weights():
    path, model = [], network(dropout=0.0)
    weights = lambda m: torch.cat([p.detach().flatten() for p in m.parameters()])
    training.fit(
        model, (x, y), loss, steps=40, batch_size=32, lr=1e-2, average=0.9, callback=lambda m, h: path.append(weights(m))
    )
    expected = weights(network(dropout=0.0))
    for step, current in enumerate(path, 1):
        expected = expected.lerp(current, 1 - min(0.9, step / (step + 9)))
    torch.testing.assert_close(weights(model), expected)
    assert not torch.equal(weights(model), path[-1])


def test_patience_stops_and_leaves_the_best_weights():
    values = iter([3.0, 1.0, math.nan, 2.0, 4.0, 0.5])
    kept = {}

    def validate(model):
        value = next(values)
        kept[value] = [p.detach().clone() for p in model.parameters()]
        assert not model.training and not torch.is_grad_enabled()
        return value

    model = network()
    history = training.fit(model, (x, y), loss, steps=100, batch_size=32, validate=validate, validate_every=5, patience=3)
    assert history.validation_step == [5, 10, 15, 20, 25] and history.step[-1] == 25
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), kept[1.0], strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(model.parameters(), kept[4.0], strict=True))


def test_without_patience_the_last_weights_stay():
    values = iter([1.0, 2.0])
    model, reference = network(), network()
    training.fit(model, (x, y), loss, steps=10, batch_size=32, validate=lambda m: next(values), validate_every=5)
    training.fit(reference, (x, y), loss, steps=10, batch_size=32)
    assert same(model, reference)


# Repeating


def test_the_same_call_gives_the_same_weights_whatever_the_global_seed():
    runs = {}
    for name, seed, before in [("a", 0, 5), ("b", 0, 6), ("other", 1, 5)]:
        runs[name] = network()
        torch.manual_seed(before)
        training.fit(runs[name], (x, y), noisy, steps=20, batch_size=32, seed=seed)
    assert same(runs["a"], runs["b"]) and not same(runs["a"], runs["other"])


def test_the_global_random_state_is_left_as_it_was():
    model = network()
    state = torch.get_rng_state()
    training.fit(model, (x, y), noisy, steps=3, batch_size=32)
    assert torch.equal(state, torch.get_rng_state())


# Checkpoints


def interrupted(path, at, **settings):
    def stop(model, history):
        if history.step[-1] == at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        training.fit(network(), (x, y), noisy, checkpoint=path, callback=stop, **settings)


@pytest.mark.parametrize("optimizer", ["adam", partial(torch.optim.SGD, momentum=0.9)], ids=["adam", "momentum"])
def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path, optimizer):
    settings = LONG | dict(optimizer=optimizer, checkpoint_every=0)
    whole, resumed = network(), network(seed=2)
    history = training.fit(whole, (x, y), noisy, **settings)
    interrupted(tmp_path / "run.pt", 11, **settings)
    interrupted(tmp_path / "run.pt", 44, **settings)
    again = training.fit(resumed, (x, y), noisy, checkpoint=tmp_path / "run.pt", **settings)
    assert same(whole, resumed)
    assert (again.step, again.loss, again.lr, again.validation) == (history.step, history.loss, history.lr, history.validation)
    assert again.seconds == sorted(again.seconds)
    assert same(training.load(tmp_path / "run.pt", network(seed=3)), whole)


def test_the_bits_differ_when_the_noise_is_not_restored(tmp_path, monkeypatch):
    settings = LONG | dict(checkpoint_every=0)
    whole, resumed = network(), network()
    training.fit(whole, (x, y), noisy, **settings)
    interrupted(tmp_path / "run.pt", 11, **settings)
    monkeypatch.setattr(torch, "set_rng_state", lambda state: None)
    training.fit(resumed, (x, y), noisy, checkpoint=tmp_path / "run.pt", **settings)
    assert not same(whole, resumed)


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path):
    path = tmp_path / "run.pt"
    code = """
        import time
        slow = lambda model, history: time.sleep(0.02)
        training.fit(network(), (x, y), noisy, steps=100000, batch_size=32, average=0.9, schedule="constant",
                     checkpoint=sys.argv[1], checkpoint_every=0, callback=slow)
    """
    process = python(code, path)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not path.exists() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    reached = len(torch.load(path, weights_only=True)["history"]["step"])

    class Enough(Exception):
        pass

    def until(model, history):
        if history.step[-1] == reached + 20:
            raise Enough

    models = network(), network()
    for model, checkpoint in zip(models, (path, None), strict=True):
        with pytest.raises(Enough):
            training.fit(model, (x, y), noisy, steps=100000, batch_size=32, average=0.9, schedule="constant",
                         checkpoint=checkpoint, callback=until)  # fmt: skip
    assert reached >= 1 and same(*models)


def test_a_finished_run_is_not_repeated(tmp_path):
    calls = []
    counted = lambda model, batch: calls.append(1) or noisy(model, batch)
    first, second = network(), network(seed=2)
    for model in (first, second):
        training.fit(model, (x, y), counted, checkpoint=tmp_path / "deep" / "run.pt", **LONG)
    assert len(calls) == 60 and same(first, second)


def test_a_run_that_ran_out_of_patience_is_not_continued(tmp_path):
    rising = iter(range(100))
    settings = dict(
        steps=50, batch_size=32, validate=lambda m: next(rising), validate_every=5, patience=2, checkpoint=tmp_path / "run.pt"
    )
    first, second = network(), network(seed=2)
    assert training.fit(first, (x, y), loss, **settings).step[-1] == 15
    assert training.fit(second, (x, y), loss, **settings).step[-1] == 15 and same(first, second)


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    interrupted(path, 11, **LONG | dict(checkpoint_every=0))
    before = path.read_bytes()

    def half(state, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        training.fit(network(), (x, y), noisy, checkpoint=path, **LONG | dict(checkpoint_every=0))
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty", "foreign"])
def test_damaged_and_foreign_checkpoints(tmp_path, damage):
    path = tmp_path / "run.pt"
    training.fit(network(), (x, y), loss, steps=2, batch_size=32, checkpoint=path)
    whole = path.read_bytes()
    if damage == "foreign":
        torch.save({"state_dict": network().state_dict()}, path)
    else:
        middle = len(whole) // 2
        path.write_bytes({"cut": whole[:middle], "text": b"hello", "empty": b"", "flipped": b"X" * 64 + whole[64:]}[damage])
    for call in (
        lambda: training.load(path, network()),
        lambda: training.fit(network(), (x, y), loss, steps=2, batch_size=32, checkpoint=path),
    ):
        with pytest.raises(ValueError, match="run.pt: (damaged|got a file that m2m.training did not write)"):
            call()


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        training.load(tmp_path / "nowhere.pt", network())


@pytest.mark.parametrize(
    "change",
    [
        dict(lr=1e-2),
        dict(steps=3),
        dict(seed=1),
        dict(optimizer=torch.optim.SGD),
        dict(schedule="constant"),
        dict(average=0.5),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, change):
    settings = dict(steps=2, batch_size=32, checkpoint=tmp_path / "run.pt")
    training.fit(network(), (x, y), loss, **settings)
    with pytest.raises(ValueError, match=f"other settings .*{next(iter(change))} was"):
        training.fit(network(), (x, y), loss, **settings | change)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    training.fit(network(), (x, y), loss, steps=2, batch_size=32, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"of another model: .*0.weight \(16, 2\), this model has \(3, 2\)"):
        training.load(tmp_path / "run.pt", nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Dropout(), nn.Linear(16, 1)))


# What it refuses


def test_a_loss_that_is_not_finite_names_the_step_and_spares_the_weights():
    kept = {}

    def burst(model, batch):
        value = loss(model, batch)
        return value * math.nan if len(kept) == 4 else value

    model = network()
    with pytest.raises(FloatingPointError, match="step 5: the loss is nan"):
        training.fit(
            model,
            (x, y),
            burst,
            steps=10,
            batch_size=32,
            callback=lambda m, h: kept.update({h.step[-1]: m[0].weight.detach().clone()}),
        )
    assert torch.equal(model[0].weight, kept[4])


@pytest.mark.parametrize(
    "data, message",
    [
        (torch.zeros(0, 2), "data: got .0. examples"),
        ((torch.zeros(3, 2), torch.zeros(4, 1)), "data: got .3, 4. examples, expected one length"),
        ((), "data: got .. examples"),
        (torch.tensor(1.0), r"data: got a tensor of shape \(\)"),
        ([1.0, 2.0], "data: got list, expected a tensor"),
        (7, "data: got int"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=message):
        training.fit(network(), data, loss, steps=1, batch_size=1)


@pytest.mark.parametrize(
    "bad",
    [dict(steps=None), dict(epochs=1), dict(steps=0), dict(steps=2.5), dict(batch_size=97), dict(batch_size=0), dict(lr=0),
     dict(lr=math.nan), dict(lr="fast"), dict(optimizer="adamm"), dict(weight_decay=-1), dict(schedule="linear"),
     dict(warmup=-1), dict(weight_decay=0.1, optimizer=torch.optim.SGD),
     dict(clip=0), dict(clip="1"), dict(average=1.0), dict(validate=3),
     dict(validate_every=0), dict(patience=3), dict(checkpoint_every=-1), dict(seed="a"), dict(device="cuda:99")],
    ids=lambda bad: " ".join(f"{key}={value}" for key, value in bad.items()),
)  # fmt: skip
def test_bad_arguments_are_named(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}.*got .*expected "):
        training.fit(network(), (x, y), loss, **dict(steps=2, batch_size=32) | bad)


@pytest.mark.parametrize(
    "model", [nn.Tanh(), lambda x: x, network().requires_grad_(False)], ids=["no weights", "no module", "frozen"]
)
def test_bad_models(model):
    with pytest.raises(ValueError, match="model: got .*expected a torch.nn.Module with parameters"):
        training.fit(model, (x, y), loss, steps=1, batch_size=32)


def test_a_loss_per_example_is_refused():
    with pytest.raises(ValueError, match=r"loss: got a tensor of shape \(32, 1\), expected a scalar"):
        training.fit(network(), (x, y), lambda m, b: (m(b[0]) - b[1]).square(), steps=1, batch_size=32)
    with pytest.raises(ValueError, match="loss: got float, expected a scalar"):
        training.fit(network(), (x, y), lambda m, b: 1.0, steps=1, batch_size=32)


# Several processes


def test_two_processes_give_the_weights_of_one(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(PROBLEM + textwrap.dedent("""
        class Wrapped(nn.Module):                  # the loss calls a method, not the forward of the model
            def __init__(self):
                super().__init__()
                self.network, self.unused = network(dropout=0.0), nn.Linear(1, 1)

            def value(self, x):
                return self.network(x)

        def method(model, batch):
            return (model.value(batch[0]) - batch[1]).square().mean()

        held_out = lambda model: method(model, (x, y)).item()
        settings = dict(steps=30, batch_size=32, lr=1e-2, average=0.9, validate=held_out, patience=50)
        model, unsynchronised, resumed = Wrapped(), Wrapped(), Wrapped()
        history = training.fit(model, (x, y), method, **settings)

        def stop(model, history):
            if history.step[-1] == 13:
                raise InterruptedError

        cut = dict(checkpoint=sys.argv[1] + "/run.pt", checkpoint_every=0, **settings)
        try:
            training.fit(resumed, (x, y), method, callback=stop, **cut)
        except InterruptedError:
            training.fit(resumed, (x, y), method, **cut)

        drop = nn.Sequential(network())
        noise = []
        training.fit(drop, (x, y), lambda m, b: noise.append(torch.rand(1).item()) or noisy(m, b), steps=2, batch_size=32)

        accelerator = training.Accelerator()
        training.Accelerator.prepare = lambda self, module: module
        training.fit(unsynchronised, (x, y), method, **settings)
        kept = dict(model=model.state_dict(), unsynchronised=unsynchronised.state_dict(), resumed=resumed.state_dict(),
                    loss=history.loss, processes=accelerator.num_processes, noise=noise)
        torch.save(kept, f"{sys.argv[1]}/{accelerator.process_index}.pt")
    """))  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        str(script),
        str(tmp_path),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]

    model = nn.Module()
    model.network, model.unused = network(dropout=0.0), nn.Linear(1, 1)
    history = training.fit(model, (x, y), lambda m, b: loss(m.network, b), steps=30, batch_size=32, lr=1e-2, average=0.9,
                           validate=lambda m: error(m.network), patience=50)  # fmt: skip
    zero, one = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert zero["processes"] == 2
    difference = lambda a, b: max((a[name] - b[name]).abs().max().item() for name in a if name.startswith("network"))
    assert difference(zero["model"], model.state_dict()) < 1e-5 and difference(one["model"], model.state_dict()) < 1e-5
    assert zero["loss"] == pytest.approx(history.loss, abs=1e-5) and zero["loss"] == one["loss"]
    assert difference(zero["resumed"], zero["model"]) == difference(one["resumed"], zero["model"]) == 0
    assert zero["noise"] != one["noise"]  # each process draws noise of its own
    assert (
        difference(zero["unsynchronised"], one["unsynchronised"]) > 1e-3
    )  # the control: without the exchange of gradients they part


def test_batches_that_processes_can_not_share_are_refused(monkeypatch):
    monkeypatch.setattr(training.Accelerator, "num_processes", 3)
    with pytest.raises(ValueError, match="batch_size: got 32, expected a multiple of the 3 processes"):
        training.fit(network(), (x, y), loss, steps=1, batch_size=32)


# The progress bar


def test_the_progress_bar_is_silent_in_a_log(capfd):
    training.fit(network(), (x, y), loss, steps=3, batch_size=32)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_the_progress_bar_shows_the_loss_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    training.fit(network(), (x, y), loss, steps=3, batch_size=32, validate=error)
    assert "training" in capsys.readouterr().err
    training.fit(network(), (x, y), loss, steps=3, batch_size=32, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(tmp_path):
    settings = dict(steps=20, batch_size=32, lr=1e-2, average=0.9, checkpoint=tmp_path / "run.pt", checkpoint_every=0)
    model, resumed = network().cuda(), network()
    training.fit(model, (x, y), noisy, **settings | dict(checkpoint=None))
    interrupted(
        tmp_path / "run.pt", 11, **{key: value for key, value in settings.items() if key != "checkpoint"} | dict(device="cuda")
    )
    training.fit(resumed, (x, y), noisy, device="cuda", **settings)
    assert next(resumed.parameters()).is_cuda
    for p, q in zip(model.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(p, q)
