"""The shipped molecules: that they are QM9's, come apart and together, and that what is derived from them is right."""

import hashlib
import math
import re

import numpy
import pytest
import torch

from m2m.data import molecules
from m2m.messages import graph

# sha256 of the arrays; the files themselves also depend on the version of zlib that packed them
ARRAYS = {
    "qm9_10k.npz": "86731f10d89f8e8606e2f11ef4113075b41fde73943932436e9f2ae0100b88c5",
    "qm9_twins.npz": "c7446ded9a0e7ca8f17c31a610ae23561901c8b238d28f8146302d2c929d9b6e",
}


@pytest.fixture(scope="module")
def shipped():
    return molecules.load()


@pytest.mark.parametrize("name", ARRAYS)
def test_files_hold_what_was_made(name):
    with numpy.load(molecules.SHIPPED.parent / name) as file:
        digest = hashlib.sha256(b"".join(key.encode() + file[key].tobytes() for key in sorted(file))).hexdigest()
    assert digest == ARRAYS[name]


def test_the_sample_looks_like_qm9(shipped):
    assert len(shipped) == len(set(shipped.index.tolist())) == 10_000
    assert 1 <= shipped.index.min() and shipped.index.max() <= 133_885
    assert torch.equal(shipped.index, shipped.index.sort().values)
    assert (shipped.sizes.min(), shipped.sizes.max()) == (4, 29) and abs(shipped.sizes.double().mean() - 18.03) < 0.1
    composition = shipped.counts().mean(0)  # of the full set: facts of the whole, which a fair sample repeats
    for got, full in zip(composition.tolist(), (9.24, 6.36, 1.01, 1.40, 0.023), strict=True):
        assert got == pytest.approx(full, abs=0.08)
    gap = shipped.property("gap", "eV")
    assert gap.mean().item() == pytest.approx(6.86, abs=0.05) and gap.std().item() == pytest.approx(1.28, abs=0.05)


def test_there_are_enough_molecules_of_each_size(shipped):
    """For the pools of a later chapter: 1,000 of 5 to 18 atoms, then 19, 23, and 25 to 29."""
    sizes = shipped.sizes
    pools = [((low <= sizes) & (sizes <= high)).sum().item() for low, high in ((5, 18), (19, 19), (23, 23), (25, 29))]
    assert pools[0] > 5000 and pools[1] > 1000 and pools[2] > 400 and pools[3] > 150


def test_physics_of_every_molecule(shipped):
    value = {name: shipped.property(name) for name in molecules.PROPERTIES}
    torch.testing.assert_close(value["gap"], value["lumo"] - value["homo"], atol=1.01e-4, rtol=0)
    torch.testing.assert_close(value["H"] - value["U"], torch.full_like(value["H"], 9.44e-4), atol=2e-6, rtol=0)  # k T
    assert (value["G"] < value["U0"]).all() and (value["U0"] < value["U"]).all() and (value["zpve"] > 0).all()
    per_atom = shipped.atomisation("U0") / shipped.sizes
    assert -0.25 < per_atom.min() and per_atom.max() < -0.08
    nearest = torch.stack([torch.pdist(shipped[row].x.double()).min() for row in range(0, len(shipped), 50)])
    assert 0.9 < nearest.min() and nearest.max() < 1.45


def bond_counts(some, tolerance):
    """Bonds of each atom, and how many join two heavy atoms in each molecule."""
    pairs = graph.radius(some.x, 2.2, some.batch)
    i, j = edge_index = pairs[:, molecules.bonded(some.z, some.x, pairs, tolerance)]
    heavy = (some.z[i] > 1) & (some.z[j] > 1)
    return graph.degree(edge_index, len(some.z)), torch.bincount(some.batch[i[heavy]], minlength=len(some)) // 2


def bonds_in(smiles):
    """Heavy atoms - 1 + rings - further fragments: the bonds between heavy atoms that a SMILES text states."""
    plain = re.sub(r"\[[^\]]*\]", "X", smiles)
    return len(re.findall(r"[A-Za-z]", plain)) - 1 + len(re.findall(r"%\d\d|\d", plain)) // 2 - plain.count(".")


def test_bonds_are_those_of_the_smiles(shipped):
    degree, heavy = bond_counts(shipped[torch.arange(len(shipped))], 1.15)
    z = shipped.z
    assert (degree[z == 1] == 1).all() and (degree[z == 9] == 1).all() and degree[z == 8].max() <= 3 and degree[z == 6].max() <= 4
    stated = torch.tensor([bonds_in(smiles) for smiles in shipped.smiles])
    assert (heavy != stated).sum() == 2


def test_the_usual_tolerance_draws_too_many(shipped):
    """Control for the test above: with 1.3 carbons get five bonds."""
    degree, heavy = bond_counts(shipped[torch.arange(len(shipped))], 1.3)
    assert degree[shipped.z == 6].max() > 4
    assert (heavy > torch.tensor([bonds_in(smiles) for smiles in shipped.smiles])).sum() > 400


def test_batches_are_the_molecules_one_by_one(shipped):
    rows = torch.tensor([5, 9000, 5, 17])
    together = shipped[rows]
    alone = [shipped[row] for row in rows.tolist()]
    assert torch.equal(together.z, torch.cat([one.z for one in alone]))
    assert torch.equal(together.x, torch.cat([one.x for one in alone]))
    assert torch.equal(together.y, torch.cat([one.y for one in alone]))
    assert torch.equal(together.batch, graph.of_sizes([len(one.z) for one in alone])) and len(together) == 4
    assert together.z.dtype == torch.int64 and together.x.dtype == torch.float32 and together.y.dtype == torch.float64
    moved = together.to("cpu")
    assert torch.equal(moved.x, together.x) and torch.equal(moved.index, shipped.index[rows])


def test_rows_may_be_a_mask_a_list_or_nothing(shipped):
    mask = shipped.sizes == 29
    part = shipped.subset(mask)
    assert len(part) == 2 and torch.equal(part.index, shipped.index[mask]) and (part[[0, 1]].batch == 1).sum() == 29
    assert part.smiles == tuple(shipped.smiles[row] for row in mask.nonzero()[:, 0].tolist())
    assert torch.equal(shipped[-1].x, shipped[9999].x)
    assert len(shipped[torch.tensor([], dtype=torch.int64)]) == 0
    with pytest.raises(IndexError, match="got 10000 to 10000, expected 0 to 9999"):
        shipped[torch.tensor([10_000])]


def test_saved_and_loaded_is_the_same(shipped, tmp_path):
    part = shipped.subset(range(40))
    for name in ("one.npz", "two.npz"):
        molecules.save(part, tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    again = molecules.load(tmp_path / "one.npz")
    assert all(torch.equal(getattr(again, key), getattr(part, key)) for key in ("z", "x", "sizes", "y", "index"))
    assert again.smiles == part.smiles


def test_a_damaged_file_is_named(shipped, tmp_path):
    molecules.save(shipped.subset(range(40)), tmp_path / "whole.npz")
    data = (tmp_path / "whole.npz").read_bytes()
    for name, broken in {"cut.npz": data[: len(data) // 2], "other.npz": b"not a file of ours", "empty.npz": b""}.items():
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(ValueError, match=f"{name}: damaged"):
            molecules.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        molecules.load(tmp_path / "none.npz")
    far = molecules.Molecules(torch.tensor([1]), torch.full((1, 3), 99.0), torch.tensor([1]), torch.zeros(1, 1), torch.tensor([1]), ("",))
    with pytest.raises(ValueError, match="99.0 angstrom from the origin"):
        molecules.save(far, tmp_path / "far.npz")


def test_split_depends_on_the_index_alone(shipped):
    split = molecules.split(shipped)
    rows = torch.cat(list(split.values()))
    assert len(rows) == len(rows.unique()) == 10_000
    assert abs(len(split["test"]) - 1000) < 90 and abs(len(split["validation"]) - 1000) < 90
    part = shipped.subset(torch.arange(3, 10_000, 7))
    test = set(shipped.index[split["test"]].tolist())
    assert set(part.index[molecules.split(part)["test"]].tolist()) == test & set(part.index.tolist())
    assert not torch.equal(molecules.split(shipped, seed=1)["test"], split["test"])
    with pytest.raises(ValueError, match="got 0.5 and 0.5"):
        molecules.split(shipped, 0.5, 0.5)


def test_split_is_the_published_one(shipped):
    """It must never change: networks are trained on one part and tested on another."""
    test = shipped.index[molecules.split(shipped)["test"]].tolist()
    assert (len(test), sum(test)) == (1006, 66_132_892)


def test_units():
    one = torch.ones((), dtype=torch.float64)
    assert molecules.convert(one, "Ha", "eV").item() == 27.211386245988
    assert molecules.convert(one, "eV", "kcal/mol").item() == pytest.approx(23.060547830, rel=1e-9)
    assert molecules.convert(one, "D", "D") is one
    for have, want in (("Ha", "K"), ("D", "eV")):
        with pytest.raises(ValueError, match=f"unit: got '{want}' for a quantity in {have}"):
            molecules.convert(one, have, want)


def test_constants_are_those_of_pytorch_geometric():
    qm9 = pytest.importorskip("torch_geometric.datasets.qm9")
    assert molecules.PER_HARTREE["eV"] == pytest.approx(qm9.HAR2EV, rel=1e-12)
    for column, name in enumerate(molecules.ATOMS, 7):  # theirs are in eV, for H, C, N, O, F
        ours = [hartree * molecules.PER_HARTREE["eV"] for hartree in molecules.ATOMS[name]]
        assert ours == pytest.approx(qm9.atomrefs[column], rel=1e-8)


def test_methane_by_hand(shipped):
    """Numbers that anyone can look up: gdb 1, which the sample may not have, from its published energy."""
    methane = molecules.Molecules(
        torch.tensor([6, 1, 1, 1, 1]), torch.zeros(5, 3), torch.tensor([5]), torch.zeros(1, 15, dtype=torch.float64), torch.tensor([1]), ("C",)
    )
    methane.y[0, list(molecules.PROPERTIES).index("U0")] = -40.47893
    assert methane.counts().tolist() == [[4, 1, 0, 0, 0]]
    assert methane.atomisation("U0", "kcal/mol").item() == pytest.approx(-395.999594594, abs=1e-3)  # as gdb9.sdf.csv has it


def test_baseline_of_counts_finds_a_linear_law(shipped):
    counts = shipped.counts()
    law = torch.tensor([[1.0, -2.0, 3.0, 0.5, 7.0, 10.0]], dtype=torch.float64).T
    found = molecules.fit_counts(counts, molecules.from_counts(counts, law), ridge=0.0)
    torch.testing.assert_close(found, law, atol=1e-8, rtol=1e-8)
    energy = shipped.atomisation("U0", "eV")[:, None]
    left = energy - molecules.from_counts(counts, molecules.fit_counts(counts, energy))
    assert left.abs().mean() < 0.15 * (energy - energy.mean()).abs().mean()


def test_bad_arguments(shipped):
    with pytest.raises(ValueError, match="property: got 'energy', expected one of A, B, C, mu"):
        shipped.property("energy")
    with pytest.raises(ValueError, match="property: got 'gap', expected an energy with a reference"):
        shipped.atomisation("gap")
    with pytest.raises(ValueError, match="targets of shape"):
        shipped.with_targets(torch.zeros(10_000, 2)).property("gap")
    with pytest.raises(ValueError, match=r"atomic numbers \[17\]"):
        molecules.counts(torch.tensor([1, 17]), torch.tensor([0, 0]), 1)
    with pytest.raises(ValueError, match="molecules: got z"):
        molecules.Molecules(shipped.z[:5], shipped.x[:5], torch.tensor([4]), shipped.y[:1], shipped.index[:1], ("C",))


def test_twins_are_pairs_with_the_same_atoms_and_different_energies():
    twins = molecules.load(molecules.TWINS)
    counts, energy = twins.counts().view(-1, 2, 5), twins.property("U0", "kcal/mol").view(-1, 2)
    assert len(twins) == 440 and torch.equal(counts[:, 0], counts[:, 1])
    assert (energy[:, 0] - energy[:, 1]).abs().mean() > 10
    assert math.isclose(twins.property("U0")[0].item(), -234.470922) and twins.smiles[:2] == ("C1CC2CCC12", "C1CC1C1CC1")
