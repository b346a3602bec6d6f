"""Make src/lib/m2m/data/files/furniture.npz: point clouds of real furniture, from the meshes of Sweet Home 3D's catalogues.

    python tools/make_furniture.py sweethome3d-furniture_1.8-1_all.deb      about 1 minute

The file is Debian's package sweethome3d-furniture 1.8-1, which `apt-get download sweethome3d-furniture` fetches; unpacking
it takes Debian's `dpkg-deb`. What is a chair was decided by looking at each item, see `CHOSEN`, as names mislead ("Table
fan"). The catalogues turn each model upright, its front to +z; here the front is at -z.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src" / "lib"))

from m2m.data import cloud_scaling, meshes  # noqa: E402

SHA256 = "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"
OUTPUT = ROOT / "src" / "lib" / "m2m" / "data" / "files" / "furniture.npz"
POINTS = 2048
UNIT = 32767
LICENCES = {
    "BlendSwap-CC-0": "CC0 1.0",
    "BlendSwap-CC-BY": "CC BY 3.0",
    "KatorLegaz": "CC BY 3.0 US",
    "Scopia": "CC BY 3.0",
}
CHOSEN = {
    "chair": {
        "BlendSwap-CC-0": [1, 26, 31, 42, 45, 79, 86, 93, 99, 101, 108, 114, 118, 125, 139, 143, 168, 171],
        "BlendSwap-CC-BY": [11, 13, 17, 18, 24, 28, 45, 87, 95, 111, 112, 116, 120, 123, 127, 128],
        "KatorLegaz": [14, 47, 49, 51, 72],
        "Scopia": [6, 11, 23, 24, 25, 29, 30, 31, 47, 62, 69, 71, 81, 85, 89, 90, 92, 126, 359, 384, 387],
    },
    "table": {
        "BlendSwap-CC-0": [27, 33, 48, 49, 50, 134, 152],
        "BlendSwap-CC-BY": [7, 12, 14, 22, 54, 57, 58, 79],
        "KatorLegaz": [15, 52, 53],
        "Scopia": [10, 26, 33, 34, 38, 39, 61, 64, 66, 67, 72, 82, 84, 88, 91, 93, 94, 95, 97, 177, 300, 301, 338]
        + [360, 386],
    },
    "lamp": {
        "BlendSwap-CC-0": [15, 121],
        "BlendSwap-CC-BY": [29, 98, 126],
        "KatorLegaz": [36, 40, 41, 42],
        "Scopia": [48, 54, 55, 56, 57, 58, 63, 65, 87, 101],
    },
}


def catalogue(archive: zipfile.ZipFile) -> dict[int, dict[str, str]]:
    """What the catalogue says of each item: lines `property#number=value`."""
    items = defaultdict(dict)
    for line in archive.read("PluginFurnitureCatalog.properties").decode("latin1").splitlines():
        if found := re.fullmatch(r"(\w+)#(\d+)\s*=\s*(.*?)\s*", line):
            items[int(found[2])][found[1]] = found[3]
    return items


def read_obj(text: str) -> meshes.Mesh:
    """The corners and triangles of an OBJ file; indices count from 1, or from the last corner read where negative."""
    corners, triangles = [], []
    for line in text.splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            corners.append([float(word) for word in words[:3]])
        elif kind == "f":
            indices = [int(word.split("/")[0]) for word in words]
            first, *others = [i - 1 if i > 0 else len(corners) + i for i in indices]
            triangles += [(first, a, b) for a, b in pairwise(others)]
    return meshes.Mesh(numpy.array(corners), numpy.array(triangles))


def cloud(archive: zipfile.ZipFile, item: dict[str, str], number: int) -> numpy.ndarray:
    """Points of an item in the unit sphere, (POINTS, 3), upright, its front to -z."""
    mesh = read_obj(archive.read(item["model"].lstrip("/")).decode("latin1"))
    turn = numpy.array(item.get("modelRotation", "1 0 0 0 1 0 0 0 1").split(), dtype=float).reshape(3, 3)
    mesh = meshes.Mesh(mesh.corners @ turn.T, mesh.triangles).turned(1, numpy.pi)
    x = meshes.sample(mesh, POINTS, numpy.random.default_rng(number))
    return cloud_scaling.unit_sphere(torch.from_numpy(x)).numpy()


def collect(folder: Path) -> dict[str, list]:
    """All chosen items: columns of equal length."""
    table = defaultdict(list)
    for category, libraries in CHOSEN.items():
        for library, numbers in libraries.items():
            with zipfile.ZipFile(folder / f"{library}.sh3f") as archive:
                items = catalogue(archive)
                for number in numbers:
                    item = items[number]
                    table["x"].append(numpy.round(UNIT * cloud(archive, item, number)).astype("int16"))
                    row = {"category": category, "name": item["name"], "author": item["creator"], "licence": LICENCES[library]}
                    for column, value in (row | {"source": f"{library}/{Path(item['model']).stem}"}).items():
                        table[column].append(value)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("package", type=Path, help="sweethome3d-furniture_1.8-1_all.deb")
    package = parser.parse_args().package
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{package}: sha256 {found}, expected {SHA256}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", str(package), folder], check=True)
        table = collect(Path(folder) / "usr" / "share" / "sweethome3d" / "furniture")
    file = io.BytesIO()
    numpy.savez_compressed(file, **{name: numpy.array(column) for name, column in table.items()})
    OUTPUT.write_bytes(file.getvalue())
    counts = {category: table["category"].count(category) for category in CHOSEN}
    print(
        f"{OUTPUT.name}: {counts}, {len(file.getvalue()) / 1e6:.2f} MB, sha256 {hashlib.sha256(file.getvalue()).hexdigest()}"
    )


if __name__ == "__main__":
    main()
