"""The questions of the assignment on messages: hidden inputs, what to ask the student's code, how to mark what comes back."""

import itertools
import math

import networkx
import numpy
from scipy import linalg, spatial

from m2m.assignments.judge import Question, Written, close, entry, numbers, part

TITLE = "Messages"
PASSING, GEOMETRY = "message_passing#", "geometric_messages#"
GROUPS, EGNN = "group_convolutions#", "egnn#"


def _orthogonal(rng, mirror):
    """A random rotation (3, 3), or a rotation with a mirror."""
    q = numpy.linalg.qr(rng.normal(size=(3, 3)))[0]
    return q * numpy.sign(numpy.linalg.det(q)) * (-1 if mirror else 1)


# q1: a layer with three faults

def mend_inputs(rng):
    edges = [[a, b] for a in range(7) for b in range(a) if rng.random() < 0.5] + [[1, 0], [2, 0]]
    both = sorted({(a, b) for a, b in edges} | {(b, a) for a, b in edges})
    one_way = [list(edge) for edge in both if rng.random() < 0.6] + [[0, 1], [0, 2], [0, 3]]
    unique = sorted({tuple(edge) for edge in one_way})
    batch = [0] * int(rng.integers(2, 4)) + [1] * 2 + [2] * 3
    inside = [edge for edge in both if max(edge) < len(batch) and batch[edge[0]] == batch[edge[1]]] + [(6, 5), (5, 6)]
    return {"f": rng.normal(size=(8, 3)).tolist(), "W": rng.normal(size=(3, 3)).tolist(), "batch": [*batch, 2][:8],
            "both": [list(edge) for edge in both], "one way": [list(edge) for edge in unique],
            "graphs": [list(edge) for edge in sorted(set(inside))]}


def mend_probe(answer, inputs):
    import torch

    f, W = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("f", "W"))

    def run(edges, batch):
        n = len(batch)
        return lambda: answer.layer(f[:n].clone(), torch.tensor(inputs[edges]).T, torch.tensor(batch), W)

    return {"both": run("both", [0] * 8), "one way": run("one way", [0] * 8), "graphs": run("graphs", inputs["batch"])}


def _mended(inputs, edges, batch):
    f, W = numpy.array(inputs["f"])[:len(batch)], numpy.array(inputs["W"])
    adjacency = numpy.zeros((len(batch), len(batch)))
    for receives, sends in inputs[edges]:
        adjacency[receives, sends] = 1
    new = f + adjacency @ numpy.tanh(f @ W.T) / numpy.sqrt(1 + adjacency.sum(1, keepdims=True))
    same = numpy.equal.outer(batch, batch).astype(float)
    return new - same @ new / same.sum(1, keepdims=True)


def mend_check(inputs, output):
    right = lambda name, batch: lambda: close(numbers(entry(output, name), (len(batch), 3)), _mended(inputs, name, batch),
                                              1e-5)
    yield part(1, right("both", [0] * 8), "one graph, every edge in both directions",
               "m[i] = ... writes to a row once for each edge, and the last one stays. Add instead.")
    yield part(1, right("one way", [0] * 8), "one graph with edges in one direction",
               "Row 0 of edge_index receives, row 1 sends. With both directions of every edge nobody notices.")
    yield part(1, right("graphs", inputs["batch"]), "three graphs in one batch",
               "The mean that is taken off belongs to the node's own graph: other graphs in the batch must not change "
               "a prediction.")


# q2: a test for readouts

READOUTS = ["sum", "mean times number", "mean", "sum and a constant", "number times largest", "length"]


def extensive_inputs(rng):
    return {"order": rng.permutation(len(READOUTS)).tolist(), "w": rng.normal(size=4).tolist(), "c": rng.uniform(0.3, 0.9)}


def extensive_probe(answer, inputs):
    import torch

    w, c = torch.tensor(inputs["w"], dtype=torch.float64), inputs["c"]
    each = lambda f: torch.tanh(f @ w) + 0.2 * (f * f).sum(-1)
    readouts = [lambda f: each(f).sum(), lambda f: len(f) * each(f).mean(), lambda f: each(f).mean(),
                lambda f: each(f).sum() + c,
                lambda f: len(f) * each(f).max(), lambda f: (each(f) ** 2).sum().sqrt()]
    return [bool(answer.is_extensive(readouts[k])) for k in inputs["order"]]


def extensive_check(inputs, output):
    verdicts = output if isinstance(output, list) else []
    verdict = {READOUTS[k]: verdicts[place] if place < len(verdicts) else None for place, k in enumerate(inputs["order"])}
    accepts = verdict["sum"] is True and verdict["mean times number"] is True
    # Only together: a test that says "yes" or "no" to everything earns nothing
    yield part(0.5, accepts and verdict["mean"] is False, "accepts two that are extensive, and rejects the mean",
               "Two graphs that know nothing of each other must have the sum of their values. Allow for rounding.")
    for name, points in (("sum and a constant", 0.5), ("length", 0.25), ("number times largest", 0.75)):
        yield part(points, accepts and verdict[name] is False, f"rejects this one: {name}",
                   "Two copies of one graph are a special case. Take two graphs that differ.")


# q3: graphs that messages cannot tell apart

def twins_inputs(rng):
    return {"sizes": [6, *rng.choice([8, 10, 12, 14], 3, replace=False).tolist()],
            "orders": [rng.permutation(n).tolist() for n in (6, 10, 8, 12)]}


def twins_probe(answer, inputs):
    ring = lambda n, first=0: [(first + k, first + (k + 1) % n) for k in range(n)]
    rungs = lambda n: [(k, k + n) for k in range(n)]
    moebius = lambda n: ring(2 * n) + rungs(n)
    ladder = lambda n: ring(n) + ring(n, n) + rungs(n)
    decalin = ring(6) + [(0, 6), (6, 7), (7, 8), (8, 9), (9, 5)]
    pairs = [(6, ladder(3), moebius(3)), (10, decalin, ring(5) + ring(5, 5) + [(0, 5)]), (8, ladder(4), moebius(4)),
             (12, ladder(6), moebius(6))]

    def number(k):
        n, first, second = pairs[k]
        order = inputs["orders"][k]
        again = [(order[b], order[a]) for a, b in first]
        return lambda: [float(answer.number(n, edges)) for edges in (first, again, second)]

    def twin(n):
        return lambda: [[[int(a), int(b)] for a, b in edges] for edges in answer.twins(n)]

    return {"twins": [twin(n) for n in inputs["sizes"]], "numbers": [number(k) for k in range(4)]}


def _simple_graph(n, edges):
    made = networkx.empty_graph(n)
    for a, b in edges:
        if not (0 <= a < n and 0 <= b < n and a != b):
            return None
        made.add_edge(a, b)
    return made if networkx.is_connected(made) else None


def _colour_histogram(graphs):
    """What colour refinement makes of several graphs, coloured together."""
    whole = networkx.disjoint_union_all(graphs)
    colour = dict.fromkeys(whole, 0)
    for _ in whole:
        seen = {node: (colour[node], tuple(sorted(colour[other] for other in whole[node]))) for node in whole}
        names = {kind: k for k, kind in enumerate(sorted(set(seen.values())))}
        colour = {node: names[seen[node]] for node in whole}
    sizes = numpy.cumsum([0] + [len(one) for one in graphs])
    return [sorted(colour[node] for node in range(a, b)) for a, b in itertools.pairwise(sizes)]


def _are_twins(n, pair):
    if not (isinstance(pair, list) and len(pair) == 2 and all(len(edges) <= n * n for edges in pair)):
        return False
    graphs = [_simple_graph(n, edges) for edges in pair]
    if None in graphs:
        return False
    first, second = _colour_histogram(graphs)
    return first == second and not networkx.is_isomorphic(*graphs)


def twins_check(inputs, output):
    found = [_are_twins(n, pair) for n, pair in zip(inputs["sizes"], entry(output, "twins"))]
    yield part(0.75, found[0], "a pair of 6 nodes",
               "Connected, not isomorphic, and the same colours equally often: graphs where all nodes have equally "
               "many neighbours never split.")
    yield part(1.25, all(found[1:]), "pairs of 8 to 14 nodes",
               "Two rings with rungs, and one ring with its diameters: both have three neighbours a node.")
    values = [numbers(row, (3,)) if isinstance(row, list) else None for row in entry(output, "numbers")]
    same = all(row is not None and abs(row[0] - row[1]) <= 1e-8 * (1 + abs(row[0])) for row in values)
    apart = [same and bool(abs(row[0] - row[2]) > 1e-5 * (1 + abs(row[0]))) for row in values]
    yield part(0.5, apart[0],
               "a number that does not depend on the numbering, and tells prism and 3 x 3 bipartite graph apart",
               "Closed walks: powers of the adjacency matrix, their traces, eigenvalues.")
    yield part(0.5, all(apart), "the same for three pairs without triangles",
               "The trace of the third power counts triangles only. Which function of the matrix knows closed walks "
               "of all lengths?")


# q4: what is left after many layers

def smooth_inputs(rng):
    n = int(rng.integers(12, 18))
    chords = [[0, int(rng.integers(3, 5))], [2, int(rng.integers(6, 8))]]
    m = int(rng.integers(3, 6))
    sparse = [n, [[k, (k + 1) % n] for k in range(n)] + chords]
    return {"sparse": sparse, "dense": [2 * m, [[a, b] for a in range(m) for b in range(m, 2 * m)]],
            "f": rng.normal(size=n).tolist()}


def smooth_probe(answer, inputs):
    import torch

    given = {name: (inputs[name][0], [tuple(pair) for pair in inputs[name][1]]) for name in ("sparse", "dense")}
    f = torch.tensor(inputs["f"], dtype=torch.float64)
    rate = lambda name, kind: lambda: float(answer.rate(*given[name], kind))
    limit = lambda kind: lambda: answer.limit(*given["sparse"], f, kind)
    return {"sparse gcn": rate("sparse", "gcn"), "dense gcn": rate("dense", "gcn"), "sparse half": rate("sparse", "half"),
            "dense half": rate("dense", "half"), "gcn": limit("gcn"), "mean": limit("mean")}


def _smoothing(n, pairs):
    own = numpy.eye(n)
    for a, b in pairs:
        own[a, b] = own[b, a] = 1
    d = own.sum(1)
    return own / numpy.sqrt(numpy.outer(d, d)), d


def _second(matrix):
    return numpy.sort(numpy.abs(linalg.eigvalsh(matrix)))[-2]


def smooth_check(inputs, output):
    matrix = {name: _smoothing(*inputs[name])[0] for name in ("sparse", "dense")}
    rate = lambda name: numbers(entry(output, name))
    yield part(0.5, lambda: close(rate("sparse gcn"), _second(matrix["sparse"]), 1e-5), "the rate on a ring with chords",
               "The second eigenvalue of S, whose entries are 1 / sqrt(d_i d_j), neighbours and the node itself, d_i "
               "one more than the neighbours.")
    yield part(0.5, lambda: close(rate("dense gcn"), _second(matrix["dense"]), 1e-5),
               "the rate where every node of one side meets every one of the other",
               "Eigenvalues can be negative: the second largest *in absolute value* decides.")
    half = lambda name: close(rate(f"{name} half"), _second((matrix[name] + numpy.eye(len(matrix[name]))) / 2), 1e-5)
    yield part(0.5, lambda: half("sparse") and half("dense"), "the rate with half of the old features kept",
               "(I + S) / 2 has the eigenvalues (1 + lambda) / 2. Which of these is the second largest now?")
    f, (_, d) = numpy.array(inputs["f"]), _smoothing(*inputs["sparse"])
    u = numpy.sqrt(d / d.sum())
    yield part(0.5, lambda: close(numbers(entry(output, "gcn"), f.shape), u * (u @ f), 1e-5),
               "what is left with the weights of GCN",
               "The part of f along the eigenvector of the eigenvalue 1, which is sqrt(d_i), normalised.")
    yield part(1, lambda: close(numbers(entry(output, "mean"), f.shape), numpy.full_like(f, d @ f / d.sum()), 1e-5),
               "what is left with means",
               "A mean leaves constants alone, so the end is a constant. Which one? Not the mean of f: what does the "
               "matrix keep from the left?")


# q5: shapes that distances confuse

def shapes_inputs(rng):
    return {"cutoffs": rng.uniform(1.0, 4.0, 3).tolist()}


def shapes_probe(answer, inputs):
    import torch

    two = lambda pair: [torch.as_tensor(shape).double().tolist() for shape in pair]
    return {"cut": [two(answer.alike_within(r)) for r in inputs["cutoffs"]], "all": lambda: two(answer.same_distances())}


def _shape_pair(pair, most=8):
    first, second = pair
    first, second = numbers(first, (len(first), 3)), numbers(second, (len(first), 3))
    return first, second, 2 <= len(first) <= most and bool(numpy.isfinite([first, second]).all())


def _matchings(a, b, chosen=()):
    """All ways to number the points of a second shape so that its distances are those of the first."""
    k = len(chosen)
    if k == len(a):
        yield list(chosen)
    for candidate in set(range(len(a))) - set(chosen) if k < len(a) else ():
        if numpy.abs(a[k, :k] - b[candidate, list(chosen)]).max(initial=0) < 1e-4:
            yield from _matchings(a, b, (*chosen, candidate))


def _congruence(first, second):
    """Can the second shape be laid onto the first: by a rotation, and by a rotation or a mirror?"""
    signs = set()
    a, b = (spatial.distance.cdist(shape, shape) for shape in (first, second))
    for order in itertools.islice(_matchings(a, b), 1000):
        one, two = first - first.mean(0), second[order] - second.mean(0)
        u, s, vt = numpy.linalg.svd(one.T @ two)
        flat = s[2] < 1e-6 * s[0]
        signs |= {1, -1} if flat else {int(numpy.sign(numpy.linalg.det(u @ vt)))}
    return 1 in signs, bool(signs)


def _alike_within(pair, cutoff):
    first, second, fits = _shape_pair(pair)
    if not fits:
        return False
    a, b = (spatial.distance.cdist(shape, shape) for shape in (first, second))
    near = (a < cutoff) & ~numpy.eye(len(a), dtype=bool)
    agree = (near == ((b < cutoff) & ~numpy.eye(len(a), dtype=bool))).all() and numpy.abs(a - b)[near].max(initial=0) < 1e-5
    connected = networkx.is_connected(networkx.from_numpy_array(near.astype(int)))
    return bool(agree and connected and numpy.abs(numpy.sort(a.ravel()) - numpy.sort(b.ravel())).max() > 0.05 * cutoff)


def shapes_check(inputs, output):
    cut = entry(output, "cut")
    yield part(1, lambda: all(_alike_within(pair, r) for pair, r in zip(cut, inputs["cutoffs"], strict=True)),
               "two shapes that agree within the cutoff",
               "A chain that bends: what is nearer than the cutoff stays as it is, the ends come nearer. All atoms "
               "must hang together by pairs within it.")

    def same(mirror):
        first, second, fits = _shape_pair(entry(output, "all"))
        distances = [numpy.sort(spatial.distance.pdist(shape)) for shape in (first, second)]
        if not fits or distances[0][0] < 0.5 or numpy.abs(distances[0] - distances[1]).max() > 1e-5:
            return False
        return not _congruence(first, second)[mirror]

    yield part(0.5, lambda: same(False), "all distances agree, and no rotation lays one shape onto the other",
               "Compare the sorted lists of all distances; a mirror image is enough for this part.")
    yield part(1.5, lambda: same(True), "nor does a mirror",
               "Four points in a plane suffice: two pairs of equal sides, and a point that is moved to its mirror "
               "place on an axis of the other three.")


# q6: a cutoff that leaves the near ones alone

STEP = 1e-4


def cutoff_inputs(rng):
    return {"r": rng.uniform(2, 8, 3).tolist()}


def cutoff_probe(answer, inputs):
    import torch

    def points(r):
        ends = torch.tensor([0.5 * r, r], dtype=torch.float64)
        near = ends[:, None] + 0.5 * r * 1e-4 * torch.arange(-6, 7, dtype=torch.float64)
        return torch.cat([torch.linspace(0.01, 1.5, 1491, dtype=torch.float64) * r, near.flatten()])

    def slopes(r):
        d = points(r).requires_grad_()
        return torch.autograd.grad(answer.cutoff(d, r).sum(), d)[0]

    return {"values": [lambda r=r: answer.cutoff(points(r), r) for r in inputs["r"]],
            "slopes": [lambda r=r: slopes(r) for r in inputs["r"]]}


def _cutoff_marks(values):
    """(values, slope, curvature) are right, for one cutoff: differences of what the answer returned."""
    line, ends = values[:1491], values[1491:].reshape(2, 13)
    place = numpy.linspace(0.01, 1.5, 1491)
    inner, outer = line[place <= 0.5], line[place >= 1]
    sound = numpy.isfinite(values).all() and numpy.abs(inner - 1).max() < 1e-9 and numpy.abs(outer).max() < 1e-9
    sound &= (numpy.diff(line) < 1e-9).all() and numpy.abs(numpy.diff(line)).max() < 0.02
    sound &= numpy.abs(ends[:, 6] - [1, 0]).max() < 1e-9
    first, second = numpy.diff(ends, 1) / STEP, numpy.diff(ends, 2) / STEP**2  # per half of the cutoff
    return bool(sound), bool(sound and numpy.abs(first).max() < 0.05), bool(sound and numpy.abs(second).max() < 0.5)


def cutoff_check(inputs, output):
    values = lambda k: numbers(entry(output, "values")[k], (1517,))
    marks = lambda what: lambda: all(_cutoff_marks(values(k))[what] for k in range(3))
    yield part(0.5, marks(0), "1 up to half of the cutoff, 0 beyond it, falling without a jump between",
               "Work with t, which runs from 0 at r_c / 2 to 1 at r_c.")
    yield part(1, marks(1), "no kink at r_c / 2 and at r_c",
               "A kink in the energy is a jump in the force: the slope must be zero at both ends.")
    yield part(1, marks(2), "no jump of the curvature at either end",
               "Value, slope and curvature at two ends are six conditions: a polynomial of degree five in t has six "
               "coefficients.")

    def differentiates(k):
        slope, value = numbers(entry(output, "slopes")[k], (1517,)), values(k)
        inside = numpy.r_[200:480, 520:980]
        by_hand = (value[inside + 1] - value[inside - 1]) / (2 * 0.001 * inputs["r"][k])
        finite = bool(numpy.isfinite(slope).all())
        beyond = close(slope[1000:1491], 0.0, 1e-9)
        return finite and beyond and close(slope[:1491][inside], by_hand, 0.02 / inputs["r"][k])

    yield part(0.5, lambda: all(marks(0)() and differentiates(k) for k in range(3)), "autograd finds the slope, and no NaN",
               "torch.where differentiates both branches: a branch that is infinite where it is not used gives NaN.")


# q7: work along a loop

def work_inputs(rng):
    x = numpy.array([[0, 0, 0], [1.2, 0, 0], [0.3, 1.3, 0], [0.5, 0.4, 1.2]]) + rng.normal(0, 0.1, (4, 3))
    t = numpy.linspace(0, 1, 200)[:, None, None]
    ends, bend = rng.normal(0, 0.2, (4, 3)), rng.normal(0, 0.2, (4, 3))
    return {"x": x.tolist(), "path": (x + t * ends + t * t * bend).tolist(), "spring": rng.uniform(1, 3),
            "talk": rng.uniform(2, 4)}


def work_probe(answer, inputs):
    import torch

    spring, talk = inputs["spring"], inputs["talk"]

    def force(x):
        r = x[..., None, :, :] - x[..., :, None, :]  # r_ij in row i
        d = (r.square().sum(-1) + 1e-12).sqrt()
        crowd = torch.exp(-d.square()).sum(-1)
        push = spring * (d - 1.2) + talk * (crowd[..., :, None] + crowd[..., None, :])
        return (push[..., None] * r / d[..., None]).sum(-2)

    x, path = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("x", "path"))
    return {"work": lambda: float(answer.work(force, path)), "back": lambda: float(answer.work(force, path.flip(0))),
            "loop": lambda: answer.loop(force, x)}


def _push(x, spring, talk):
    r = x[..., None, :, :] - x[..., :, None, :]
    d = numpy.sqrt((r * r).sum(-1) + 1e-12)
    crowd = numpy.exp(-d**2).sum(-1)
    size = spring * (d - 1.2) + talk * (crowd[..., :, None] + crowd[..., None, :])
    return (size[..., None] * r / d[..., None]).sum(-2)


def _work(path, spring, talk, parts=8):
    s = (numpy.arange(parts) + 0.5) / parts
    steps = numpy.diff(path, axis=0)
    middle = path[:-1, None] + s[None, :, None, None] * steps[:, None]
    return float((_push(middle, spring, talk) * steps[:, None] / parts).sum())


def _good_loop(x, spring, talk):
    """A circle in the plane in which the force curls most, in the box that is allowed."""
    flat = lambda y: _push(y.reshape(4, 3), spring, talk).ravel()
    jacobian = numpy.array([(flat(x.ravel() + h) - flat(x.ravel() - h)) / 2e-4 for h in 1e-4 * numpy.eye(12)]).T
    values, vectors = numpy.linalg.eig((jacobian - jacobian.T) / 2)
    best = vectors[:, numpy.abs(values.imag).argmax()]
    angle = numpy.linspace(0, 2 * math.pi, 65)[:, None]
    circle = (numpy.cos(angle) * best.real + numpy.sin(angle) * best.imag).reshape(65, 4, 3)
    return x + 0.3 * circle / numpy.linalg.norm(circle, axis=-1).max()


def work_check(inputs, output):
    law = inputs["spring"], inputs["talk"]
    x, path = numpy.array(inputs["x"]), numpy.array(inputs["path"])
    true = _work(path, *law)
    right = lambda name, wanted: close(numbers(entry(output, name)), wanted, 1e-3, 2e-3)
    yield part(1, lambda: right("work", true) and right("back", -true), "the work along a path, and back",
               "The sum of F . dx over the steps and all atoms, with F in the middle of a step (or the mean of its ends).")
    raw = entry(output, "loop")
    loop = numbers(raw, (len(raw) if isinstance(raw, list) else 0, 4, 3))
    allowed = 3 <= len(loop) <= 400 and numpy.isfinite(loop).all() and numpy.abs(loop[0] - loop[-1]).max() < 1e-9
    allowed = allowed and numpy.linalg.norm(loop - x, axis=-1).max() < 0.3 + 1e-9
    allowed = bool(allowed and numpy.linalg.norm(numpy.diff(loop, axis=0), axis=-1).sum(0).max() <= 2)
    gained = abs(_work(loop, *law)) if allowed else 0.0
    full = 0.5 * abs(_work(_good_loop(x, *law), *law))
    share = gained / full
    yield part(2, min(share, 1.0) if share > 0.02 else 0.0,
               f"a closed loop, once round within 0.3 of every atom, on which the force does work: {gained:.2g}, of {full:.2g} "
               "for full marks",
               "Forth and back on one line gains nothing: a loop must enclose an area. In which plane do the two "
               "mixed derivatives of the force differ most?")


# q8: an equivariant layer with three faults

def egnn_inputs(rng):
    n = 6
    edges = [[i, j] for i in range(n) for j in range(n) if i != j and rng.random() < 0.5] + [[0, 1], [3, 4]]
    weight = lambda *shape: rng.normal(0, 0.7, shape).tolist()
    return {"f": weight(n, 3), "x": rng.normal(0, 1, (n, 3)).tolist(), "edges": sorted({tuple(edge) for edge in edges}),
            "m": weight(4, 7), "push": weight(1, 4), "new": weight(3, 7), "shift": rng.normal(0, 3, 3).tolist(),
            "turn": _orthogonal(rng, False).tolist(), "mirror": _orthogonal(rng, True).tolist()}


def egnn_probe(answer, inputs):
    import torch

    tensor = lambda name: torch.tensor(inputs[name], dtype=torch.float64)
    f, x, edges = tensor("f"), tensor("x"), torch.tensor(inputs["edges"]).T
    phi = [lambda a, W=tensor(name): torch.tanh(a @ W.T) for name in ("m", "push", "new")]
    nudged = x.clone()
    nudged[1, 0] += 0.5

    def run(x):
        return lambda: dict(zip("fx", answer.moving_layer(*phi, f.clone(), x.clone(), edges)))

    return {"plain": run(x), "moved": run(x + tensor("shift")), "turned": run(x @ tensor("turn").T),
            "mirrored": run(x @ tensor("mirror").T), "nudged": run(nudged)}


def _egnn(inputs):
    f, x, m, push, new = (numpy.array(inputs[name]) for name in ("f", "x", "m", "push", "new"))
    moved, heard = numpy.zeros_like(x), numpy.zeros((len(x), 4))
    count = numpy.zeros((len(x), 1))
    for i, j in inputs["edges"]:
        r = x[j] - x[i]
        message = numpy.tanh(m @ numpy.concatenate([f[i], f[j], [r @ r]]))
        moved[i] += numpy.tanh(push @ message) * r
        heard[i] += message
        count[i] += 1
    return f + numpy.tanh(numpy.hstack([f, heard]) @ new.T), x + moved / numpy.maximum(count, 1)


def egnn_check(inputs, output):
    x = numpy.array(inputs["x"])
    got = lambda name, what: numbers(entry(entry(output, name), what), x.shape)
    step = lambda name, start: got(name, "x") - start
    turn, mirror = (numpy.array(inputs[name]).T for name in ("turn", "mirror"))

    def alive():
        change = step("nudged", x)[0] - step("plain", x)[0]
        return numpy.abs(change).max() > 1e-6

    def keeps(name, start, wanted):
        return close(step(name, start), wanted, 1e-8) and close(got(name, "f"), got("plain", "f"), 1e-8) and alive()

    yield part(1, lambda: keeps("moved", x + inputs["shift"], step("plain", x)),
               "translations: everything is elsewhere, and the steps are the same",
               "What do messages read? A product of two positions depends on where the origin is.")
    turns = lambda name, act: keeps(name, x @ act, step("plain", x) @ act)
    yield part(1, lambda: turns("turned", turn) and turns("mirrored", mirror),
               "rotations and reflections: the steps turn along", "An arrow may be scaled by a number. Anything done "
               "to its components one by one knows the axes.")
    new_f, new_x = _egnn(inputs)
    yield part(1, lambda: close(got("plain", "x"), new_x, 1e-8) and close(got("plain", "f"), new_f, 1e-8),
               "the values that the formulas give",
               "One fault breaks no symmetry: symmetry tests are silent about it. Look at who receives, on a graph "
               "with edges in one direction.")


# q9: a layer that keeps momentum

def exchange_inputs(rng):
    n = 6
    pairs = [[0, 1], [0, 2], [0, 3], [1, 2], [3, 4], [4, 5]]
    return {"x": rng.normal(0, 1, (n, 3)).tolist(), "v": rng.normal(0, 1, (n, 3)).tolist(),
            "f": rng.normal(0, 1, (n, 4)).tolist(),
            "edges": sorted([[a, b] for a, b in pairs] + [[b, a] for a, b in pairs]), "order": rng.permutation(n).tolist(),
            "turn": _orthogonal(rng, False).tolist(), "mirror": _orthogonal(rng, True).tolist(),
            "shift": rng.normal(0, 3, 3).tolist(), "boost": rng.normal(0, 2, 3).tolist(), "seed": int(rng.integers(2**31))}


def exchange_probe(answer, inputs):
    import torch

    torch.manual_seed(inputs["seed"])
    model = answer.Exchange(4).double()
    tensor = lambda name: torch.tensor(inputs[name], dtype=torch.float64)
    f, x, v, shift = tensor("f"), tensor("x"), tensor("v"), tensor("shift")
    edges, order = torch.tensor(inputs["edges"]).T, torch.tensor(inputs["order"])
    nudge = torch.zeros_like(x)
    nudge[1, 0] = 0.5  # node 1 is a neighbour of node 0, whose answer is looked at

    def run(f, x, v, edges=edges):
        def call():
            with torch.no_grad():
                return dict(zip("xv", model(f.clone(), x.clone(), v.clone(), edges)))

        return call

    turn, mirror = tensor("turn").T, tensor("mirror").T
    return {"plain": run(f, x, v), "turned": run(f, x @ turn + shift, v @ turn),
            "mirrored": run(f, x @ mirror + shift, v @ mirror),
            "renumbered": run(f[order], x[order], v[order], order.argsort()[edges]), "boosted": run(f, x, v + tensor("boost")),
            "other place": run(f, x + nudge, v), "other velocity": run(f, x, v + nudge),
            "other feature": run(f + torch.nn.functional.pad(nudge, (0, 1)), x, v)}


def exchange_check(inputs, output):
    x, v, shift, boost = (numpy.array(inputs[name]) for name in ("x", "v", "shift", "boost"))
    got = lambda name, what: numbers(entry(entry(output, name), what), x.shape)
    moves = lambda name, place, velocity: close(got(name, "x"), place, 1e-8) and close(got(name, "v"), velocity, 1e-8)
    notices = lambda name: numpy.abs(got(name, "v")[0] - got("plain", "v")[0]).max() > 1e-6
    alive = lambda: notices("other place") and close(got("plain", "x"), x + got("plain", "v"), 1e-8)

    def symmetric():
        right = alive()
        for name, given in (("turned", "turn"), ("mirrored", "mirror")):
            act = numpy.array(inputs[given]).T
            right = right and moves(name, got("plain", "x") @ act + shift, got("plain", "v") @ act)
        return right and moves("renumbered", got("plain", "x")[inputs["order"]], got("plain", "v")[inputs["order"]])

    yield part(1, symmetric, "translations, rotations, reflections, renumbering, with particles that notice each other",
               "x' = x + v', and v' is v plus arrows that geometry supplies, times numbers that do not change.")
    yield part(1, lambda: alive() and close(got("plain", "v").sum(0), v.sum(0), 1e-9), "the sum of all velocities stays",
               "What i gets from j, j must lose: the same number for both directions of a pair, and no division by "
               "the number of neighbours of one of them.")
    yield part(1, lambda: alive() and moves("boosted", got("plain", "x") + boost, got("plain", "v") + boost),
               "the same for an observer on a train",
               "Only differences of velocities may enter, and v itself with the factor 1.")
    yield part(1, lambda: symmetric() and notices("other velocity") and notices("other feature"),
               "a particle notices the velocity and the features of its neighbour",
               "Differences of velocities are arrows, and their products with r_ij are numbers. Features of both ends "
               "may enter as long as exchanging the ends changes nothing.")


# q10: images of arrows

def arrows_inputs(rng):
    whole = lambda *shape: rng.integers(-4, 5, shape).tolist()
    return {"x": whole(2, 2, 8, 8), "k": whole(3, 2, 3, 3)}


def arrows_probe(answer, inputs):
    import torch

    x, k = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("x", "k"))
    turned = [x]
    for _ in range(3):
        moved = turned[-1].rot90(1, (2, 3))
        turned.append(torch.stack([-moved[:, 1], moved[:, 0]], 1))
    return {"maps": [lambda x=x: answer.lift_arrows(x, k).tolist() for x in turned], "deaf": lambda: answer.deaf}


def _correlation(x, k):
    """(B, 2, 8, 8) with (O, 2, 3, 3) -> (B, O, 8, 8), zero outside."""
    windows = numpy.lib.stride_tricks.sliding_window_view(numpy.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    return numpy.einsum("bchwij,ocij->bohw", windows, k)


def _quarter(field):
    moved = numpy.rot90(field, 1, (2, 3))
    return numpy.stack([-moved[:, 1], moved[:, 0]], 1)


def arrows_check(inputs, output):
    x, k = (numpy.array(inputs[name], dtype=float) for name in ("x", "k"))
    maps = lambda turn: numbers(entry(output, "maps")[turn] if turn else _first(output), (2, 3, 4, 8, 8))
    plain = lambda: close(maps(0)[:, :, 0], _correlation(x, k), 1e-9)

    def turns_along():
        wanted = maps(0)
        for turn in range(1, 4):
            wanted = numpy.roll(numpy.rot90(wanted, 1, (3, 4)), 1, 2)
            if not numpy.array_equal(maps(turn), wanted):
                return False
        return plain()

    yield part(0.5, plain, "map 0: the ordinary correlation with k",
               "torch.nn.functional.conv2d with padding s // 2 is the map for the rotation 0.")
    yield part(1.5, turns_along, "quarter turns of an image of arrows: maps turn and change places, in every bit",
               "A filter for arrows is made of arrows. When it turns, its places turn, and its arrows too.")

    def deaf():
        one = numbers(entry(output, "deaf"), (1, 2, 3, 3))
        return bool(numpy.abs(one).max() > 1e-3 and numpy.abs(one - _quarter(one)).max() < 1e-6)

    yield part(1, deaf, "a filter that is not zero and whose four maps are one",
               "A pattern of arrows on 3 x 3 places that a quarter turn leaves as it is: all outwards, or all around.")


def _first(output):
    found = entry(output, "maps")
    return found[0] if isinstance(found, list) and len(found) == 4 else None


# q11: showing a symmetry or building it in

def augment_inputs(rng):
    x = rng.normal(0, 0.7, (60, 2)) + [0.8, 0.0]
    y = numpy.sin(2 * (x**2).sum(1)) + 0.3 * x[:, 0] + rng.normal(0, 0.1, 60)
    return {"x": x.tolist(), "y": y.tolist(), "new": rng.normal(0, 1, (20, 2)).tolist(), "degree": int(rng.integers(3, 5))}


def augment_probe(answer, inputs):
    import torch

    x, y, new = (torch.tensor(inputs[name], dtype=torch.float64) for name in ("x", "y", "new"))
    D = inputs["degree"]
    fit = lambda K: lambda: answer.augmented(x, y, D, K)(new)
    return {"one": fit(1), "two": fit(2), "all": fit(D + 1), "built in": lambda: answer.built_in(x, y, D)(new),
            "turns": lambda: [int(answer.turns_needed(degree)) for degree in range(1, 8)]}


def _monomials(x, degree):
    return numpy.stack([x[:, 0] ** a * x[:, 1] ** b for a in range(degree + 1) for b in range(degree + 1 - a)], 1)


def _fitted(inputs, K):
    x, y, new = (numpy.array(inputs[name]) for name in ("x", "y", "new"))
    angles = 2 * math.pi * numpy.arange(K) / K
    turned = numpy.concatenate([x @ numpy.array([[math.cos(a), math.sin(a)], [-math.sin(a), math.cos(a)]]) for a in angles])
    weights = numpy.linalg.lstsq(_monomials(turned, inputs["degree"]), numpy.tile(y, K), rcond=None)[0]
    return _monomials(new, inputs["degree"]) @ weights


def augment_check(inputs, output):
    right = lambda name, K: close(numbers(entry(output, name), (20,)), _fitted(inputs, K), 1e-5, 1e-5)
    yield part(0.5, lambda: right("one", 1), "the fit without turned copies",
               "Least squares on all products x^a y^b with a + b up to the degree.")
    yield part(1, lambda: right("two", 2) and right("all", inputs["degree"] + 1), "the fit with turned copies",
               "Each point K times, turned by 0, 1/K, 2/K ... of a full turn about the origin, with its label unchanged.")
    yield part(0.5, lambda: right("built in", inputs["degree"] + 1), "the fit that knows no direction",
               "The only polynomials that no rotation changes are those of x^2 + y^2.")
    # The frequencies of a polynomial of degree D end at D; K copies leave multiples of K
    yield part(1, lambda: close(numbers(entry(output, "turns"), (7,)), range(2, 9), 0),
               "the smallest number of turns after which both fits are one",
               "With K copies the fit is unchanged by turns of 1/K: its frequencies are multiples of K. Which "
               "frequencies does a polynomial of this degree have?")


# q12: training

BODIES, TRAIN, TEST = 5, 300, 150
TIME, MOVES = 1.0, 100
FULL, NONE = 0.03, 0.5  # share of the error of the best straight line


def _start(rng, samples):
    x, v = (rng.normal(0, size, (samples, BODIES, 3)) * [0.6, 0.6, 1.8] for size in (1.0, 0.5))
    return x, v, rng.choice([-1.0, 1.0], (samples, BODIES))


def _law(first):
    """Strength, softening, drag. They hang on the first number of the data: inputs can be read in the sandbox, this cannot."""
    return numpy.random.default_rng(round(abs(first) * 1e5)).uniform([1.2, 0.3, 0.2], [1.6, 0.5, 0.5])


def _later(x, v, q, law):
    """Charges with a softened force and drag: positions after a time of 1."""
    strength, soft, drag = law
    for _ in range(MOVES):
        away = x[:, None] - x[:, :, None]
        size = -strength * q[:, None] * q[:, :, None] / ((away * away).sum(-1) + soft) ** 1.5
        v = v + TIME / MOVES * ((size[..., None] * away).sum(2) - drag * v)
        x = x + TIME / MOVES * v
    return x


def train_inputs(rng):
    rounded = lambda *arrays: dict(zip(("x", "v", "q", "end"), (numpy.round(array, 5).tolist() for array in arrays)))
    x, v, q = _start(rng, TRAIN)
    law = _law(numpy.round(x, 5)[0, 0, 0])
    new_x, new_v, new_q = _start(rng, TEST)
    turns, shift = numpy.stack([_orthogonal(rng, False) for _ in range(TEST)]), rng.normal(0, 5, (TEST, 1, 3))
    return {"train": rounded(x, v, q, _later(x, v, q, law)), "test": rounded(new_x @ turns + shift, new_v @ turns, new_q)}


def train_probe(answer, inputs):
    import torch

    tensor = lambda part, name: torch.tensor(inputs[part][name])
    predict = answer.train(*(tensor("train", name) for name in ("x", "v", "q", "end")))
    with torch.no_grad():
        found = predict(*(tensor("test", name) for name in ("x", "v", "q")))
    return [[[round(value, 5) for value in row] for row in system] for system in found.tolist()]


def train_check(inputs, output):
    x, v, q = (numpy.array(inputs["test"][name]) for name in ("x", "v", "q"))
    end = _later(x, v, q, _law(inputs["train"]["x"][0][0][0]))
    got = numbers(output, end.shape)
    time = ((end - x) * v).sum() / (v * v).sum()
    line = ((x + time * v - end) ** 2).mean()
    ratio = float(((got - end) ** 2).mean() / line) if numpy.isfinite(got).all() else math.inf
    share = math.log(NONE / ratio) / math.log(NONE / FULL) if ratio > 0 else 1.0
    yield part(5, min(max(share, 0.0), 1.0), f"held-out error, turned and moved: {ratio:.2g} of the best straight line's",
               "The training systems lie at the origin, stretched along z, and the test systems anywhere: build the "
               "symmetry in, then tune steps and rate.")


QUESTIONS = [
    Question("q1", "A layer with three faults", 3, mend_probe, mend_check, mend_inputs,
             read=PASSING + "Does the numbering matter?"),
    Question("q2", "A test for readouts", 2, extensive_probe, extensive_check, extensive_inputs,
             read=PASSING + "Message, aggregate, update, readout"),
    Question("q3", "Twins", 3, twins_probe, twins_check, twins_inputs, read=PASSING + "What messages cannot tell apart"),
    Question("q4", "Many layers", 3, smooth_probe, smooth_check, smooth_inputs, read=PASSING + "Depth"),
    Question("q5", "Shapes that distances confuse", 3, shapes_probe, shapes_check, shapes_inputs,
             read=GEOMETRY + "What distances cannot see"),
    Question("q6", "A cutoff", 3, cutoff_probe, cutoff_check, cutoff_inputs, read=GEOMETRY + "Where a neighbour leaves"),
    Question("q7", "Work along a loop", 3, work_probe, work_check, work_inputs, seconds=20,
             read=GEOMETRY + "Lesson one: forces need a potential"),
    Question("q8", "An equivariant layer with three faults", 3, egnn_probe, egnn_check, egnn_inputs, read=EGNN + "The layer"),
    Question("q9", "A layer that keeps momentum", 4, exchange_probe, exchange_check, exchange_inputs,
             read=EGNN + "Two points, one arrow"),
    Question("q10", "Images of arrows", 3, arrows_probe, arrows_check, arrows_inputs,
             read=GROUPS + "Four rotations of one filter"),
    Question("q11", "Showing a symmetry, or building it in", 3, augment_probe, augment_check, augment_inputs,
             read=GROUPS + "Fourier over the group: steerable features"),
    Question("q12", "Training", 5, train_probe, train_check, train_inputs, seconds=60, read=EGNN + "Models compared"),
    Written("q13", "A force head", {
        "equivariance and a vanishing sum of forces do not make a field of forces a gradient": 1,
        "errors are measured frame by frame, work adds up along the path; a loop or a drift as the number to ask for": 1,
        "a flat total energy would not be enough: conservation is not correctness, with a second number": 1,
    }, read=GEOMETRY + "Lesson two: conservation is not correctness"),
    Written("q14", "How much symmetry", {
        "(a) E(3), with a layer, and one thing that a larger or smaller group would spoil": 1,
        "(b) rotations without mirrors, what is missing for it, and that an invariant of E(3) gives both hands one answer": 1,
        "(c) the field breaks the symmetry: give it as an input that turns along, or drop rotations other than about it": 1,
    }, read=EGNN + "What EGNN cannot see"),
]
