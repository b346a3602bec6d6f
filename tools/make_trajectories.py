"""Make the trajectories that the library ships: three molecules moving at 500 K under GFN2-xTB.

    python -m pip install -r tools/requirements-trajectories.txt
    OMP_NUM_THREADS=1 python tools/make_trajectories.py            # all three, about 10 minutes on one core
    OMP_NUM_THREADS=1 python tools/make_trajectories.py ethanol

GFN2-xTB (Bannwarth, Ehlert, Grimme 2019, https://doi.org/10.1021/acs.jctc.8b01176) is a semi-empirical tight-binding method.
The files have the keys and units of MD17, not its level of theory: errors published for MD17 do not compare with errors here.

A molecule is written down below as a Z-matrix, relaxed, heated to 500 K by a Langevin thermostat (time step 0.5 fs, friction
0.01 / fs), equilibrated for 1 ps, and then saved every 10th step (5 fs), 1,000 times. `minimum` is the energy of the relaxed
molecule, which no frame can be below unless it finds another conformer. Seeds are fixed, but molecules at 500 K
are chaotic: another machine or version gives other frames of the same distribution. On one machine, the same bytes come out.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation
from ase.optimize import BFGS
from tblite.ase import TBLite

FOLDER = Path(__file__).resolve().parent.parent / "src/lib/m2m/data/files"
FRAMES, EVERY, EQUILIBRATION = 1000, 10, 2000  # frames saved, steps between two, steps before the first
STEP, TEMPERATURE, FRICTION = 0.5, 500.0, 0.01  # fs, K, 1/fs
KCAL = units.mol / units.kcal  # kcal/mol per eV

# Element, then (bonded to, distance in A), (angle with, degrees), (dihedral with, degrees); atoms count from 0
ETHANOL = """
C
C 0 1.52
O 1 1.42 0 108
H 2 0.97 1 108 0 180
H 1 1.09 0 110 2 120
H 1 1.09 0 110 2 -120
H 0 1.09 1 110 2 180
H 0 1.09 1 110 2 60
H 0 1.09 1 110 2 -60
"""
MALONALDEHYDE = """
O
C 0 1.24
C 1 1.43 0 123
C 2 1.37 1 120 0 0
O 3 1.32 2 124 1 0
H 4 1.00 3 106 2 0
H 1 1.10 2 117 3 180
H 2 1.09 1 120 0 180
H 3 1.09 2 122 1 180
"""
ASPIRIN = """
C
C 0 1.40
C 1 1.40 0 120
C 2 1.40 1 120 0 0
C 3 1.40 2 120 1 0
C 4 1.40 3 120 2 0
H 2 1.09 1 120 0 180
H 3 1.09 2 120 1 180
H 4 1.09 3 120 2 180
H 5 1.09 4 120 3 180
C 1 1.49 0 120 5 180
O 10 1.22 1 124 0 0
O 10 1.35 1 113 0 180
H 12 0.98 10 107 1 180
O 0 1.39 1 120 2 180
C 14 1.36 0 118 1 75
O 15 1.20 14 123 0 0
C 15 1.50 14 111 0 180
H 17 1.09 15 110 14 60
H 17 1.09 15 110 14 180
H 17 1.09 15 110 14 -60
"""
MOLECULES = {"ethanol": (ETHANOL, 0), "malonaldehyde": (MALONALDEHYDE, 1), "aspirin": (ASPIRIN, 2)}  # Z-matrix, seed


def positions(rows: list[list[str]]) -> numpy.ndarray:
    """Positions (N, 3) in Angstrom from the rows of a Z-matrix."""
    x = numpy.zeros((len(rows), 3))
    for n, row in enumerate(rows[1:], start=1):
        numbers = [float(word) for word in row[1:]] + [90.0] * (7 - len(row))
        bonded, angle_with, dihedral_with = (int(numbers[k]) for k in (0, 2, 4))
        distance, angle, dihedral = numbers[1], numpy.radians(numbers[3]), numpy.radians(numbers[5])
        c = x[bonded]
        b = x[angle_with] if n > 1 else c - [1.0, 0.0, 0.0]
        a = x[dihedral_with] if n > 2 else b + [0.0, 1.0, 0.0]
        axis = (c - b) / numpy.linalg.norm(c - b)
        normal = numpy.cross(b - a, axis)
        normal /= numpy.linalg.norm(normal)
        across = numpy.cross(normal, axis)
        around = numpy.cos(dihedral) * across + numpy.sin(dihedral) * normal
        x[n] = c + distance * (numpy.sin(angle) * around - numpy.cos(angle) * axis)
    return x


def start(z_matrix: str) -> Atoms:
    """The molecule, relaxed under GFN2-xTB."""
    rows = [line.split() for line in z_matrix.strip().splitlines()]
    atoms = Atoms([row[0] for row in rows], positions(rows))
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.1, verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)
    return atoms


def force_error(atoms: Atoms, h: float = 1e-3, coordinates: int = 6) -> float:
    """Largest difference between forces and central differences of the energy, in kcal/mol/A, at the atoms' positions."""
    atoms = atoms.copy()
    atoms.calc = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    x, forces, worst = atoms.positions.copy(), atoms.get_forces(), 0.0
    for flat in numpy.linspace(0, 3 * len(x) - 1, coordinates).astype(int):
        place, energies = numpy.unravel_index(flat, x.shape), []
        for side in (h, -h):
            moved = x.copy()
            moved[place] += side
            atoms.positions = moved
            energies.append(atoms.get_potential_energy())
        worst = max(worst, abs(-(energies[0] - energies[1]) / (2 * h) - forces[place]) * KCAL)
    return worst


def simulate(name: str) -> dict[str, numpy.ndarray]:
    """The frames of one molecule in the keys and units of MD17."""
    z_matrix, seed = MOLECULES[name]
    atoms, random = start(z_matrix), numpy.random.default_rng(seed)
    minimum = atoms.get_potential_energy() * KCAL
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=random)
    Stationary(atoms), ZeroRotation(atoms)
    dynamics = Langevin(
        atoms, STEP * units.fs, temperature_K=TEMPERATURE, friction=FRICTION / units.fs, rng=random, fixcm=False
    )
    dynamics.run(EQUILIBRATION)
    energies, forces, frames = [], [], []
    for _ in range(FRAMES):
        dynamics.run(EVERY)
        frames.append(atoms.positions - atoms.get_center_of_mass())
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    error = force_error(atoms)
    if error > 0.05:
        raise SystemExit(f"{name}: forces differ from finite differences by {error:.3f} kcal/mol/A")
    print(f"{name}: forces agree with finite differences to {error:.4f} kcal/mol/A")
    return {
        "z": atoms.numbers.astype("uint8"), "R": numpy.array(frames, "float32"),
        "E": numpy.array(energies) * KCAL, "F": (numpy.array(forces) * KCAL).astype("float32"),
        "name": numpy.array(name), "theory": numpy.array("GFN2-xTB"), "r_unit": numpy.array("Ang"),
        "e_unit": numpy.array("kcal/mol"), "temperature": numpy.array(TEMPERATURE), "interval_fs": numpy.array(STEP * EVERY),
        "minimum": numpy.array(minimum),
    }  # fmt: skip


def main(names: list[str]) -> None:
    unknown = [name for name in names if name not in MOLECULES]
    if unknown:
        raise SystemExit(f"got {unknown[0]!r}, expected some of {', '.join(MOLECULES)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or MOLECULES:
        began, path = time.time(), FOLDER / f"xtb_{name}.npz"
        data = simulate(name)
        numpy.savez_compressed(path, **data)
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, energies spread {data['E'].std():.2f} kcal/mol, "
              f"forces {numpy.sqrt((data['F'] ** 2).mean()):.1f} kcal/mol/A, {time.time() - began:.0f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
