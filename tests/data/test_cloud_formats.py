"""Readers of clouds and meshes: each format is written with its traps and read back, and each kind of damage is refused."""

import struct

import numpy
import pytest
import torch

from m2m.data import cloud_formats, meshes, shapes

CLOUD = shapes.clouds("chair", 1, points=40)[0]
SLAB = meshes.slab((0, 0, 0), (1, 2, 3))


# --- npy: PC15k -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pc15k(tmp_path):
    """Two chairs of 15,000 points in the folders of the set, one in float64, beside what does not belong there."""
    folder = tmp_path / "03001627" / "train"
    folder.mkdir(parents=True)
    for name, dtype in (("b", "float32"), ("a", "float64")):
        numpy.save(folder / f"{name}.npy", numpy.random.default_rng(ord(name)).normal(size=(15000, 3)).astype(dtype))
    (folder / "._a.npy").write_bytes(b"left by another system")
    (folder / "notes.txt").write_text("x")
    return tmp_path


def test_pc15k(pc15k):
    clouds = cloud_formats.read_pc15k(pc15k, "chair")
    assert clouds.names == ["a", "b"] and clouds.x.shape == (2, 15000, 3) and clouds.x.dtype == torch.float32
    assert numpy.array_equal(clouds.x[1], numpy.load(pc15k / "03001627" / "train" / "b.npy"))
    assert torch.equal(cloud_formats.read_pc15k(pc15k, "03001627", points=100).x, clouds.x[:, :100])


def test_pc15k_refuses(pc15k):
    with pytest.raises(ValueError, match="split: got 'validation', expected one of train, val, test"):
        cloud_formats.read_pc15k(pc15k, "chair", "validation")
    with pytest.raises(ValueError, match="points: got 15001"):
        cloud_formats.read_pc15k(pc15k, "chair", points=15001)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        cloud_formats.read_pc15k(pc15k, "table")
    (pc15k / "03001627" / "val").mkdir()
    with pytest.raises(FileNotFoundError, match="no .npy files"):
        cloud_formats.read_pc15k(pc15k, "chair", "val")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (numpy.zeros((2048, 3)), r"shape \(2048, 3\), expected .* \(15000, 3\)"),
        (numpy.zeros((15000, 3), int), "got int64"),
        (numpy.full((15000, 3), numpy.nan), "NaN"),
        (numpy.array([{"any": "code"}], dtype=object), "damaged, or not an npy file"),
    ],
)
def test_pc15k_refuses_files(pc15k, array, message):
    numpy.save(pc15k / "03001627" / "train" / "c.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        cloud_formats.read_pc15k(pc15k, "chair")


def test_pc15k_refuses_a_broken_download(pc15k):
    path = pc15k / "03001627" / "train" / "a.npy"
    for keep in (0, 50, 1000):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match="a.npy: damaged"):
            cloud_formats.read_pc15k(pc15k, "chair")


# --- PLY: the 2,048-point release -----------------------------------------------------------------------------------------


def ply(x, order="binary_little_endian", *, extra=True, newline="\n"):
    """A PLY file of points (N, 3) with a colour before them, a normal behind them, and a face: its bytes."""
    fields = ["uchar red", *(f"float {axis}" for axis in "xyz"), "double nx"] if extra else [f"float {a}" for a in "xyz"]
    head = ["ply", f"format {order} 1.0", "comment with element vertex 3", f"element vertex {len(x)}"]
    head += [f"property {field}" for field in fields]
    head += ["element face 1", "property list uchar int vertex_indices", "end_header", ""]
    rows = [(7, *row, 0.5) if extra else tuple(row) for row in x.tolist()]
    if order == "ascii":
        body = newline.join(" ".join(map(repr, row)) for row in rows).encode() + f"{newline}3 0 1 2{newline}".encode()
    else:
        code = ("<" if order == "binary_little_endian" else ">") + ("Bfffd" if extra else "fff")
        body = b"".join(struct.pack(code, *row) for row in rows) + b"\x03" + 12 * b"\x00"
    return newline.join(head).encode() + body


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply(tmp_path, order, extra, newline):
    path = tmp_path / "a.ply"
    path.write_bytes(ply(CLOUD, order, extra=extra, newline=newline))
    assert torch.equal(cloud_formats.read_ply(path), CLOUD)
    path.write_bytes(ply(CLOUD + 1e5, order, extra=extra, newline=newline))
    assert torch.equal(cloud_formats.read_ply(path), CLOUD + 1e5)


def test_ply_whose_first_byte_is_a_line_break(tmp_path):
    x = torch.from_numpy(numpy.frombuffer(b"\n\n\n\n" * 3, "<f4").reshape(1, 3).copy())
    (tmp_path / "a.ply").write_bytes(ply(x, extra=False))
    assert torch.equal(cloud_formats.read_ply(tmp_path / "a.ply"), x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-500], "bytes after the header"),
        (lambda data: data.replace(b"ply", b"pyl", 1), "no header"),
        (lambda data: data[:60], "no header"),
        (lambda data: b"", "no header"),
        (lambda data: data.replace(b"little", b"middle"), "format binary_middle_endian"),
        (lambda data: data.replace(b"float y", b"float v"), "x, v, z"),
        (lambda data: data.replace(b"uchar red", b"color red"), "unknown type or a list"),
        (lambda data: data.replace(b"uchar red", b"list uchar int red"), "unknown type or a list"),
        (lambda data: data.replace(b"element vertex 40", b"element vertex 0"), "N >= 1"),
        (lambda data: data.replace(b"element vertex 40", b"element vertex -5"), "N >= 1"),
        (lambda data: data.replace(b"element vertex 40", b"element edge 40"), "got element edge 40"),
        (lambda data: data.replace(struct.pack("<f", CLOUD[5, 1]), struct.pack("<f", float("nan"))), "NaN"),
    ],
)
def test_damaged_ply(tmp_path, change, message):
    path, data = tmp_path / "a.ply", ply(CLOUD)
    assert change(data) != data
    path.write_bytes(change(data))
    with pytest.raises(ValueError, match=message):
        cloud_formats.read_ply(path)


def test_damaged_ply_of_text(tmp_path):
    path, data = tmp_path / "a.ply", ply(CLOUD, "ascii")
    for broken, message in ((data[:-400], "full rows"), (data.replace(b"7 ", b"seven ", 1), "not a number")):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            cloud_formats.read_ply(path)


def test_shapenet2048(tmp_path):
    folder = tmp_path / "02691156"
    folder.mkdir()
    planes = shapes.clouds("airplane", 2)
    for name, x in zip("ba", planes, strict=True):
        (folder / f"{name}.ply").write_bytes(ply(x, extra=False))
    clouds = cloud_formats.read_shapenet2048(tmp_path, "airplane")
    assert clouds.names == ["a", "b"] and torch.equal(clouds.x, planes.flip(0))
    (folder / "c.ply").write_bytes(ply(CLOUD))
    with pytest.raises(ValueError, match="c.ply: got 40 points, expected 2048"):
        cloud_formats.read_shapenet2048(tmp_path, "airplane")


# --- OFF: ModelNet --------------------------------------------------------------------------------------------------------


def off(mesh, head="OFF\n"):
    """A mesh in the format OFF: its text."""
    rows = [f"{len(mesh.corners)} {len(mesh.triangles)} 0"]
    rows += [" ".join(map(repr, corner)) for corner in mesh.corners.tolist()]
    rows += [f"3 {a} {b} {c}" for a, b, c in mesh.triangles.tolist()]
    return head + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("OFF\n", "OFF"),  # the trap of ModelNet40
        lambda text: text.replace("OFF\n", "OFF "),
        lambda text: text.replace("OFF\n", "# made by hand\nOFF # of\n\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n3 ", "\n 3  "),
        lambda text: text.rstrip("\n") + " 255 0 0\n",
    ],
)
def test_off(tmp_path, change):
    path = tmp_path / "a.off"
    path.write_bytes(change(off(SLAB)).encode())
    mesh = cloud_formats.read_off(path)
    assert numpy.array_equal(mesh.corners, SLAB.corners) and numpy.array_equal(mesh.triangles, SLAB.triangles)


def test_off_with_polygons(tmp_path):
    path = tmp_path / "a.off"
    path.write_text("OFF\n5 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1\n4 0 1 2 3 0.5 0.5 0.5\n3 0 1 4\n")
    mesh = cloud_formats.read_off(path)
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]]
    assert meshes.areas(mesh).tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "begins with 'nothing'"),
        (lambda text: text.replace("OFF", "PLY"), "begins with 'PLY'"),
        (lambda text: "OFF\n", "got nothing as the second part"),
        (lambda text: text.replace("10 16 0", "10 x 0"), "got 10 x 0"),
        (lambda text: text[: len(text) // 2], "rows, expected 10 corners and"),
        (lambda text: text.replace("3 0 1", "4 0 1", 1), "got the polygon"),
        (lambda text: text.replace("\n3 0 1", "\n2 0 1", 1), "got the polygon"),
        (lambda text: text.replace("\n3 0 1", "\n3 0 99", 1), "corner numbers 0 to 99"),
        (lambda text: text.replace("\n3 0 1", "\n3 0 -1", 1), "got the polygon"),
        (lambda text: text.replace("0.5", "nan", 1), "NaN"),
        (lambda text: text.replace("0.5", "half", 1), "not a number"),
        (lambda text: text.replace("0.5 ", "", 1), "without 3 coordinates"),
        (lambda text: "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "F >= 1"),
    ],
)
def test_damaged_off(tmp_path, change, message):
    path, text = tmp_path / "a.off", off(SLAB)
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(ValueError, match=message):
        cloud_formats.read_off(path)


def test_modelnet(tmp_path):
    """ModelNet has z up: a slab of 1 x 2 x 3 5 along y is read 3 high, 5 along -z."""
    folder = tmp_path / "table" / "test"
    folder.mkdir(parents=True)
    for number, head in enumerate(("OFF\n", "OFF")):
        (folder / f"table_000{number}.off").write_text(off(SLAB.moved((0, 5, 0)), head))
    clouds = cloud_formats.read_modelnet(tmp_path, "table", "test", points=3000)
    assert clouds.names == ["table_0000", "table_0001"] and clouds.x.shape == (2, 3000, 3)
    assert torch.allclose(clouds.x.amax(1) - clouds.x.amin(1), torch.tensor([1.0, 3, 2]), atol=0.01)
    assert torch.allclose((clouds.x.amax(1) + clouds.x.amin(1)) / 2, torch.tensor([0.0, 0, -5]), atol=0.01)
    assert not torch.equal(clouds.x[0], clouds.x[1])
    assert torch.equal(cloud_formats.read_modelnet(tmp_path, "table", "test", points=3000).x, clouds.x)
    with pytest.raises(ValueError, match="split: got 'val'"):
        cloud_formats.read_modelnet(tmp_path, "table", "val")


@pytest.mark.parametrize("reader", [cloud_formats.read_ply, cloud_formats.read_off])
def test_files_that_are_not_there(tmp_path, reader):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        reader(tmp_path / "a")
