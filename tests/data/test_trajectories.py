"""The shipped trajectories, the split along time, and both file formats with the faults that such files have."""

import numpy
import pytest
import torch

from m2m.data import trajectories
from m2m.messages import dynamics, graph

ATOMS = {"ethanol": "CCOHHHHHH", "malonaldehyde": "OCCCOHHHH", "aspirin": "CCCCCCHHHHCOOHOCOCHHH"}
SYMBOLS = {1: "H", 6: "C", 8: "O"}


@pytest.fixture(scope="module")
def ethanol():
    return trajectories.load("ethanol")


def md17(trajectory, **changes):
    """The arrays of an MD17 file."""
    arrays = dict(
        z=trajectory.z.numpy().astype("uint8"),
        R=trajectory.x.numpy().astype("float64"),
        E=trajectory.energy.numpy()[:, None],
        F=trajectory.forces.numpy(),
    )
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def written(folder, arrays):
    numpy.savez_compressed(folder / "md17_ethanol.npz", **arrays)
    return folder / "md17_ethanol.npz"


@pytest.mark.parametrize("name", trajectories.NAMES)
def test_shipped(name):
    t = trajectories.load(name)
    assert "".join(SYMBOLS[z] for z in t.z.tolist()) == ATOMS[name] and t.theory == "GFN2-xTB"
    assert t.x.shape == t.forces.shape == (1000, len(t.z), 3) and t.energy.shape == (1000,)
    assert t.energy.dtype == torch.float64 and t.energy.min() > t.minimum
    mass = dynamics.masses(t.z).float()
    assert ((mass[:, None] * t.x).sum(1) / mass.sum()).abs().max() < 1e-4  # centred
    assert t.forces.sum(1).abs().max() < 0.05  # no net force
    whole = graph.norm(t.x[:, 0] - t.x[:, 1])
    assert 1.0 < whole.min() and whole.max() < 1.8


def test_energies_and_forces_belong_together(ethanol):
    """The work of the forces between neighbouring frames, 5 fs apart, is most of the change of the energy."""
    work = -(0.5 * (ethanol.forces[1:] + ethanol.forces[:-1]) * ethanol.x.diff(dim=0)).sum((1, 2)).double()
    change = ethanol.energy.diff()
    assert torch.corrcoef(torch.stack([work, change]))[0, 1] > 0.9
    assert torch.corrcoef(torch.stack([work[torch.randperm(999)], change]))[0, 1].abs() < 0.2  # the control


def test_batches(ethanol):
    known = ethanol.centred()
    batch = known[torch.tensor([3, 7])]
    assert batch.x.shape == (18, 3) and batch.batch.tolist() == [0] * 9 + [1] * 9
    assert torch.equal(batch.x[9:], ethanol.x[7]) and torch.equal(batch.forces[:9], ethanol.forces[3])
    assert batch.energy.double() + known.reference == pytest.approx(ethanol.energy[[3, 7]], abs=1e-5)
    assert ethanol.frames(torch.tensor([5])).centred(1.0).reference == 1.0
    assert batch.to("cpu").z.tolist() == ethanol.z.tolist() * 2


def test_unknown_name():
    with pytest.raises(ValueError, match="ethanol, malonaldehyde, aspirin"):
        trajectories.load("water")


# Splitting


def test_blocks_keep_their_distance():
    train, test = trajectories.block_split(1000)
    assert len(train) == 765 and len(test) == 200
    assert (train[:, None] - test).abs().min() == 6
    assert not set(train.tolist()) & set(test.tolist())
    shuffled = torch.randperm(1000)
    assert (shuffled[:765, None] - shuffled[800:]).abs().min() == 1  # the control: a random split does not


def test_a_random_split_leaks_and_blocks_less():
    """A model that only remembers, the energy of the nearest training frame, looks better when the split is random."""
    aspirin = trajectories.load("aspirin")
    d = torch.cdist(aspirin.x, aspirin.x).flatten(1)
    pairs, energy = torch.cdist(d, d), aspirin.energy

    def error(train, test):
        return (energy[train[pairs[test][:, train].argmin(1)]] - energy[test]).abs().mean().item()

    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert error(order[:765], order[800:]) < 0.8 * error(*trajectories.block_split(1000))


@pytest.mark.parametrize(
    "options", [{"frames": 10}, {"frames": 100, "every": 1}, {"frames": 100, "every": 30}, {"frames": 100, "gap": -1}]
)
def test_impossible_splits(options):
    with pytest.raises(ValueError, match="block_split"):
        trajectories.block_split(**options)


def test_a_gap_that_leaves_nothing():
    with pytest.raises(ValueError, match="no training frames"):
        trajectories.block_split(40, blocks=4, every=2, gap=20)


# Files


def equal(a, b):
    same = lambda u, v: torch.allclose(u.double(), v.double(), rtol=1e-5, atol=1e-4)
    return torch.equal(a.z, b.z) and same(a.x, b.x) and same(a.energy, b.energy) and same(a.forces, b.forces)


def test_md17_with_energies_in_a_column(tmp_path, ethanol):
    read = trajectories.read_md17(written(tmp_path, md17(ethanol)))
    assert equal(read, ethanol) and read.theory == "unknown" and read.minimum is None


@pytest.mark.parametrize("old, new", [("z", "Z"), ("E", "T"), ("E", "e"), ("R", "r")])
def test_older_spellings(tmp_path, ethanol, old, new):
    arrays = md17(ethanol)
    arrays[new] = arrays.pop(old)
    assert equal(trajectories.read_md17(written(tmp_path, arrays)), ethanol)


def test_rmd17(tmp_path, ethanol):
    a = md17(ethanol)
    arrays = {
        "nuclear_charges": a["z"],
        "coords": a["R"],
        "energies": a["E"][:, 0],
        "forces": a["F"],
        "old_energies": a["E"][:, 0] + 1,
        "old_forces": a["F"],
        "old_indices": numpy.arange(1000),
    }
    path = written(tmp_path, arrays)
    assert equal(trajectories.read_rmd17(path), ethanol)
    assert (trajectories.read_rmd17(path, old=True).energy - ethanol.energy).mean().item() == pytest.approx(1)
    with pytest.raises(ValueError, match="lacks z, R, E, F; it has coords"):
        trajectories.read_md17(path)
    with pytest.raises(ValueError, match="lacks nuclear_charges"):
        trajectories.read_rmd17(written(tmp_path, a))


@pytest.mark.parametrize("unit", trajectories.KCAL)
def test_units_by_name_and_by_the_file(tmp_path, ethanol, unit):
    a, per = md17(ethanol), trajectories.KCAL[unit]
    a["E"], a["F"] = a["E"] / per, a["F"] / per
    assert equal(trajectories.read_md17(written(tmp_path, a), energy_unit=unit), ethanol)
    assert equal(trajectories.read_md17(written(tmp_path, a | {"e_unit": numpy.array(unit)})), ethanol)
    if unit in ("eV", "Ha"):
        with pytest.raises(ValueError, match="eV or Ha"):
            trajectories.read_md17(written(tmp_path, a))


def test_lengths_in_bohr(tmp_path, ethanol):
    a = md17(ethanol)
    a["R"], a["F"] = a["R"] / trajectories.ANGSTROM["bohr"], a["F"] * trajectories.ANGSTROM["bohr"]
    assert equal(trajectories.read_md17(written(tmp_path, a), length_unit="bohr"), ethanol)
    with pytest.raises(ValueError, match="in bohr or nm"):
        trajectories.read_md17(written(tmp_path, a))
    with pytest.raises(ValueError, match="length_unit: got 'mile'"):
        trajectories.read_md17(written(tmp_path, a), length_unit="mile")


def test_energies_and_forces_in_different_units(tmp_path, ethanol):
    path = written(tmp_path, md17(ethanol, E=ethanol.energy.numpy() / trajectories.KCAL["eV"]))
    with pytest.raises(ValueError, match="different units"):
        trajectories.read_md17(path)
    assert len(trajectories.read_md17(path, plausible=False)) == 1000


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"F": None}, "lacks F"),
        ({"z": None}, "lacks z"),
        ({"z": numpy.ones(8)}, r"z \(8,\)"),
        ({"z": numpy.full(9, 0)}, "atomic numbers"),
        ({"z": numpy.full(9, 6.5)}, "atomic numbers"),
        ({"E": numpy.zeros(999)}, r"E \(999,\)"),
        ({"F": numpy.zeros((1000, 9, 2))}, r"F \(1000, 9, 2\)"),
        ({"R": numpy.full((1000, 9, 3), numpy.nan)}, "R has NaN"),
        ({"E": numpy.full(1000, numpy.inf)}, "E has NaN, infinity"),
        ({"E": numpy.array(["x"] * 1000)}, "not a number"),
        ({"R": numpy.zeros((0, 9, 3)), "F": numpy.zeros((0, 9, 3)), "E": numpy.zeros(0)}, "at least 1"),
    ],
)
def test_malformed(tmp_path, ethanol, changes, message):
    with pytest.raises(ValueError, match=message):
        trajectories.read_md17(written(tmp_path, md17(ethanol, **changes)))


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_truncated(tmp_path, ethanol, kept):
    path = written(tmp_path, md17(ethanol))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="damaged"):
        trajectories.read_md17(path)


def test_flipped_bytes_inside(tmp_path, ethanol):
    path = written(tmp_path, md17(ethanol))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        trajectories.read_md17(path)


def test_not_an_npz(tmp_path, ethanol):
    numpy.save(tmp_path / "one.npy", ethanol.x.numpy())
    (tmp_path / "text.npz").write_text("404: Not Found")
    numpy.savez(tmp_path / "objects.npz", z=numpy.array([{}], dtype=object))
    for name in ("one.npy", "text.npz", "objects.npz"):
        with pytest.raises(ValueError, match="damaged"):
            trajectories.read_md17(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        trajectories.read_md17(tmp_path / "absent.npz")
