"""QM9: molecules of H, C, N, O and F with up to nine heavy atoms, their geometry and 15 properties from quantum chemistry.

Ramakrishnan, Dral, Rupp, von Lilienfeld 2014 (doi:10.1038/sdata.2014.22; B3LYP/6-31G(2df,p); data under CC0). The library
ships 10,000 of the 130,831 molecules that passed the authors' consistency check; `m2m.data.qm9_formats` reads all of them
from each of the three forms in which they are published. Positions are in angstrom, shipped on a grid of 5e-4.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy
import torch
from torch import Tensor

from m2m.atoms import RADII

SHIPPED = Path(__file__).parent / "files" / "qm9_10k.npz"
TWINS = SHIPPED.with_name("qm9_twins.npz")  # pairs that stand side by side, with other bonds and the same refined colours
GRID = 5e-4  # angstrom; rounding moves an atom by at most 2.5e-4 along an axis
ELEMENTS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}

# Name -> unit, in the order of the published files
PROPERTIES = {
    "A": "GHz", "B": "GHz", "C": "GHz",  # rotational constants
    "mu": "D",  # length of the dipole moment
    "alpha": "bohr^3",  # isotropic polarisability
    "homo": "Ha", "lumo": "Ha", "gap": "Ha",  # highest occupied and lowest empty orbital, and their difference
    "r2": "bohr^2",  # electronic spatial extent
    "zpve": "Ha",  # zero-point vibrational energy
    "U0": "Ha", "U": "Ha", "H": "Ha", "G": "Ha",  # internal energy at 0 K; energy, enthalpy, free energy at 298.15 K
    "Cv": "cal/mol/K",  # heat capacity
}  # fmt: skip

# CODATA 2018. PyTorch Geometric uses 27.211386246 eV: the same to 5e-13.
PER_HARTREE = {"Ha": 1.0, "eV": 27.211386245988, "meV": 27211.386245988, "kcal/mol": 627.5094740631, "kJ/mol": 2625.4996394799}

# Single atoms at the same level of theory, in the units above, for H, C, N, O, F (the authors' atomref.txt)
ATOMS = {
    "U0": (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730),
    "U": (-0.498857, -37.845355, -54.582445, -75.063163, -99.717314),
    "H": (-0.497912, -37.844411, -54.581501, -75.062219, -99.716370),
    "G": (-0.510927, -37.861317, -54.598897, -75.079532, -99.733544),
}


@dataclass
class MoleculeBatch:
    """Some molecules as one graph without edges between them.

    z: atomic numbers (N,) int64; x: positions (N, 3) in angstrom; batch: molecule of each atom (N,), 0 .. B - 1;
    y: targets (B, K); index: numbers in QM9 (B,), from 1.
    """

    z: Tensor
    x: Tensor
    batch: Tensor
    y: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str) -> MoleculeBatch:
        return MoleculeBatch(*(value.to(device) for value in vars(self).values()))


@dataclass
class Molecules:
    """Molecules of different sizes, one after the other; `[rows]` gives a `MoleculeBatch`.

    z: (A,) int64 for A atoms in all; x: (A, 3) float32 in angstrom; sizes: atoms of each of the n molecules (n,);
    y: (n, 15) float64, the columns of `PROPERTIES`, or other targets from `with_targets`; index: (n,); smiles: n texts.

    >>> len(load()), load()[torch.tensor([0, 1])].x.shape[1]
    (10000, 3)
    """

    z: Tensor
    x: Tensor
    sizes: Tensor
    y: Tensor
    index: Tensor
    smiles: tuple[str, ...]

    def __post_init__(self) -> None:
        n, atoms = len(self.sizes), int(self.sizes.sum())
        wrong = (
            self.z.shape != (atoms,)
            or self.x.shape != (atoms, 3)
            or not len(self.y) == len(self.index) == len(self.smiles) == n
        )
        if wrong:
            got = f"z {tuple(self.z.shape)}, x {tuple(self.x.shape)}, y {len(self.y)}, index {len(self.index)}, smiles {len(self.smiles)}"
            raise ValueError(f"molecules: got {got}, expected ({atoms},), ({atoms}, 3), and {n} of the others")
        self.first = self.sizes.cumsum(0) - self.sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, rows: Tensor | Sequence[int] | int) -> MoleculeBatch:
        rows, atoms = self._atoms(rows)
        batch = torch.repeat_interleave(torch.arange(len(rows)), self.sizes[rows])
        return MoleculeBatch(self.z[atoms], self.x[atoms], batch, self.y[rows], self.index[rows])

    def _atoms(self, rows: Tensor | Sequence[int] | int) -> tuple[Tensor, Tensor]:
        """The rows as a tensor (B,), and the atoms of these molecules one after the other."""
        rows = torch.as_tensor(rows).reshape(-1)
        rows = rows.nonzero()[:, 0] if rows.dtype == torch.bool and len(rows) == len(self) else rows.long()
        if rows.numel() and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise IndexError(f"rows: got {rows.min()} to {rows.max()}, expected 0 to {len(self) - 1}")
        rows, sizes = rows % max(1, len(self)), self.sizes[rows]
        within = torch.arange(int(sizes.sum())) - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        return rows, torch.repeat_interleave(self.first[rows], sizes) + within

    def subset(self, rows: Tensor | Sequence[int]) -> Molecules:
        """The molecules of these rows, or where a mask (n,) is true."""
        rows, atoms = self._atoms(rows)
        names = tuple(self.smiles[row] for row in rows.tolist())
        return Molecules(self.z[atoms], self.x[atoms], self.sizes[rows], self.y[rows], self.index[rows], names)

    def with_targets(self, y: Tensor) -> Molecules:
        """The same molecules with other targets (n, K)."""
        return replace(self, y=y)

    def property(self, name: str, unit: str | None = None) -> Tensor:
        """One of `PROPERTIES` for each molecule, (n,) float64; `unit` may be another unit of energy.

        Raises:
            ValueError: there is no such property, it has no such unit, or the targets are not QM9's.
        """
        if name not in PROPERTIES or self.y.shape[1] != len(PROPERTIES):
            has = f"targets of shape {tuple(self.y.shape)}" if name in PROPERTIES else f"{name!r}"
            raise ValueError(f"property: got {has}, expected one of {', '.join(PROPERTIES)} in targets (n, {len(PROPERTIES)})")
        return convert(self.y[:, list(PROPERTIES).index(name)], PROPERTIES[name], unit or PROPERTIES[name])

    def atomisation(self, name: str = "U0", unit: str = "Ha") -> Tensor:
        """An energy less those of the single atoms, (n,): what the bonds are worth, below 0."""
        if name not in ATOMS:
            raise ValueError(
                f"property: got {name!r}, expected an energy with a reference of single atoms: {', '.join(ATOMS)}"
            )
        single = self.counts() @ torch.tensor(ATOMS[name], dtype=torch.float64)
        return convert(self.property(name) - single, "Ha", unit)

    def counts(self) -> Tensor:
        """How many atoms of H, C, N, O, F each molecule has, (n, 5) float64."""
        return counts(self.z, torch.repeat_interleave(torch.arange(len(self)), self.sizes), len(self))


def convert(values: Tensor, have: str, want: str) -> Tensor:
    """Values (...,) in the unit `have`, in the unit `want`; among units of energy, `PER_HARTREE`, where they differ.

    Raises:
        ValueError: a unit that is not one of this quantity.
    """
    if have == want:
        return values
    if not {have, want} <= PER_HARTREE.keys():
        raise ValueError(
            f"unit: got {want!r} for a quantity in {have}, expected {have} or, for energies, one of {', '.join(PER_HARTREE)}"
        )
    return values * (PER_HARTREE[want] / PER_HARTREE[have])


# --- Files of this library ------------------------------------------------------------------------------------------------


@lru_cache
def load(path: str | Path = SHIPPED) -> Molecules:
    """The 10,000 shipped molecules in the order of their index, or those in a file that `save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or another kind of file.
    """
    try:
        with numpy.load(path) as file:
            read = {key: torch.from_numpy(file[key]) for key in ("z", "x", "sizes", "y", "index")}
            smiles = bytes(file["smiles"]).decode("ascii").split("\n")
    except FileNotFoundError:
        raise
    except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged, or not a file that molecules.save wrote ({error})") from error
    x = (read["x"].double() * GRID).float().T.contiguous()
    return Molecules(read["z"].long(), x, read["sizes"].long(), read["y"].T.contiguous(), read["index"].long(), tuple(smiles))


def save(molecules: Molecules, path: str | Path) -> None:
    """Write molecules compactly: positions as 16-bit multiples of `GRID`, targets in full. The same data give the same bytes.

    Raises:
        ValueError: a position too far from the origin for 16 bits.
    """
    x = numpy.round(molecules.x.double().numpy() / GRID)
    if numpy.abs(x).max(initial=0) > 32767:
        raise ValueError(
            f"x: got a position {numpy.abs(x).max() * GRID:.1f} angstrom from the origin, expected at most {32767 * GRID:.2f}"
        )
    small = dict(z=molecules.z, sizes=molecules.sizes)
    numpy.savez_compressed(
        path, **{key: value.numpy().astype("uint8") for key, value in small.items()}, x=x.T.astype("int16"),
        index=molecules.index.numpy().astype("int32"), y=numpy.ascontiguousarray(molecules.y.numpy().T),
        smiles=numpy.frombuffer("\n".join(molecules.smiles).encode("ascii"), dtype="uint8"))  # fmt: skip


# --- Splits ---------------------------------------------------------------------------------------------------------------


def fractions(index: Tensor, salt: str) -> Tensor:
    """A number in [0, 1) for each index, (n,) float64: as if drawn at random, and the same on every machine for ever."""
    digests = (hashlib.sha256(f"{salt}:{i}".encode()).digest() for i in index.tolist())
    return torch.tensor([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests], dtype=torch.float64)


def split(molecules: Molecules, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> dict[str, Tensor]:
    """Rows for "train", "validation" and "test", each sorted.

    A molecule's part depends on its index in QM9 and the seed only. So the shipped molecules are in the same parts as in the
    full set, and a network trained on one is never tested on what it has seen in the other.

    Raises:
        ValueError: shares that leave nothing to train on.
    """
    if not (validation >= 0 and test >= 0 and validation + test < 1):
        raise ValueError(f"validation, test: got {validation} and {test}, expected shares that leave something to train on")
    u = fractions(molecules.index, f"split {seed}")
    part = {"test": u < test, "validation": (u >= test) & (u < test + validation), "train": u >= test + validation}
    return {name: part[name].nonzero()[:, 0] for name in ("train", "validation", "test")}


# --- From elements and positions --------------------------------------------------------------------------------------------


def counts(z: Tensor, batch: Tensor, molecules: int) -> Tensor:
    """How many atoms of H, C, N, O, F each molecule has, (molecules, 5) float64.

    Raises:
        ValueError: an atom that is not H, C, N, O or F.
    """
    column = _table({number: k for k, number in enumerate(ELEMENTS.values())}, torch.int64, -1).to(z.device)[z]
    if (column < 0).any():
        raise ValueError(
            f"z: got atomic numbers {sorted(set(z[column < 0].tolist()))}, expected some of {list(ELEMENTS.values())}"
        )
    flat = torch.bincount(batch * len(ELEMENTS) + column, minlength=molecules * len(ELEMENTS))
    return flat.reshape(molecules, len(ELEMENTS)).double()


def fit_counts(counts: Tensor, y: Tensor, ridge: float = 1e-3) -> Tensor:
    """The baseline of atom counts: weights (6, K) of H, C, N, O, F and a constant that predict y (n, K) best.

    Least squares with `ridge` times the squared weights added, but not that of the constant. Predict with `from_counts`.
    """
    columns, mean = counts - counts.mean(0), y.double().mean(0)
    penalty = ridge * torch.eye(counts.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(columns.T @ columns + penalty, columns.T @ (y.double() - mean))
    return torch.cat([weights, (mean - counts.mean(0) @ weights)[None]])


def from_counts(counts: Tensor, weights: Tensor) -> Tensor:
    """What the baseline predicts, (n, K), for atom counts (n, 5) and the weights of `fit_counts`."""
    return counts @ weights[:-1] + weights[-1]


def bonded(z: Tensor, x: Tensor, edge_index: Tensor, tolerance: float = 1.15) -> Tensor:
    """Which of the pairs (2, E) of atoms are joined by a bond: nearer than `tolerance` times the sum of their covalent radii, (E,).

    A rule, not data: it knows no double bonds. Molecule viewers use 1.3, which in QM9's cages joins carbons that only face each
    other, in one molecule of eighteen; with 1.15 the number of heavy bonds is that of the SMILES in all but 2 of 10,000.
    """
    radius = _table(RADII, x.dtype, 0.0).to(z.device)[z]
    i, j = edge_index
    return (x[j] - x[i]).square().sum(-1).sqrt() < tolerance * (radius[i] + radius[j])


def _table(values: dict[int, float], dtype: torch.dtype, default: float) -> Tensor:
    """A tensor to look values up by atomic number."""
    table = torch.full((119,), default, dtype=dtype)
    table[list(values)] = torch.tensor(list(values.values()), dtype=dtype)
    return table
