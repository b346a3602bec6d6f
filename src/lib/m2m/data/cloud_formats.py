"""Readers for point clouds and meshes that readers bring: ShapeNetCore.v2.PC15k, the 2,048-point ShapeNet release, ModelNet.

ShapeNet and ModelNet are for non-commercial research, on terms that you accept where you get them, so nothing here downloads
them: you give the folder. PC15k is linked from https://github.com/stevenygd/PointFlow, the 2,048-point release from
https://github.com/optas/latent_3d_points, ModelNet is at https://modelnet.cs.princeton.edu.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from numpy import ndarray
from torch import Tensor

from m2m.data import meshes
from m2m.data.meshes import Mesh

SYNSETS = {"chair": "03001627", "table": "04379243", "airplane": "02691156", "lamp": "03636649", "car": "02958343"}
PC15K_SPLITS = ("train", "val", "test")
PLY_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
}
PLY_TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4"}
PLY_TYPES |= {"float64": "f8"}
PLY_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}


class Clouds(NamedTuple):
    """Clouds x (B, N, 3), float32, and the name of each, that of its file without ending."""

    x: Tensor
    names: list[str]


# --- Sets -----------------------------------------------------------------------------------------------------------------


def read_pc15k(folder: str | Path, category: str, split: str = "train", *, points: int | None = None) -> Clouds:
    """A category of ShapeNetCore.v2.PC15k (PointFlow): `folder`/synset/split/*.npy, 15,000 points each, y up, front to -z.

    Not normalised: see `cloud_scaling.standardisation`. PointFlow trains on rows 0 to 9,999 of each cloud and compares with
    rows 10,000 to 14,999. Clouds come in the order of their names; PointFlow's is that of the file system, shuffled.

    Args:
        category: one of `SYNSETS`, or a synset's number.
        split: "train", "val" or "test".
        points: read only so many from the beginning, which is a random choice since points are in random order.

    Raises:
        FileNotFoundError: no such folder, or none of these files in it.
        ValueError: an unknown split; a file that is damaged, has another shape, or NaN.
    """
    if split not in PC15K_SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(PC15K_SPLITS)}")
    if points is not None and not 1 <= points <= 15000:
        raise ValueError(f"points: got {points}, expected 1 to 15000")
    paths = _files(Path(folder) / SYNSETS.get(category, category) / split, ".npy")
    return Clouds(torch.stack([_read_npy(path, 15000, points) for path in paths]), [path.stem for path in paths])


def read_shapenet2048(folder: str | Path, category: str) -> Clouds:
    """A category of the 2,048-point ShapeNet release (Achlioptas et al. 2018): `folder`/synset/*.ply, without splits.

    Args:
        category: one of `SYNSETS`, or a synset's number.

    Raises:
        FileNotFoundError: no such folder, or none of these files in it.
        ValueError: a file that is damaged, or has another number of points than 2,048.
    """
    paths = _files(Path(folder) / SYNSETS.get(category, category), ".ply")
    clouds = [read_ply(path) for path in paths]
    for path, cloud in zip(paths, clouds, strict=True):
        if len(cloud) != 2048:
            raise ValueError(f"{path}: got {len(cloud)} points, expected 2048")
    return Clouds(torch.stack(clouds), [path.stem for path in paths])


def read_modelnet(folder: str | Path, category: str, split: str = "train", *, points: int = 2048, seed: int = 0) -> Clouds:
    """Points drawn by area from meshes of ModelNet10 or ModelNet40: `folder`/category/split/*.off, turned from z up to y up.

    Not normalised: meshes have units of their own, see `cloud_scaling.unit_sphere`.

    Raises:
        FileNotFoundError: no such folder, or none of these files in it.
        ValueError: an unknown split; a file that is damaged.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split: got {split!r}, expected 'train' or 'test'")
    paths = _files(Path(folder) / category / split, ".off")
    drawn = []
    for number, path in enumerate(paths):
        mesh = read_off(path).turned(0, -numpy.pi / 2)
        drawn.append(meshes.sample(mesh, points, numpy.random.default_rng([seed, number])))
    return Clouds(torch.from_numpy(numpy.stack(drawn)).float(), [path.stem for path in paths])


def _files(folder: Path, ending: str) -> list[Path]:
    paths = sorted(path for path in folder.glob(f"*{ending}") if not path.name.startswith("."))
    if not paths:
        has = "there is no such folder" if not folder.is_dir() else f"it has no {ending} files"
        raise FileNotFoundError(f"{folder}: {has}; expected the set as it is published, unpacked")
    return paths


# --- Files ----------------------------------------------------------------------------------------------------------------


def _read_npy(path: Path, rows: int, keep: int | None) -> Tensor:
    try:
        array = numpy.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: damaged, or not an npy file of numbers ({error})") from error
    if array.shape != (rows, 3) or not numpy.issubdtype(array.dtype, numpy.floating):
        raise ValueError(f"{path}: got {array.dtype} of shape {array.shape}, expected floating-point numbers ({rows}, 3)")
    return _cloud(path, array[:keep])


def read_ply(path: str | Path) -> Tensor:
    """The vertices of a PLY file, (N, 3), float32: text or binary of either byte order, x, y and z among other properties.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no PLY file, is cut off, has no vertices with x, y and z, or NaN.
    """
    head, mark, body = _existing(path).read_bytes().partition(b"end_header")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines() if line.split()]
    if not mark or not lines or lines[0] != ["ply"]:
        raise ValueError(f"{path}: got no header from 'ply' to 'end_header', expected a PLY file")
    body = body[body.find(b"\n") + 1 :]
    order = next((line[1] for line in lines if line[0] == "format" and len(line) > 1), None)
    if order not in PLY_ORDERS:
        raise ValueError(f"{path}: got format {order}, expected one of {', '.join(PLY_ORDERS)}")
    count, fields = _vertex_layout(path, lines)
    if order == "ascii":
        rows = [line.split() for line in body.decode("ascii", "replace").splitlines() if line.strip()][:count]
        if len(rows) < count or any(len(row) != len(fields) for row in rows):
            raise ValueError(f"{path}: got {len(rows)} full rows, expected {count} vertices of {len(fields)} numbers")
        table = _numbers(path, rows)
        return _cloud(path, table[:, [list(fields).index(axis) for axis in "xyz"]])
    layout = numpy.dtype([(name, PLY_ORDERS[order] + kind) for name, kind in fields.items()])
    if len(body) < count * layout.itemsize:
        raise ValueError(f"{path}: got {len(body)} bytes after the header, expected {count} vertices of {layout.itemsize}")
    table = numpy.frombuffer(body, layout, count)
    return _cloud(path, numpy.stack([table[axis] for axis in "xyz"], 1))


def _vertex_layout(path: str | Path, lines: list[list[str]]) -> tuple[int, dict[str, str]]:
    """The number of vertices and the type of each of their properties; vertices must be the first element of the file."""
    elements = [i for i, line in enumerate(lines) if line[0] == "element"]
    first = lines[elements[0]] if elements else []
    if len(first) != 3 or first[1] != "vertex" or not first[2].isdigit() or int(first[2]) < 1:
        raise ValueError(f"{path}: got {' '.join(first) or 'no element'}, expected 'element vertex N' as the first, N >= 1")
    own = lines[elements[0] + 1 : elements[1] if len(elements) > 1 else len(lines)]
    properties = [line for line in own if line[0] == "property"]
    if any(len(line) != 3 or line[1] not in PLY_TYPES for line in properties):
        raise ValueError(f"{path}: got a vertex property of an unknown type or a list, expected one number each")
    fields = {line[2]: PLY_TYPES[line[1]] for line in properties}
    if not {"x", "y", "z"} <= set(fields):
        raise ValueError(f"{path}: got vertex properties {', '.join(fields)}, expected x, y and z among them")
    return int(first[2]), fields


def read_off(path: str | Path) -> Mesh:
    """A mesh in the format OFF, polygons cut into triangles.

    Some headers of ModelNet40 have no line break: "OFF490 518 0" for 490 corners and 518 polygons. Comments (#), empty lines
    and colours behind polygons are passed over.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no OFF file, is cut off, has NaN, or polygons of corners that are not there.
    """
    text = _existing(path).read_text("ascii", "replace")
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    corners, polygons, rows = _off_header(path, lines)
    if len(rows) < corners + polygons:
        raise ValueError(f"{path}: got {len(rows)} rows, expected {corners} corners and {polygons} polygons")
    if any(len(row) != 3 for row in rows[:corners]):
        raise ValueError(f"{path}: got a corner without 3 coordinates, expected x, y, z")
    mesh = Mesh(_numbers(path, rows[:corners]), _triangles(path, rows[corners : corners + polygons]))
    try:
        meshes.check(mesh)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return mesh


def _off_header(path: str | Path, lines: list[list[str]]) -> tuple[int, int, list[list[str]]]:
    """The numbers of corners and polygons, on the line of "OFF" or on the next, and the lines after them."""
    if not lines or not lines[0][0].startswith("OFF"):
        raise ValueError(
            f"{path}: got a file that begins with {' '.join(lines[0])[:20] if lines else 'nothing'!r}, expected 'OFF'"
        )
    counts = [lines[0][0][3:], *lines[0][1:]] if len(lines[0][0]) > 3 else lines[0][1:]
    rows = lines[1:] if counts else lines[2:]
    counts = counts or (lines[1] if len(lines) > 1 else [])
    if len(counts) < 2 or not all(count.isdigit() for count in counts):
        raise ValueError(f"{path}: got {' '.join(counts) or 'nothing'} as the second part of the header, expected 'V F E'")
    return int(counts[0]), int(counts[1]), rows


def _triangles(path: str | Path, rows: list[list[str]]) -> ndarray:
    """Polygons as fans of triangles about their first corner; a row is the number of corners, their indices, then colours."""
    triangles = []
    for row in rows:
        size = int(row[0]) if row[0].isdigit() else 0
        corners = row[1 : 1 + size]
        if size < 3 or len(corners) < size or not all(corner.isdigit() for corner in corners):
            raise ValueError(
                f"{path}: got the polygon {' '.join(row)!r}, expected its number of corners, 3 or more, and their indices"
            )
        first, *others = map(int, corners)
        triangles += [(first, a, b) for a, b in pairwise(others)]
    return numpy.array(triangles, dtype=numpy.int64).reshape(-1, 3)


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    return Path(path)


def _numbers(path: str | Path, rows: list[list[str]]) -> ndarray:
    try:
        return numpy.array(rows, dtype=float)
    except ValueError as error:
        raise ValueError(f"{path}: got what is not a number ({error})") from error


def _cloud(path: str | Path, x: ndarray) -> Tensor:
    if not numpy.isfinite(x).all():
        raise ValueError(f"{path}: got points with NaN or infinity, expected finite ones")
    return torch.from_numpy(numpy.array(x, dtype=numpy.float32))
