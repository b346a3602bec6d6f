"""Which atom is missing, and where? Networks trained on 1,000 molecules of QM9 with 5 to 18 atoms, tested on larger ones.

The task of Tensor field networks, https://arxiv.org/abs/1802.08219, section 5.4. `model` "vectors" is the book's network at the
size of a chapter, "large" wider and with degree 2, "mixture" with several arrows for each atom, a likelihood as its loss and a
second look at the hole, "scalars" the control without arrows, "published" the paper's own network with its own loss. A result
counts, for each test set and each of `missing_atom.CLASSES`, how many removals there were, how many were guessed right (element
and place within 0.5 angstrom), how many elements, and the mean error of the place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from m2m import runtime, training
from m2m.data import missing_atom
from m2m.tensors import rotations, votes

NEAR = 0.5  # angstrom
MOLECULES = 500  # of each pool in a long run
PUBLISHED = {  # share right and mean error in angstrom: arXiv:1802.08219, section 5.4
    "train": (0.926, 0.16), "19": (0.947, 0.15), "23": (0.969, 0.14), "25-29": (0.978, 0.17)}  # fmt: skip
MODELS = {
    "vectors": dict(steps=5500, batch_size=8, lr=5e-3, network=dict(channels=(16, 16), layers=3, size=10)),
    "scalars": dict(steps=2500, batch_size=8, lr=5e-3, network=dict(channels=(32,), layers=3, size=10)),
    "published": dict(steps=6000, batch_size=8, lr=5e-3, network={}),
    "mixture": dict(steps=15000, batch_size=8, lr=5e-3, network=dict(channels=(24, 24), layers=3, size=10, arrows=5)),
    "large": dict(steps=6000, batch_size=4, removals=4, lr=5e-3, network=dict(channels=(24, 16, 8), layers=3, size=10)),
}


def tasks(scale: str) -> list[dict]:
    """Models by seed; "gpu" has all of "cpu"."""
    listed = {"cpu": [("vectors", 0)], "gpu": [(model, seed) for model in MODELS for seed in range(missing_atom.SEEDS)]}
    return [{"model": model, "seed": seed} | MODELS[model] for model, seed in listed[scale]]


def run(*, model: str, seed: int, **settings) -> dict:
    """Train a network and measure it on its training set and on all test sets."""
    network, _ = train(model, seed=seed, **settings)
    return measure(network, missing_atom.pools(seed))


def build(model: str, **network) -> nn.Module:
    """An untrained network: "published", "mixture", or any other name for a `Voter`, made with the named settings."""
    kinds = {"published": votes.PublishedVoter, "mixture": votes.MixtureVoter}
    return kinds.get(model, votes.Voter)(**network)


def train(
    model: str = "vectors",
    *,
    seed: int = 0,
    steps: int = 5500,
    batch_size: int = 8,
    removals: int = 2,
    lr: float = 5e-3,
    network: dict | None = None,
    progress: bool = False,
) -> tuple[nn.Module, training.History]:
    """A network trained on the 1,000 molecules of a seed: `removals` atoms of each of `batch_size` molecules a step."""
    runtime.seed_everything(seed)
    voter = build(model, **(MODELS[model]["network"] if network is None else network)).to(runtime.device())
    choose = {"published": squared_loss, "mixture": likelihood}.get(model, loss)
    history = training.fit(
        voter, missing_atom.pools(seed)["train"], lambda m, batch: choose(m, batch, removals),
        steps=steps, batch_size=batch_size, lr=lr, warmup=50, clip=10.0, average=0.99, seed=seed, progress=progress)  # fmt: skip
    return voter.cpu(), history


# --- Losses ---------------------------------------------------------------------------------------------------------------


def loss(model: nn.Module, batch: missing_atom.Clouds, removals: int = 2) -> Tensor:
    """Cross-entropy of the voted element, and two smooth distances from the place: of the voted one, and of the single votes.

    The single votes count by their weight: an atom that points elsewhere lowers its weight or learns to point.
    """
    removed = missing_atom.removals(batch.present, removals)
    place, element = truth(batch, removed)
    cast = model.votes(batch.x, batch.element, removed)
    guess, scores = cast.guess()
    single = (cast.weights * smooth(cast.places - place[:, :, None])).sum(-1).mean()
    return functional.cross_entropy(scores.flatten(0, 1), element.flatten()) + single + smooth(guess - place).mean()


def likelihood(model: nn.Module, batch: missing_atom.Clouds, removals: int = 2, favoured: float = 5.0) -> Tensor:
    """Cross-entropy of the voted element, and -ln of the density that a `Mixture` of votes has at the place, times 0.3.

    A mixture is not paid for the middle between two places. Hydrogens on N and O, few and hard, are removed `favoured` times
    as often as other atoms; the cross-entropy is weighted so that it keeps the share that each element really has. Half of the
    batches are mirrored: a mirror image of a molecule is a molecule, which the network cannot know.
    """
    batch = mirrored(batch) if torch.rand(()) < 0.5 else batch
    removed, weights = draw(batch, removals, favoured)
    place, element = truth(batch, removed)
    cast = model.votes(batch.x, batch.element, removed)
    named = functional.cross_entropy(cast.scores.flatten(0, 1), element.flatten(), reduction="none")
    return (weights.flatten() * named).mean() - 0.3 * cast.log_density(place).mean()


def mirrored(batch: missing_atom.Clouds) -> missing_atom.Clouds:
    """The molecules behind a mirror."""
    return missing_atom.Clouds(batch.x * batch.x.new_tensor([-1.0, 1.0, 1.0]), batch.element)


def draw(batch: missing_atom.Clouds, count: int, favoured: float) -> tuple[Tensor, Tensor]:
    """Removals (B, count), hydrogens on N and O `favoured` times as often, and weights (B, count) of an even draw.

    The weights are those of a single draw; they undo the preference up to the effect of drawing without putting back.
    """
    kind = missing_atom.classes(batch)
    often = torch.where((kind == 1) | (kind == 2), favoured, 1.0) * batch.present
    removed = torch.multinomial(often, count)
    even = often.sum(1, keepdim=True) / batch.present.sum(1, keepdim=True)
    return removed, even / often.gather(1, removed)


def squared_loss(model: nn.Module, batch: missing_atom.Clouds, removals: int = 2) -> Tensor:
    """The published loss: half the squared errors of the place, and of the scores against 1 for the element and 0 for others."""
    removed = missing_atom.removals(batch.present, removals)
    place, element = truth(batch, removed)
    guess, scores = model(batch.x, batch.element, removed)
    target = functional.one_hot(element, scores.shape[-1])
    return ((guess - place).square().sum(-1) + (scores - target).square().sum(-1)).mean() / 2


def truth(batch: missing_atom.Clouds, removed: Tensor) -> tuple[Tensor, Tensor]:
    """Places (B, R, 3) and elements (B, R) of removed atoms (B, R)."""
    return batch.x.gather(1, removed[..., None].expand(-1, -1, 3)), batch.element.gather(1, removed)


def smooth(error: Tensor, knee: float = 0.25) -> Tensor:
    """Lengths of vectors (..., 3) less knee / 2, and a parabola below `knee`, (...): Huber's loss, in angstrom."""
    squared = error.square().sum(-1)
    return torch.where(squared < knee**2, squared / (2 * knee), squared.clamp_min(knee**2).sqrt() - knee / 2)


# --- Measuring ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def outcomes(model: nn.Module, pool: missing_atom.Clouds) -> dict[str, Tensor]:
    """Every atom of every molecule removed once: "kind" (index into CLASSES), "named" (element right), "error" (angstrom)."""
    sizes, parts = pool.present.sum(1), []
    for n in sizes.unique().tolist():
        for rows in (sizes == n).nonzero()[:, 0].split(8):
            batch = pool[rows]
            guess, scores = model(batch.x, batch.element, torch.arange(n).expand(len(rows), n))
            named = scores.argmax(-1) == batch.element
            parts.append((missing_atom.classes(batch), named, (guess - batch.x).square().sum(-1).sqrt()))
    kind, named, error = (torch.cat([part.flatten() for part in column]) for column in zip(*parts, strict=True))
    return {"kind": kind, "named": named, "error": error}


def table(found: dict[str, Tensor]) -> dict[str, list[float]]:
    """Outcomes by class: count, right, named, and the sum of errors in angstrom, each a list in the order of CLASSES."""
    right = found["named"] & (found["error"] <= NEAR)
    columns = {"count": torch.ones_like(found["error"]), "right": right, "named": found["named"], "error": found["error"]}
    add = lambda values: torch.bincount(found["kind"], values.double(), minlength=len(missing_atom.CLASSES)).tolist()
    return {name: add(values) for name, values in columns.items()}


def accuracy(counted: dict[str, list[float]]) -> float:
    """The share of removals guessed right, from a `table`."""
    return sum(counted["right"]) / sum(counted["count"])


def distance(counted: dict[str, list[float]]) -> float:
    """The mean error of the place in angstrom, from a `table`."""
    return sum(counted["error"]) / sum(counted["count"])


def measure(model: nn.Module, pools: dict[str, missing_atom.Clouds], molecules: int = MOLECULES) -> dict:
    """What the chapter shows: a `table` for each pool under its name, "accuracy NAME" and "distance NAME", and two checks.

    Of each pool at most so many `molecules` count, each with every atom removed once.
    """
    first = {name: pool[torch.arange(min(molecules, len(pool)))] for name, pool in pools.items()}
    tables = {name: table(outcomes(model, pool)) for name, pool in first.items()}
    result = {f"accuracy {name}": accuracy(counted) for name, counted in tables.items()}
    result |= {f"distance {name}": distance(counted) for name, counted in tables.items()}
    batch = pools["25-29"][torch.arange(10)]
    numbers = {"equivariance": equivariance(model, batch), "leak": leak(model, batch)}
    return result | numbers | {"parameters": sum(p.numel() for p in model.parameters())} | {"tables": tables}


@torch.no_grad()
def equivariance(model: nn.Module, batch: missing_atom.Clouds) -> float:
    """The largest change, in angstrom, of the place turned back, when molecules are turned and moved; first atoms removed."""
    removed = torch.arange(4).expand(len(batch), 4)
    place = model(batch.x, batch.element, removed)[0]
    turns, shift = rotations.random(5, generator=runtime.generator(0)), torch.tensor([1.0, -2.0, 3.0])
    moved = (model(batch.x @ turn.T + shift, batch.element, removed)[0] - (place @ turn.T + shift) for turn in turns)
    return max(difference.abs().max().item() for difference in moved)


@torch.no_grad()
def leak(model: nn.Module, batch: missing_atom.Clouds) -> float:
    """The largest change of place or scores when the atom is deleted from the arrays in place of masked: 0 if nothing leaks."""
    changes = []
    for k in range(len(batch)):
        single = batch[[k]]
        masked = model(single.x, single.element, torch.tensor([[k]]))
        left = torch.arange(single.x.shape[1]) != k
        deleted = model(single.x[:, left], single.element[:, left], torch.tensor([[-1]]))
        changes += [(a - b).abs().max().item() for a, b in zip(masked, deleted, strict=True)]
    return max(changes)


def standardised(counted: dict[str, list[float]], mix: list[float]) -> float:
    """The accuracy that the classes of a `table` would give in the proportions `mix`, over classes that it has."""
    pairs = [(w, r / n) for w, r, n in zip(mix, counted["right"], counted["count"], strict=True) if n]
    return sum(w * share for w, share in pairs) / sum(w for w, _ in pairs)
