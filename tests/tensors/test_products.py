"""The products of features and harmonics: against the formula written out, and in both arrangements of the edges."""

import math

import pytest
import torch

from m2m import runtime
from m2m.messages import graph
from m2m.tensors import harmonics, irreps, products
from m2m.tensors.clebsch_gordan import clebsch_gordan, paths

CHANNELS = {0: 2, 1: 3, 2: 1}
PATHS = products.ordered(paths(CHANNELS, range(3), range(3)))


def cloud(dtype=torch.float64, n=9):
    draw = runtime.generator(0)
    return torch.randn(n, 3, generator=draw, dtype=torch.float64).to(dtype), irreps.random(
        CHANNELS, n, generator=draw, dtype=dtype
    )


GRAPHS = {
    "complete": graph.complete(graph.of_sizes([9])),
    "nearest": graph.nearest(cloud()[0], 3),
    "two sizes": graph.complete(graph.of_sizes([5, 4])),
    "shuffled": graph.complete(graph.of_sizes([9]))[:, torch.randperm(72, generator=runtime.generator(1))],
    "star": torch.tensor([[0] * 8, list(range(1, 9))]),
    "self-loops": torch.arange(9).repeat(2, 1),
    "no edges": torch.zeros(2, 0, dtype=torch.int64),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_sum_of_products_is_the_formula(name):
    x, f = cloud()
    geometry = products.Geometry(x, GRAPHS[name], 2)
    assert (geometry.slots is None) == (name in ("star", "no edges"))
    got = {l: geometry.sum(t) for l, t in products.products(f, geometry, PATHS).items()}
    i, j = GRAPHS[name]
    Y = harmonics.split(harmonics.harmonics(x[j] - x[i], 2))
    for l in range(3):
        parts = [
            math.sqrt(2 * l + 1) * torch.einsum("eca,eb,abm->emc", f[a][j], Y[b], clebsch_gordan(a, b, l))
            for a, b, out in PATHS if out == l
        ]  # fmt: skip
        # of one l_in, the paths are inside the order m, the channels inside the paths
        expected = graph.scatter_sum(torch.cat(parts, -1), i, 9)
        assert got[l].shape == expected.shape and torch.allclose(got[l], expected, atol=1e-12)


def test_arranged_edges_are_those_of_their_receiver():
    x, _ = cloud()
    geometry = products.Geometry(x, GRAPHS["two sizes"], 1)
    receiver = geometry.arranged(geometry.edge_index[0]).view(9, geometry.slots)
    assert geometry.slots == 4 and (receiver[:5] == torch.arange(5)[:, None]).all()
    assert (receiver[5:, :3] == torch.arange(5, 9)[:, None]).all()
    plain = products.Geometry(x, GRAPHS["complete"], 1)
    assert plain.arranged(plain.d) is plain.d  # nothing is copied where nothing has to be


def test_kernels_are_made_once():
    x, f = cloud()
    geometry = products.Geometry(x, GRAPHS["nearest"], 2)
    assert geometry.kernels(PATHS) is geometry.kernels(PATHS)
    assert geometry.kernels(PATHS[:1]) is not geometry.kernels(PATHS)
    assert products.coupling(PATHS, 1, 2) is products.coupling(PATHS, 1, 2)


def test_paths_are_put_in_order_and_checked():
    assert products.ordered([(1, 1, 2), (1, 0, 1), (0, 1, 1)]) == ((0, 1, 1), (1, 0, 1), (1, 1, 2))
    with pytest.raises(ValueError, match=r"paths: got \(0, 1, 2\), expected"):
        products.ordered([(0, 1, 2)])
    with pytest.raises(ValueError, match="each path once"):
        products.ordered([(0, 1, 1), (0, 1, 1)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(9, 2)}, r"x: got shape \(9, 2\)"),
        ({"x": torch.zeros(9, 3, dtype=torch.float16)}, "x: got shape .* of torch.float16"),
        ({"x": torch.zeros(9, 3, dtype=torch.int64)}, "x: got shape .* of torch.int64"),
        ({"x": torch.full((9, 3), float("nan"))}, "x: got 27 numbers that are NaN"),
        ({"edge_index": torch.tensor([[0], [9]])}, "edge_index: got nodes"),
        ({"l_filter": -1}, "l_max|l_filter"),
        ({"l_filter": 1.5}, "l_max|l_filter"),
        ({"normalization": "none"}, "normalization"),
    ],
)
def test_wrong_geometry(change, message):
    good = {"x": cloud()[0], "edge_index": GRAPHS["nearest"], "l_filter": 1}
    products.Geometry(**good)
    with pytest.raises(ValueError, match=message):
        products.Geometry(**(good | change))
