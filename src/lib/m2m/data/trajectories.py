"""Molecular-dynamics trajectories: frames of one molecule with energies and forces.

Units everywhere: Angstrom, kcal/mol, kcal/mol/Angstrom. Shipped are three trajectories that `tools/make_trajectories.py` made
with **GFN2-xTB**, 500 K, 1,000 frames each, one every 5 fs. They have the keys of MD17, not its level of theory, so errors
published for MD17 do not compare with errors on them. Readers of the real files are `read_md17` and `read_rmd17`.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy
import torch
from torch import Tensor

NAMES = ("ethanol", "malonaldehyde", "aspirin")
KCAL = {"kcal/mol": 1.0, "kJ/mol": 1 / 4.184, "eV": 23.060547830619, "meV": 0.023060547830619, "Ha": 627.5094740631}
ANGSTROM = {"Ang": 1.0, "bohr": 0.529177210903, "nm": 10.0}
SPELLINGS = {"angstrom": "Ang", "ang": "Ang", "a": "Ang", "bohr": "bohr", "a.u.": "bohr", "nm": "nm", "kcal/mol": "kcal/mol",
             "kj/mol": "kJ/mol", "ev": "eV", "mev": "meV", "ha": "Ha", "hartree": "Ha"}  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Frames as one graph of separate molecules: z (B N,), x (B N, 3), batch (B N,), energy (B,), forces (B N, 3).

    The energy is float32 and counted from the data set's reference.
    """

    z: Tensor
    x: Tensor
    batch: Tensor
    energy: Tensor
    forces: Tensor

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(value.to(device) for value in vars(self).values()))


@dataclass(frozen=True)
class Trajectory:
    """Frames of one molecule: z (N,), x (T, N, 3), energy (T,) in float64, forces (T, N, 3); `theory` says of what.

    `trajectory[index]` with an int64 tensor of frame numbers is a `Batch`, so `training.fit` takes a trajectory as it is.
    Energies are large beside their differences, so a batch has them counted from `reference` (see `centred`). `minimum` is
    the energy of the relaxed molecule where it is known; a model that goes far below it has made up a hole.
    """

    name: str
    theory: str
    z: Tensor
    x: Tensor
    energy: Tensor
    forces: Tensor
    reference: float = 0.0
    minimum: float | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Batch:
        index = torch.as_tensor(index).reshape(-1)
        frames, atoms = len(index), len(self.z)
        return Batch(
            z=self.z.repeat(frames), x=self.x[index].flatten(0, 1),
            batch=torch.arange(frames).repeat_interleave(atoms),
            energy=(self.energy[index] - self.reference).to(self.x.dtype), forces=self.forces[index].flatten(0, 1),
        )  # fmt: skip

    def frames(self, index: Tensor) -> Trajectory:
        """The frames of these numbers (B,), as a trajectory."""
        return replace(self, x=self.x[index], energy=self.energy[index], forces=self.forces[index])

    def centred(self, reference: float | None = None) -> Trajectory:
        """The same, its batches' energies counted from `reference` in kcal/mol, by default from the mean (in float64)."""
        return replace(self, reference=self.energy.mean().item() if reference is None else reference)


def load(name: str) -> Trajectory:
    """The shipped GFN2-xTB trajectory of "ethanol", "malonaldehyde" or "aspirin": 1,000 frames, 500 K, 5 fs apart.

    Raises:
        ValueError: there is no such molecule.
    """
    if name not in NAMES:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(NAMES)}")
    with resources.as_file(resources.files("m2m.data") / "files" / f"xtb_{name}.npz") as path:
        return read_md17(path)


# --- Splitting ------------------------------------------------------------------------------------------------------------


def block_split(frames: int, blocks: int = 20, every: int = 5, gap: int = 5) -> tuple[Tensor, Tensor]:
    """Frame numbers for training and for testing, cut along time.

    The frames are cut into `blocks` of equal length, every `every`-th block is for testing, and `gap` frames on each side of a
    test block are in neither set. A random split would put a test frame between two training frames that are 5 fs away, and
    nearly equal to it: a model that remembers would pass. Slow motions (a methyl group turning) take longer than any block, so
    the blocks are less alike, not independent.

    Raises:
        ValueError: a split that leaves one of the two sets empty.
    """
    length = frames // blocks if blocks > 0 else 0
    if length < 1 or not 2 <= every <= blocks or gap < 0:
        got = f"frames={frames}, blocks={blocks}, every={every}, gap={gap}"
        raise ValueError(f"block_split: got {got}, expected 1 or more frames a block, 2 <= every <= blocks, gap >= 0")
    block = (torch.arange(frames) // length).clamp_max(blocks - 1)
    tested = block % every == every - 1
    test = tested.nonzero()[:, 0]
    near = torch.zeros(frames, dtype=torch.bool)
    for shift in range(-gap, gap + 1):
        near[(test + shift).clamp(0, frames - 1)] = True
    train = (~near).nonzero()[:, 0]
    if not len(train):
        raise ValueError(f"block_split: a gap of {gap} frames leaves no training frames in blocks of {length}")
    return train, test


# --- Files ----------------------------------------------------------------------------------------------------------------


def read_md17(
    path: str | Path, *, energy_unit: str | None = None, length_unit: str | None = None, plausible: bool = True
) -> Trajectory:
    """A trajectory in the format of MD17 and sGDML: an npz with z (N,), R (T, N, 3), E (T,) or (T, 1), F (T, N, 3).

    Older files spell them Z, T (for E), and so on: capitals do not matter, and T is taken for E where there is no E. Files are
    at http://www.sgdml.org/#datasets. Their `e_unit` and `r_unit` are used if `energy_unit` and `length_unit` are None;
    without them, kcal/mol and Angstrom.

    Args:
        energy_unit: "kcal/mol", "kJ/mol", "eV", "meV" or "Ha"; the forces are in this unit per `length_unit`.
        length_unit: "Ang", "bohr" or "nm".
        plausible: refuse numbers that no molecule near room temperature has in these units.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, lacks a key, has shapes that do not fit, NaN, or implausible units.
    """
    data = _read(path)
    keys = {key.lower(): key for key in data if key not in ("E", "T")}
    energy = "E" if "E" in data else "e" if "e" in data else "T" if "T" in data else "E"
    names = [keys.get("z", "z"), keys.get("r", "R"), energy, keys.get("f", "F")]
    return _trajectory(path, data, names, energy_unit, length_unit, plausible)


def read_rmd17(path: str | Path, *, old: bool = False, plausible: bool = True) -> Trajectory:
    """A trajectory of rMD17: an npz with nuclear_charges (N,), coords (T, N, 3), energies (T,), forces (T, N, 3).

    Files are at https://doi.org/10.24435/materialscloud:wy-kn; their authors ask not to train on more than 1,000 frames of
    one, since neighbouring frames are alike.

    Args:
        old: MD17's own energies and forces of the same frames (`old_energies`, `old_forces`), which are noisy.

    Raises:
        FileNotFoundError, ValueError: as `read_md17`.
    """
    kind = "old_" if old else ""
    names = ["nuclear_charges", "coords", f"{kind}energies", f"{kind}forces"]
    return _trajectory(path, _read(path), names, None, None, plausible)


def _read(path: str | Path) -> dict[str, numpy.ndarray]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"trajectory {path}: there is no such file")
    try:
        with numpy.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (zipfile.BadZipFile, zipfile.zlib.error, ValueError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"trajectory {path}: damaged, or not an npz file of numbers ({error})") from error


def _trajectory(path, data, names, energy_unit, length_unit, plausible) -> Trajectory:
    missing = [name for name in names if name not in data]
    if missing:
        raise ValueError(f"trajectory {path}: lacks {', '.join(missing)}; it has {', '.join(sorted(data))}")
    z, x, energy, forces = (numpy.asarray(data[name]) for name in names)
    energy = energy.reshape(-1) if energy.ndim == 2 and 1 in energy.shape else energy
    _check_arrays(path, dict(zip(names, (z, x, energy, forces))))
    text = lambda key, otherwise: str(data[key].reshape(-1)[0]) if key in data and data[key].size else otherwise
    per_energy = _factor("energy_unit", energy_unit or text("e_unit", "kcal/mol"), KCAL)
    per_length = _factor("length_unit", length_unit or text("r_unit", "Ang"), ANGSTROM)
    trajectory = Trajectory(
        name=text("name", Path(path).stem), theory=text("theory", "unknown"), z=torch.from_numpy(z.astype("int64")),
        x=torch.from_numpy((x * per_length).astype("float32")), energy=torch.from_numpy(energy.astype("float64") * per_energy),
        forces=torch.from_numpy((forces * (per_energy / per_length)).astype("float32")),
        minimum=float(data["minimum"]) * per_energy if "minimum" in data else None,
    )  # fmt: skip
    if plausible:
        _check_units(path, trajectory)
    return trajectory


def _check_arrays(path: str | Path, arrays: dict[str, numpy.ndarray]) -> None:
    (z, x, *_), names = arrays.values(), list(arrays)
    for name, value in arrays.items():
        if not numpy.issubdtype(value.dtype, numpy.number) or not numpy.isfinite(value).all():
            raise ValueError(f"trajectory {path}: {name} has NaN, infinity, or what is not a number")
    frames, atoms = x.shape[0] if x.ndim else 0, z.size
    expected = [(atoms,), (frames, atoms, 3), (frames,), (frames, atoms, 3)]
    if z.ndim != 1 or not frames or not atoms or any(a.shape != e for a, e in zip(arrays.values(), expected)):
        got = ", ".join(f"{name} {value.shape}" for name, value in arrays.items())
        raise ValueError(f"trajectory {path}: got {got}, expected {names[0]} (N,), {names[1]} and {names[3]} (T, N, 3), "
                         f"{names[2]} (T,), T and N at least 1")  # fmt: skip
    if (z != z.astype("int64")).any() or z.min() < 1 or z.max() > 118:
        raise ValueError(f"trajectory {path}: {names[0]} is {z.tolist()[:10]}, expected atomic numbers 1 to 118")


def _factor(name: str, unit: str, units: dict[str, float]) -> float:
    unit = SPELLINGS.get(unit.strip().lower(), unit)
    if unit not in units:
        raise ValueError(f"{name}: got {unit!r}, expected one of {', '.join(units)}")
    return units[unit]


def _check_units(path: str | Path, trajectory: Trajectory) -> None:
    """Near room temperature, whatever the theory, bonds are about 1 A, forces tens of kcal/mol/A, and energies spread by what
    forces do over a vibration, about 0.1 A."""
    x, forces, atoms = trajectory.x, trajectory.forces, len(trajectory.z)
    advice = "name the units of the file by energy_unit= and length_unit=, or pass plausible=False if they are right"
    if atoms > 1:
        first = torch.cdist(x[:1], x[:1])[0]
        shortest = first[~torch.eye(atoms, dtype=torch.bool)].min().item()
        if not 0.5 < shortest < 1.7:
            raise ValueError(f"trajectory {path}: the shortest distance is {shortest:.3g} A; is it in bohr or nm? {advice}")
    size = forces.square().mean().sqrt().item()
    if not 3 < size < 300:
        raise ValueError(f"trajectory {path}: forces are {size:.3g} kcal/mol/A on average; are they in eV or Ha? {advice}")
    ratio = trajectory.energy.std().item() / size / atoms**0.5 if len(x) > 10 else 0.1
    if not 0.01 < ratio < 1:
        raise ValueError(f"trajectory {path}: energies spread by {trajectory.energy.std():.3g} kcal/mol beside forces of "
                         f"{size:.3g} kcal/mol/A; are the two in different units? {advice}")  # fmt: skip
