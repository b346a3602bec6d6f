"""Masked autoregressive flows: density, training step and sampling, beside zuko, nflows, normflows and TFP.

    python -m bench.flows                       all, about ten minutes on one thread
    python -m bench.flows --dims 2 6 --rounds 5 --out ""
    python -m bench.flows --device cuda         the PyTorch libraries on a GPU, wall time

Everyone gets the same architecture: the layers, the hidden units, ReLU, the dimensions reversed between layers, an affine
map with shift and log-scale; so the same number of parameters, which is printed. In detail they differ: m2m and zuko bound
the log-scale, nflows and normflows use a softplus or a sigmoid for the scale, TFP does nothing; normflows applies no ReLU
between its first two matrices; `sample` of normflows returns densities too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench import report, timing  # before torch: sets the number of threads

import torch
from torch import Tensor, nn

from m2m.flows import flow

SETTINGS = {2: (3, [128, 128], 10_000), 6: (5, [256, 256], 10_000), 63: (5, [512, 512], 1_000)}
DENSITY, STEP = 1000, 256
PACKAGES = ("torch", "zuko", "nflows", "normflows", "tensorflow", "tensorflow-probability")


@dataclass
class Model:
    """One library's flow: what to call, and how many numbers it learns."""

    parameters: int
    log_prob: Callable[[Tensor], object]
    step: Callable[[Tensor], object] | None
    sample: Callable[[int], object] | None


def with_torch(module: nn.Module, log_prob: Callable[[Tensor], Tensor], sample: Callable[[int], object] | None) -> Model:
    parameters = list(module.parameters())

    def step(x: Tensor) -> None:
        for p in parameters:
            p.grad = None
        (-log_prob(x).mean()).backward()

    return Model(sum(p.numel() for p in parameters), torch.no_grad()(log_prob), step, sample and torch.no_grad()(sample))


# --- One function for each library: dim, layers, hidden units, device -> its flow ---------------------------------------------


def m2m(dim: int, layers: int, hidden: list[int], device: torch.device) -> Model:
    model = flow.maf(dim, layers, hidden)
    # As the others start: a last layer of zeros might be multiplied faster
    for part in model.modules():
        if hasattr(part, "zero_last"):
            part.layers[-1].reset_parameters()
    model.to(device)
    return with_torch(model, model.log_prob, model.sample)


def m2m_compiled(dim: int, layers: int, hidden: list[int], device: torch.device) -> Model:
    model = flow.maf(dim, layers, hidden).to(device)
    # Sampling is a loop over D; compiling it takes minutes at D = 63
    sample = torch.compile(model.sample, dynamic=False) if dim <= 2 else None
    return with_torch(model, torch.compile(model.log_prob, dynamic=False), sample)


def zuko(dim: int, layers: int, hidden: list[int], device: torch.device) -> Model:
    import zuko

    model = zuko.flows.MAF(dim, 0, transforms=layers, hidden_features=hidden).to(device)
    return with_torch(model, lambda x: model().log_prob(x), lambda n: model().sample((n,)))


def nflows(dim: int, layers: int, hidden: list[int], device: torch.device) -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, ReversePermutation

    chain = []
    for _ in range(layers):
        chain += [MaskedAffineAutoregressiveTransform(dim, hidden[0], num_blocks=len(hidden) - 1, use_residual_blocks=False)]
        chain += [ReversePermutation(dim)]
    model = Flow(CompositeTransform(chain[:-1]), StandardNormal([dim])).to(device)
    return with_torch(model, model.log_prob, model.sample)


def normflows(dim: int, layers: int, hidden: list[int], device: torch.device) -> Model:
    import normflows

    chain = []
    for _ in range(layers):
        # As it is, its density takes D passes and its samples one, as in IAF; `Reverse` makes it a MAF
        layer = normflows.flows.MaskedAffineAutoregressive(
            dim, hidden[0], num_blocks=len(hidden) - 1, use_residual_blocks=False
        )
        reverse = normflows.flows.Permute(dim)
        reverse.perm = reverse.inv_perm = torch.arange(dim).flip(0)
        chain += [normflows.flows.Reverse(layer), reverse]
    model = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(dim, trainable=False), chain[:-1]).to(device)
    return with_torch(model, model.log_prob, model.sample)


def tfp(dim: int, layers: int, hidden: list[int], device: torch.device, xla: bool = False) -> Model:
    if device.type != "cpu":
        raise ImportError("measured on the CPU only")
    if "tensorflow" not in sys.modules:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    from m2m.flows import tfp_moons
    from m2m.flows.tfp_moons import tf

    distribution = tfp_moons.build(layers, hidden, dim)
    log_prob = tf.function(distribution.log_prob, jit_compile=xla)
    sample = tf.function(distribution.sample, jit_compile=xla)

    @tf.function(jit_compile=xla)
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(distribution.log_prob(x))
        return tape.gradient(loss, distribution.trainable_variables)

    count = sum(int(tf.size(v)) for v in distribution.trainable_variables)
    tensors = {}  # the same points in TensorFlow; its conversion is not what is measured

    def theirs(x: Tensor):
        if id(x) not in tensors:
            tensors[id(x)] = tf.constant(x.numpy())
        return tensors[id(x)]

    # Reading a result waits for it
    return Model(
        count, lambda x: log_prob(theirs(x)).numpy(), lambda x: gradients(theirs(x))[0].numpy(), lambda n: sample(n).numpy()
    )


def tfp_xla(dim: int, layers: int, hidden: list[int], device: torch.device) -> Model:
    return tfp(dim, layers, hidden, device, xla=True)


LIBRARIES = {
    "m2m": m2m,
    "m2m compiled": m2m_compiled,
    "zuko": zuko,
    "nflows": nflows,
    "normflows": normflows,
    "TFP": tfp,
    "TFP XLA": tfp_xla,
}


# --- Measuring ----------------------------------------------------------------------------------------------------------------


def measure(dim: int, libraries: list[str], device: torch.device, rounds: int, budget: float) -> list[dict]:
    """One row for each library and operation at one setting."""
    layers, hidden, samples = SETTINGS[dim]
    models: dict[str, Model] = {}
    for name in libraries:
        try:
            models[name] = LIBRARIES[name](dim, layers, hidden, device)
        except ImportError as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
    x = torch.randn(DENSITY, dim, generator=torch.Generator().manual_seed(0)).to(device)
    batch = x[:STEP].clone()
    operations = {
        f"log_prob, {DENSITY:,}": {name: lambda m=m: m.log_prob(x) for name, m in models.items()},
        f"training step, {STEP:,}": {name: lambda m=m: m.step(batch) for name, m in models.items()},
        f"sampling, {samples:,}": {name: lambda m=m: m.sample(samples) for name, m in models.items() if m.sample},
    }
    rows = []
    for operation, cases in operations.items():
        for name, t in timing.take_turns(cases, clock=timing.Clock(device), rounds=rounds, budget=budget).items():
            rows.append({"dim": dim, "layers": layers, "hidden": hidden, "operation": operation, "library": name,
                         "parameters": models[name].parameters, **asdict(t)})  # fmt: skip
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: per setting a library a row, an operation a column; in brackets the time over m2m's."""
    lines = []
    for dim in dict.fromkeys(row["dim"] for row in rows):
        here = [row for row in rows if row["dim"] == dim]
        operations = list(dict.fromkeys(row["operation"] for row in here))
        lines += [
            f"\nD = {dim}, {here[0]['layers']} layers of {here[0]['hidden']}: milliseconds, median (quartiles) × time of m2m\n"
        ]
        lines += ["| library | parameters | " + " | ".join(operations) + " |", "|:--|--:|" + "--:|" * len(operations)]
        for library in dict.fromkeys(row["library"] for row in here):
            mine = {row["operation"]: row for row in here if row["library"] == library}
            cells = [
                report.cell(mine.get(o), next((r for r in here if r["library"] == "m2m" and r["operation"] == o), None))
                for o in operations
            ]
            lines.append(f"| {library} | {next(iter(mine.values()))['parameters']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = report.parser(__doc__)
    parser.add_argument("--dims", type=int, nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=LIBRARIES)
    arguments, device = report.begin(parser, "flows", budget=60.0)
    torch.manual_seed(0)
    rows = []
    for dim in arguments.dims:
        rows += measure(dim, arguments.libraries, device, arguments.rounds, arguments.budget)
    print(table(rows))
    counts = {dim: {row["parameters"] for row in rows if row["dim"] == dim} for dim in arguments.dims}
    same = all(len(c) == 1 for c in counts.values())
    print("\n" + ("All have the same number of parameters." if same else "PARAMETERS DIFFER."))
    report.write(arguments.out, rows, command=report.command("bench.flows", arguments), device=device, packages=PACKAGES)


if __name__ == "__main__":
    main()
