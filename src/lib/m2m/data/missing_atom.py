"""Molecules with one atom taken away: which element was it, and where?

Training sets of 1,000 molecules with 5 to 18 atoms, and test sets of larger ones, from the shipped part of QM9. The task and
the sizes are those of Tensor field networks, https://arxiv.org/abs/1802.08219, which takes the first molecules of QM9 where
we take random ones, and whose test sets have next to no fluorine: here it has a test set of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from m2m.data import molecules

SYMBOLS = tuple(molecules.ELEMENTS)  # columns of element scores
CLASSES = ("H on C", "H on N", "H on O", "C", "N", "O", "F")
SEEDS, TRAINING = 3, 1000  # so many training sets without common molecules, of so many molecules
SALT = "missing atom"


@dataclass
class Clouds:
    """Molecules as clouds padded to one size; `[rows]` gives some of them, cut to the size of their largest.

    x: positions (N, n, 3) in angstrom, 0 in the padding; element: index into `SYMBOLS` (N, n), -1 in the padding.
    """

    x: Tensor
    element: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | Sequence[int]) -> Clouds:
        element = self.element[rows]
        n = int((element >= 0).sum(1).max())
        return Clouds(self.x[rows][:, :n], element[:, :n])

    def to(self, device: torch.device | str) -> Clouds:
        return Clouds(self.x.to(device), self.element.to(device))

    @property
    def present(self) -> Tensor:
        """Where there is an atom, (N, n) of bool."""
        return self.element >= 0


def clouds(chosen: molecules.Molecules) -> Clouds:
    """Padded clouds of molecules, their atoms first to last.

    Raises:
        ValueError: there is none, or one has an element other than H, C, N, O, F.
    """
    if not len(chosen):
        raise ValueError("chosen: got no molecules, expected one or more")
    column = torch.full((int(chosen.z.max()) + 1,), -1)
    for k, number in enumerate(molecules.ELEMENTS.values()):
        column[number : number + 1] = k
    if (column[chosen.z] < 0).any():
        raise ValueError(f"chosen: got atomic numbers {chosen.z.unique().tolist()}, expected H, C, N, O and F")
    filled = torch.arange(int(chosen.sizes.max())) < chosen.sizes[:, None]
    x, element = torch.zeros(*filled.shape, 3), torch.full(filled.shape, -1)
    x[filled], element[filled] = chosen.x, column[chosen.z]
    return Clouds(x, element)


@lru_cache
def pools(seed: int = 0) -> dict[str, Clouds]:
    """The training set of a seed, and test sets that are the same for all.

    "train": 1,000 molecules of 5 to 18 atoms; "5-18": 300 others of these sizes; "19", "23", "25-29": all shipped molecules of
    these sizes (none has 28 atoms); "fluorine": all with fluorine that no training set has, of up to 18 atoms.

    Raises:
        ValueError: a seed without a training set of its own.
    """
    if seed not in range(SEEDS):
        raise ValueError(f"seed: got {seed!r}, expected 0 to {SEEDS - 1}, the training sets without common molecules")
    every = molecules.load()
    order = molecules.fractions(every.index, SALT).argsort()
    small = order[(every.sizes[order] >= 5) & (every.sizes[order] <= 18)]
    unseen = small[SEEDS * TRAINING :]
    rows = {"train": small[seed * TRAINING : (seed + 1) * TRAINING], "5-18": unseen[:300]}
    for name, least, most in (("19", 19, 19), ("23", 23, 23), ("25-29", 25, 29)):
        rows[name] = order[(every.sizes[order] >= least) & (every.sizes[order] <= most)]
    fluorine = every.counts()[:, list(SYMBOLS).index("F")] > 0
    rows["fluorine"] = unseen[fluorine[unseen]]
    return {name: clouds(every.subset(chosen)) for name, chosen in rows.items()}


def classes(batch: Clouds) -> Tensor:
    """What each atom is, (N, n): an index into `CLASSES`, hydrogens by the nearest other atom; -1 in the padding.

    Raises:
        ValueError: a hydrogen whose nearest other atom is not C, N or O.
    """
    heavy = batch.present & (batch.element > 0)
    distance = torch.cdist(batch.x, batch.x).masked_fill(~heavy[:, None], torch.inf)
    parent = batch.element.gather(1, distance.argmin(-1))  # an element: C 1, N 2, O 3
    if ((batch.element == 0) & ~((parent >= 1) & (parent <= 3))).any():
        raise ValueError("batch: got a hydrogen whose nearest other atom is not C, N or O")
    return torch.where(batch.element == 0, parent - 1, torch.where(batch.present, batch.element + 2, -1))


def removals(present: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """`count` different atoms of each molecule to take away, one at a time, drawn evenly: (N, count) for present (N, n).

    Raises:
        ValueError: more removals than the smallest molecule has atoms.
    """
    if count > int(present.sum(1).min()):
        raise ValueError(
            f"count: got {count}, expected at most {int(present.sum(1).min())}, the atoms of the smallest molecule"
        )
    return torch.multinomial(present.float(), count, generator=generator)
