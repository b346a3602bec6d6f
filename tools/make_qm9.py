"""Make the shipped part of QM9 out of the package qm9pack 1.0.3: src/lib/m2m/data/files/qm9_10k.npz and qm9_twins.npz.

    python tools/make_qm9.py [WHEEL]      without a wheel, pip downloads it (104 MB); about 2 minutes

qm9_10k: of all 130,831 molecules the 10,000 whose index has the smallest hash, a plain random choice that every machine
repeats. qm9_twins: for each set of molecules whose bond graphs differ, but which colour refinement (the Weisfeiler-Leman
test) with elements as first colours cannot tell apart, the first two, one after the other.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import networkx
import numpy
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src" / "lib"))

from m2m.data import molecules, qm9_formats  # noqa: E402

NUMBER = 10_000


def wheel(path: Path | None, folder: str) -> Path:
    """The wheel, downloaded if no path is given; its checksum must be the one recorded."""
    if path is None:
        command = [sys.executable, "-m", "pip", "download", "qm9pack==1.0.3", "--no-deps", "--quiet", "--dest", folder]
        subprocess.run(command, check=True)
        (path,) = Path(folder).glob("qm9pack-*.whl")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != qm9_formats.QM9PACK_SHA256:
        sys.exit(f"{path}: sha256 {found}, expected {qm9_formats.QM9PACK_SHA256}")
    return path


def chosen(everything: molecules.Molecules) -> torch.Tensor:
    """The rows of the molecules to ship, in the order of their index."""
    return molecules.fractions(everything.index, "shipped").argsort()[:NUMBER].sort().values


def bond_matrix(z: torch.Tensor, x: torch.Tensor) -> numpy.ndarray:
    """Which atoms (N,) at x (N, 3) are joined by a bond, (N, N) of 0 and 1."""
    pairs = torch.combinations(torch.arange(len(z))).T
    i, j = pairs[:, molecules.bonded(z, x, pairs)].numpy()
    matrix = numpy.zeros((len(z), len(z)), dtype=numpy.int64)
    matrix[i, j] = matrix[j, i] = 1
    return matrix


def refined(z: list[int], bonds: numpy.ndarray, names: dict) -> tuple[int, ...]:
    """The sorted colours of the atoms after refinement; `names` numbers the colours, the same in all molecules."""
    neighbours = [row.nonzero()[0].tolist() for row in bonds]
    colours, classes = list(z), 0
    while len(set(colours)) > classes:
        classes = len(set(colours))
        seen = [(colour, tuple(sorted(colours[j] for j in near))) for colour, near in zip(colours, neighbours, strict=True)]
        colours = [names.setdefault(pair, 1000 + len(names)) for pair in seen]
    return tuple(sorted(colours))


def as_network(z: list[int], bonds: numpy.ndarray) -> networkx.Graph:
    """The bond graph with elements as labels."""
    graph = networkx.from_numpy_array(bonds)
    networkx.set_node_attributes(graph, dict(enumerate(z)), "z")
    return graph


def twins(everything: molecules.Molecules) -> torch.Tensor:
    """Rows of pairs that refinement cannot tell apart although their bond graphs differ, (2 * pairs,)."""
    groups, names, graphs = defaultdict(list), {}, {}
    for row in range(len(everything)):
        molecule = everything[row]
        z, bonds = molecule.z.tolist(), bond_matrix(molecule.z, molecule.x)
        groups[refined(z, bonds, names)].append(row)
    pairs = []
    for rows in (rows for rows in groups.values() if len(rows) > 1):
        graphs = {
            row: as_network(everything[row].z.tolist(), bond_matrix(everything[row].z, everything[row].x)) for row in rows
        }
        same = lambda a, b: networkx.is_isomorphic(graphs[a], graphs[b], node_match=lambda one, other: one["z"] == other["z"])
        other = next((row for row in rows[1:] if not same(rows[0], row)), None)
        if other is not None:
            pairs += [rows[0], other]
    return torch.tensor(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("wheel", nargs="?", type=Path, help="qm9pack-1.0.3-py3-none-any.whl, where it is there already")
    with tempfile.TemporaryDirectory() as folder:
        everything = qm9_formats.read_qm9pack(wheel(parser.parse_args().wheel, folder))
    files = molecules.SHIPPED.parent
    for name, rows in {"qm9_10k.npz": chosen(everything), "qm9_twins.npz": twins(everything)}.items():
        molecules.save(everything.subset(rows), files / name)
        data = (files / name).read_bytes()
        print(
            f"{name}: {len(rows)} of {len(everything)} molecules, {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()}"
        )


if __name__ == "__main__":
    main()
