"""A molecule of QM9 as a file has it, and the checks that tell a good file from a damaged one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch

from m2m.data.molecules import ATOMS, ELEMENTS, PROPERTIES, Molecules


class Record(NamedTuple):
    """One molecule as a file has it, and where."""

    where: str
    index: int
    symbols: list[str]
    x: list[list[float]]
    y: list[float]
    smiles: str


def collect(records: Iterable[Record]) -> Molecules:
    """The records, each checked, as one data set in their order.

    Raises:
        ValueError: no molecule, or one of them more than once.
    """
    z, x, sizes, y, index, smiles = [], [], [], [], [], []
    for record in records:
        numbers = check(record)
        z += numbers
        x += record.x
        sizes.append(len(numbers))
        y.append(record.y)
        index.append(record.index)
        smiles.append(record.smiles)
    if not sizes:
        raise ValueError("records: got no molecule, expected one or more")
    if len(set(index)) < len(index):
        twice = next(i for i in index if index.count(i) > 1)
        raise ValueError(f"records: got molecule {twice} more than once")
    return Molecules(
        torch.tensor(z), torch.tensor(x, dtype=torch.float64).float(), torch.tensor(sizes),
        torch.tensor(y, dtype=torch.float64), torch.tensor(index), tuple(smiles))  # fmt: skip


def check(record: Record) -> list[int]:
    """Its atomic numbers, or a ValueError. Units are told by what holds for each molecule of QM9, with room to spare:

    the nearest two atoms are 0.9 to 1.45 angstrom apart; gap = lumo - homo; H - U = kT at 298.15 K; and the energy of
    atomisation is 0.08 to 0.25 hartree an atom.
    """
    where = record.where
    unknown = sorted(set(record.symbols) - set(ELEMENTS))
    demand(not unknown, where, f"got element {', '.join(unknown)}, expected {', '.join(ELEMENTS)}")
    demand(
        len(record.symbols) == len(record.x) > 1,
        where,
        f"got {len(record.symbols)} elements and {len(record.x)} positions, expected equally many",
    )
    nearest = min(math.dist(a, b) for k, a in enumerate(record.x) for b in record.x[:k])
    demand(
        0.9 < nearest < 1.45,
        where,
        f"got two atoms {nearest:.3f} apart as the nearest, expected 0.9 to 1.45 angstrom; other units?",
    )
    _check_energies(where, record.symbols, dict(zip(PROPERTIES, record.y, strict=True)))
    return [ELEMENTS[symbol] for symbol in record.symbols]


def _check_energies(where: str, symbols: list[str], y: dict[str, float]) -> None:
    gap = y["lumo"] - y["homo"]
    demand(
        abs(y["gap"] - gap) < 2e-4 and gap < 1,
        where,
        f"got gap {y['gap']:g} and lumo - homo {gap:g}, expected them equal, in hartree",
    )
    demand(
        abs(y["H"] - y["U"] - 9.442e-4) < 2e-6,
        where,
        f"got H - U = {y['H'] - y['U']:g}, expected kT = 9.44e-4 hartree at 298.15 K; other units?",
    )
    single = sum(ATOMS["U0"][list(ELEMENTS).index(symbol)] for symbol in symbols)
    share = (single - y["U0"]) / len(symbols)
    demand(
        0.08 < share < 0.25,
        where,
        f"got U0 = {y['U0']:g}, {share:g} an atom below single atoms, expected 0.08 to 0.25 hartree; other units?",
    )


def demand(holds: bool, where: str, message: str) -> None:
    """Raise a ValueError that says where, unless the condition holds."""
    if not holds:
        raise ValueError(f"{where}: {message}")


def number_in(text: str, where: str, what: str) -> float:
    """A finite number; Mathematica's `1.5*^-6` means 1.5e-6.

    Raises:
        ValueError: the text is not a finite number.
    """
    try:
        value = float(text.strip().replace("*^", "e"))
    except ValueError:
        raise ValueError(f"{where}: got {text.strip()!r} as {what}, expected a number") from None
    demand(math.isfinite(value), where, f"got {text.strip()!r} as {what}, expected a finite number")
    return value


def whole_in(text: str, where: str) -> int:
    """A whole number from 0 on."""
    demand(text.strip().isdigit(), where, f"got {text.strip()!r}, expected a whole number")
    return int(text)
