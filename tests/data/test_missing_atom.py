"""Sizes and elements of the pools, padding, classes of atoms, and removals."""

import pytest
import torch

from m2m.data import missing_atom, molecules


@pytest.fixture(scope="module")
def pools():
    return missing_atom.pools(0)


def test_pools(pools):
    count = {name: (len(pool), int(pool.present.sum())) for name, pool in pools.items()}
    assert count["train"][0] == 1000 and count["5-18"][0] == 300
    assert (count["19"], count["23"], count["25-29"]) == ((1363, 25897), (467, 10741), (185, 4685))
    for name, sizes in {"train": (5, 18), "5-18": (5, 18), "19": (19, 19), "23": (23, 23), "25-29": (25, 29)}.items():
        n = pools[name].present.sum(1)
        assert n.min() >= sizes[0] and n.max() <= sizes[1] and not (n == 28).any()


def test_fluorine_has_a_pool_of_its_own(pools):
    f = missing_atom.SYMBOLS.index("F")
    assert (pools["fluorine"].element == f).any(1).all() and (pools["fluorine"].element == f).sum() == 97
    assert not any((pools[name].element == f).any() for name in ("19", "23", "25-29")) and (pools["train"].element == f).any()


def test_no_molecule_is_in_two_sets():
    rows = [missing_atom.pools(seed)[name] for seed in range(3) for name in ("train", "5-18")] + [
        missing_atom.pools(0)["fluorine"]
    ]
    keys = [{(float(c[0, 0]), float(c[0, 1]), float(c[1, 2])) for c in part.x} for part in rows]
    assert keys[1] == keys[3] == keys[5] and keys[0] != keys[2]
    for i, j in ((0, 2), (0, 4), (2, 4), (0, 1), (2, 1), (4, 1), (0, 6), (2, 6), (4, 6)):
        assert not keys[i] & keys[j]
    with pytest.raises(ValueError, match="seed: got 3"):
        missing_atom.pools(3)


def test_clouds_are_the_molecules():
    every = molecules.load().subset([0, 5, 9])
    padded = missing_atom.clouds(every)
    assert torch.equal(padded.x[padded.present], every.x) and padded.present.sum(1).tolist() == every.sizes.tolist()
    numbers = torch.tensor(list(molecules.ELEMENTS.values()))
    assert torch.equal(numbers[padded.element[padded.present]], every.z)
    small = padded[[int(every.sizes.argmin())]]
    assert small.x.shape[1] == every.sizes.min() and small.present.all() and len(padded) == 3
    with pytest.raises(ValueError, match="one or more"):
        missing_atom.clouds(every.subset([]))
    every.z[0] = 14
    with pytest.raises(ValueError, match="expected H, C, N, O and F"):
        missing_atom.clouds(every)


def test_classes_of_methanol():
    """C at the origin with three hydrogens, O beside it with one; and padding."""
    x = torch.tensor(
        [[0.0, 0, 0], [1.42, 0, 0], [-0.4, 1.0, 0], [-0.4, -0.5, 0.87], [-0.4, -0.5, -0.87], [1.7, 0.9, 0], [0, 0, 0]]
    )
    batch = missing_atom.Clouds(x[None], torch.tensor([[1, 3, 0, 0, 0, 0, -1]]))
    assert [missing_atom.CLASSES[k] if k >= 0 else "" for k in missing_atom.classes(batch)[0].tolist()] == [
        "C", "O", "H on C", "H on C", "H on C", "H on O", ""]  # fmt: skip
    lonely = missing_atom.Clouds(x[None, :2], torch.tensor([[0, 0]]))
    with pytest.raises(ValueError, match="hydrogen whose nearest"):
        missing_atom.classes(lonely)


def test_every_atom_of_a_pool_has_a_class(pools):
    for pool in pools.values():
        kinds = missing_atom.classes(pool)
        assert ((kinds >= 0) == pool.present).all() and kinds.max() < len(missing_atom.CLASSES)


def test_removals():
    present = torch.tensor([[True, True, True, False], [True, True, True, True]])
    drawn = torch.stack([missing_atom.removals(present, 2, torch.Generator().manual_seed(k)) for k in range(300)])
    assert (drawn[:, :, 0] != drawn[:, :, 1]).all() and drawn[:, 0].max() == 2
    share = torch.bincount(drawn[:, 1].flatten(), minlength=4) / 600
    assert (share - 0.25).abs().max() < 0.06
    with pytest.raises(ValueError, match="at most 3"):
        missing_atom.removals(present, 4)
