"""The reader of ScanObjectNN, on files written in its format with its traps."""

import h5py
import numpy
import pytest
import torch

from m2m.data import scanobjectnn, scans

N, POINTS = 6, 200


@pytest.fixture
def written(tmp_path):
    """A file as the authors write it: y up, uint8 labels, masks of -1 and the class, points sorted by height."""
    made = scans.make(N, POINTS, seed=2)
    order = made.x[..., 2].argsort(1)
    x = made.x.gather(1, order[..., None].expand(-1, -1, 3))
    mask = torch.where(made.mask.gather(1, order), made.y[:, None], -1)
    data = x @ scanobjectnn.UP  # z up -> y up
    path = tmp_path / "test_objectdataset_augmentedrot_scale75.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["label"], file["mask"] = 3 * data.numpy() + 1, made.y.numpy().astype("uint8"), mask.numpy()
    return path, made


def test_z_is_up_again(written):
    path, made = written
    read = scanobjectnn.read(path)
    assert torch.linalg.det(scanobjectnn.UP) == 1
    assert (UP := scanobjectnn.UP) @ torch.tensor([0.0, 1, 0]) == pytest.approx(torch.tensor([0.0, 0, 1])) and UP.shape == (
        3,
        3,
    )
    assert read.y.tolist() == made.y.tolist() and read.y.dtype == torch.int64
    by_height = lambda x: x.gather(1, x[..., 2:].argsort(1).expand(-1, -1, 3))
    assert (by_height(read.x) - by_height(made.x)).abs().max() < 1e-5
    assert (read.mask.sum(1) == made.mask.sum(1)).all()
    with h5py.File(path) as file:  # the control: read as it stands, it lies on its side
        raw = torch.from_numpy(file["data"][:])
    raw = raw - raw.mean(1, keepdim=True)
    raw = raw / raw.norm(dim=-1).amax(1)[:, None, None]
    assert (by_height(raw.float()) - by_height(made.x)).abs().max() > 0.1


def test_the_points_are_a_sample_not_the_first(written):
    path, made = written
    read = scanobjectnn.read(path, 100)
    again, other = scanobjectnn.read(path, 100), scanobjectnn.read(path, 100, seed=1)
    assert read.x.shape == (N, 100, 3) and (read.x == again.x).all() and (read.x != other.x).any()
    # The file is sorted by height: the first half would have half of the height
    height = lambda x: x[..., 2].amax(1) - x[..., 2].amin(1)
    assert (height(read.x) > 0.7 * height(made.x)).all()


def test_object_only(written):
    path, made = written
    least = int(made.mask.sum(1).min())
    assert scanobjectnn.read(path, least, object_only=True).mask.all()
    assert not scanobjectnn.read(path, least).mask.all()
    with pytest.raises(ValueError, match=f"expected 1 to {least}"):
        scanobjectnn.read(path, least + 1, object_only=True)


def test_a_file_without_background_has_no_mask(tmp_path):
    path = tmp_path / "nobg.h5"
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = numpy.random.default_rng(0).normal(size=(2, 30, 3)), numpy.array([[3], [14]])
    read = scanobjectnn.read(path)
    assert read.mask.all() and read.y.tolist() == [3, 14]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": None}, "lacks data, has label, mask"),
        ({"label": numpy.arange(5)}, r"label \(5,\)"),
        ({"label": numpy.full(N, 15)}, "labels 15 to 15, expected 0 to 14"),
        ({"data": numpy.zeros((N, POINTS, 2))}, r"expected \(N, n, 3\)"),
        ({"data": numpy.full((N, POINTS, 3), numpy.nan)}, "6 clouds have numbers that are not finite"),
        ({"mask": numpy.zeros((N, 3))}, "mask"),
    ],
)
def test_files_that_do_not_fit(written, change, match):
    path, _ = written
    with h5py.File(path, "a") as file:
        for name, value in change.items():
            del file[name]
            if value is not None:
                file[name] = value
    with pytest.raises(ValueError, match=match):
        scanobjectnn.read(path)


def test_damaged_absent_and_too_many(written):
    path, _ = written
    with pytest.raises(ValueError, match="expected 1 to 200"):
        scanobjectnn.read(path, 201)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not an HDF5 file, or cut off"):
        scanobjectnn.read(path)
    path.write_text("no")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        scanobjectnn.read(path)
    with pytest.raises(FileNotFoundError, match="on request"):
        scanobjectnn.read(path.with_name("other.h5"))
