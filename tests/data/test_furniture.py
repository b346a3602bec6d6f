"""The shipped furniture: its form, its authors, its axes; and the script that made it, on a catalogue made up here."""

import zipfile
from collections import Counter

import make_furniture
import numpy
import pytest
import torch
from scipy.spatial import cKDTree

from m2m.data import shapes


def test_counts_and_licences():
    everything = shapes.furniture()
    assert Counter(everything.category) == {"chair": 60, "table": 43, "lamp": 19}
    assert all(len(column) == 122 and all(column) for column in everything[1:])
    assert set(everything.licence) == {"CC0 1.0", "CC BY 3.0", "CC BY 3.0 US"}
    assert all(("CC0" in licence) == ("CC-0" in source) for licence, source in zip(everything.licence, everything.source))
    assert len(set(everything.source)) == 122
    chosen = [len(numbers) for libraries in make_furniture.CHOSEN.values() for numbers in libraries.values()]
    assert sum(chosen) == 122


def test_clouds_are_in_the_unit_sphere():
    x = shapes.furniture().x
    assert x.shape == (122, 2048, 3) and x.dtype == torch.float32
    assert torch.allclose(x.norm(dim=-1).amax(1), torch.ones(122), atol=1e-4)
    assert torch.allclose(x.amax(1), -x.amin(1), atol=1e-4)


def test_one_category():
    lamps, everything = shapes.furniture("lamp"), shapes.furniture()
    assert set(lamps.category) == {"lamp"} and torch.equal(lamps.x, everything.x[-19:])
    with pytest.raises(ValueError, match="category: got 'sofa', expected one of chair, table, lamp"):
        shapes.furniture("sofa")


def test_chairs_stand_upright_and_face_the_front():
    """Backs are behind (z > 0), but for stools and what is as high all around; tables have their tops above."""
    x = shapes.furniture("chair").x
    high = x[..., 1] > 0.6 * x[..., 1].amax(1, keepdim=True)
    behind = (x[..., 2] * high).sum(1) / high.sum(1)
    assert (behind > 0.04).float().mean() > 0.9 and behind.min() > -0.03
    tables = shapes.furniture("table").x
    assert (tables[..., 1].median(1).values > 0).float().mean() > 0.9


def chamfer(a, b):
    return (cKDTree(b).query(a)[0] ** 2).mean() + (cKDTree(a).query(b)[0] ** 2).mean()


@pytest.mark.parametrize("category", ["chair", "table", "lamp"])
def test_no_model_is_there_twice(category):
    """Two halves of one cloud are as near as the spacing of points allows; halves of different items are farther."""
    x = shapes.furniture(category).x
    rough = torch.stack([torch.cdist(cloud[None, :64], x[:, :64]) ** 2 for cloud in x])
    rough = (rough.amin(-1).mean(-1) + rough.amin(-2).mean(-1)).fill_diagonal_(9)
    for one, other in enumerate(rough.argmin(1).tolist()):
        assert chamfer(x[one, :1024], x[other, 1024:]) > 1.25 * chamfer(x[one, :1024], x[one, 1024:])


def test_obj_files():
    mesh = make_furniture.read_obj(
        "# c\nv 0 0 0\nv 1 0 0 1.0\nvt 0 0\nv 1 1 0\nv 0 1 0\ng a\nf 1/1 2/1/1 3//1 4\nf -4 -3 -1\n"
    )
    assert mesh.corners.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 3]]


def test_a_catalogue_turns_a_model(tmp_path):
    """A model whose catalogue entry turns x to y comes out turned, and then its front from +z to -z."""
    with zipfile.ZipFile(tmp_path / "a.sh3f", "w") as archive:
        archive.writestr(
            "PluginFurnitureCatalog.properties",
            "id=x\nname#3 = Plate \nmodel#3=/a/b.obj\nmodelRotation#3=0 -1 0 1 0 0 0 0 1\n",
        )
        archive.writestr("a/b.obj", "v 0 0 0\nv 9 0 0\nv 0 0 1\nf 1 2 3\n")
    with zipfile.ZipFile(tmp_path / "a.sh3f") as archive:
        items = make_furniture.catalogue(archive)
        assert items == {3: {"name": "Plate", "model": "/a/b.obj", "modelRotation": "0 -1 0 1 0 0 0 0 1"}}
        x = make_furniture.cloud(archive, items[3], 3)
    assert numpy.abs(x[:, 0]).max() < 1e-12 and x[:, 1].max() == pytest.approx(-x[:, 1].min())
    assert x[x[:, 1] > 0.8, 2].min() > x[:, 2].max() - 0.05  # the long tip is where the front is not: at the largest z
    assert numpy.ptp(x[:, 1]) == pytest.approx(9 * numpy.ptp(x[:, 2]), rel=0.05)
