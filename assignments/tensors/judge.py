"""The questions of the assignment on tensors: hidden inputs, what to ask the student's code, how to mark what comes back."""

import collections
import itertools
import math

import numpy
import torch
from scipy.spatial.transform import Rotation

from m2m.assignments.judge import Malformed, Question, Written, close, entry, numbers, part
from m2m.data import masses
from m2m.tensors import irreps

TITLE = "Tensors"
SPHERICAL, TFN, ATOM = "spherical_tensors#", "tensor_field_networks#", "missing_atom#"
SE3, STEERABLE, OBJECTS = "se3_transformer#", "steerable_messages#", "objects_and_molecules#"


def _turns(rng, count):
    return Rotation.random(count, random_state=rng).as_matrix()


def _wigner(l, R):
    return irreps.wigner_d(l, torch.tensor(numpy.array(R))).numpy()


def _mixing(rng, size, orthogonal=False):
    """A basis, with condition number 3 or orthogonal."""
    first, second = (numpy.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(2))
    stretch = numpy.ones(size) if orthogonal else numpy.linspace(0.6, 1.8, size)
    return (first * stretch) @ second


# q1: paths

def count_inputs(rng):
    return {"L": [0, *rng.integers(4, 40, 5).tolist(), int(rng.integers(15_000, 20_000))]}


def count_probe(answer, inputs):
    found = [answer.count(L) for L in inputs["L"]]
    return {"all": lambda: [int(every) for every, _ in found], "even": lambda: [int(even) for _, even in found]}


def count_check(inputs, output):
    every, even = [], []
    for L in inputs["L"]:
        smaller = numpy.arange(L + 1, dtype=float)
        pairs = 2 * (L - smaller) + 1  # of degrees of which this is the smaller one
        every.append((pairs * (2 * smaller + 1)).sum())
        even.append((pairs * (smaller + 1)).sum())
    size = (len(every),)
    yield part(1, lambda: close(numbers(entry(output, "all"), size), every, 0, 1e-12), "the number of paths",
               "2 min(l_in, l_out) + 1 filters for each pair of degrees; how many pairs have the smaller degree l?")
    yield part(1, lambda: close(numbers(entry(output, "even"), size), even, 0, 1e-12), "the number of paths with an even sum",
               "Of 2 min + 1 filters in a row every second one counts, the first and the last included.")


# q2: functions on the sphere

CLOSED = ([0, 4, 5, 6, 7, 8], [1, 2, 3, *range(9, 16)], [4, 5, 6, 7, 8])
OPEN = ([4, 5, 6, 7], [0, 1, 2], [5, 7], [6], [9, 10, 11, 12, 13, 14])  # the third and fourth are closed under turns about y


def functions_inputs(rng):
    columns = [*CLOSED, *OPEN]
    return {"columns": columns, "order": rng.permutation(len(columns)).tolist(), "R": _turns(rng, 2).tolist(),
            "mixing": [_mixing(rng, len(kept)).tolist() for kept in columns]}


def functions_probe(answer, inputs):
    import torch
    from m2m.tensors.harmonics import harmonics

    def function(k):
        M = torch.tensor(inputs["mixing"][k], dtype=torch.float64)
        return lambda r: harmonics(r, 3)[..., inputs["columns"][k]] @ M.T

    R = torch.tensor(inputs["R"], dtype=torch.float64)
    return {"first": lambda: answer.matrix_of(function(0), R[0]), "second": lambda: answer.matrix_of(function(1), R[1]),
            "closed": lambda: [bool(answer.closed(function(k))) for k in inputs["order"]]}


def functions_check(inputs, output):
    for k, (name, degrees) in enumerate({"first": (0, 2), "second": (1, 3)}.items()):
        M, R = numpy.array(inputs["mixing"][k]), inputs["R"][k]
        blocks = torch.block_diag(*[torch.tensor(_wigner(l, R)) for l in degrees]).numpy()
        wanted = M @ blocks @ numpy.linalg.inv(M)
        yield part(0.75, lambda: close(numbers(entry(output, name), M.shape), wanted, 1e-8),
                   f"the matrix of {len(M)} functions",
                   "In columns, after = D before. In rows it is the transpose of D, its inverse in an orthonormal basis only.")
    verdict = lambda: dict(zip(inputs["order"], numbers(entry(output, "closed"), (8,)).tolist()))
    yield part(1.5, lambda: [verdict()[k] for k in range(8)] == [1, 1, 1, 0, 0, 0, 0, 0],
               "3 sets that are closed, 5 that are not",
               "Some are closed under turns about one axis: turn about another one, and use more points than functions.")


# q3: what is in the box

def content_inputs(rng):
    draw = lambda low, high: int(rng.integers(low, high))
    boxes = {"orthogonal": [[1, 1, 1]], "slanted": [[1, 2], [draw(1, 4)], [0], [0]], "large": [[2, 2], [draw(3, 5)], [1, 0]]}
    size = lambda box: sum(math.prod(2 * l + 1 for l in factors) for factors in box)
    mixing = {name: _mixing(rng, size(box), orthogonal=name == "orthogonal").tolist() for name, box in boxes.items()}
    return {"boxes": boxes, "mixing": mixing}


def content_probe(answer, inputs):
    import functools
    import torch
    from m2m.tensors.irreps import wigner_d

    def representation(name):
        M = torch.tensor(inputs["mixing"][name], dtype=torch.float64)
        box, back = inputs["boxes"][name], torch.linalg.inv(M)
        product = lambda degrees, R: functools.reduce(torch.kron, [wigner_d(l, R) for l in degrees])
        return lambda R: M @ torch.block_diag(*[product(degrees, R) for degrees in box]) @ back

    def found(name):
        content = answer.content(representation(name))
        return [int(content.get(l, 0)) for l in range(9)] + [len(content)]

    return {"orthogonal": lambda: found("orthogonal"), "slanted": lambda: found("slanted"), "large": lambda: found("large")}


def _degrees(factors):
    """{degree: how often} of a product."""
    found = collections.Counter({0: 1})
    for l2 in factors:
        before, found = found, collections.Counter()
        for l1, often in before.items():
            found.update({l: often for l in range(abs(l1 - l2), l1 + l2 + 1)})
    return found


def content_check(inputs, output):
    said = {"orthogonal": "27 numbers, in an orthogonal basis", "slanted": "some twenty numbers, in a slanted basis",
            "large": "more than thirty numbers, in a slanted basis"}
    for name, what in said.items():
        found = sum((_degrees(factors) for factors in inputs["boxes"][name]), collections.Counter())
        wanted = [found[l] for l in range(9)] + [len(found)]
        yield part(1, lambda: close(numbers(entry(output, name), (10,)), wanted, 0), what,
                   "J^2 has the eigenvalue l(l + 1), 2l + 1 times for each time that l is in the box. Zero counts, too.")


# q4: constraints

QUARTER_ABOUT = {"x": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "z": [[0, -1, 0], [1, 0, 0], [0, 0, 1]]}


def _group(generators):
    """All products of some turns."""
    found = [numpy.eye(3)]
    for R in found:
        new = [S @ R for S in generators]
        found += [T for k, T in enumerate(new) if min(abs(T - U).max() for U in [*found, *new[:k]]) > 1e-6]
    return found


def constraint_inputs(rng):
    frame = _turns(rng, 1)[0]
    seen_from = lambda R: (frame @ numpy.array(R, dtype=float) @ frame.T).tolist()
    about = lambda angle: Rotation.from_rotvec([0, 0, angle]).as_matrix()
    sets = {"any angle": [seen_from(about(1.0))], "fourfold": [seen_from(about(math.pi / 2))], "nothing": [],
            "cube": [seen_from(R) for R in QUARTER_ABOUT.values()], "everything": _turns(rng, 2).tolist()}
    return {"sets": sets, "degrees": [[1, 1], [2, 2], [2, 3], [int(rng.integers(1, 4)), int(rng.integers(3, 5))]]}


def constraint_probe(answer, inputs):
    import torch

    turns = {name: torch.tensor(R, dtype=torch.float64).reshape(-1, 3, 3) for name, R in inputs["sets"].items()}
    found = lambda *names: [[int(answer.free_numbers(a, b, turns[name])) for a, b in inputs["degrees"]] for name in names]
    return {"one": lambda: found("any angle", "fourfold"), "many": lambda: found("nothing", "cube", "everything"),
            "solids": lambda: [answer.cube, answer.tetrahedron]}


def _mean_trace(group, a, b):
    return round(numpy.mean([numpy.trace(_wigner(a, R)) * numpy.trace(_wigner(b, R)) for R in group]))


def constraint_check(inputs, output):
    pairs = inputs["degrees"]
    fourfold = [sum((m - n) % 4 == 0 for m in range(-a, a + 1) for n in range(-b, b + 1)) for a, b in pairs]
    one = [[2 * min(a, b) + 1 for a, b in pairs], fourfold]
    cube = _group([numpy.array(R, dtype=float) for R in QUARTER_ABOUT.values()])
    every, same = [(2 * a + 1) * (2 * b + 1) for a, b in pairs], [int(a == b) for a, b in pairs]
    many = [every, [_mean_trace(cube, a, b) for a, b in pairs], same]
    yield part(1, lambda: close(numbers(entry(output, "one"), (2, 4)), one, 0),
               "turns about one axis, by any angle and by quarters",
               "Only the turns of the list count: a quarter turn allows more than all turns about its axis.")
    yield part(1, lambda: close(numbers(entry(output, "many"), (3, 4)), many, 0),
               "no turn, the turns of a cube, all rotations",
               "Stack the constraints of all turns below each other, and count what satisfies all of them.")
    for k, (name, l) in enumerate({"cube": 4, "tetrahedron": 3}.items()):
        yield part(0.5, lambda: numbers(entry(output, "solids"), (2,))[k] == l, f"the lowest degree in a {name}",
                   "Ask free_numbers(0, l, turns) with two turns that generate all of the solid.")


# q5: kinds

def kinds_inputs(rng):
    every = [(l, p) for l in range(3) for p in (-1, 1)]
    pick = lambda: [every[k] for k in rng.choice(6, int(rng.integers(1, 4)), replace=False)]
    limit = lambda: int(rng.integers(1, 4))
    layers = [[[(1, 1)], 1, 2], [[(0, -1)], 2, 3], *([pick(), limit(), limit()] for _ in range(6))]
    until = [[kind, [(0, 1)], l_filter, 2] for kind in every for l_filter in (0, 1, 2)]
    until += [[(1, 1), [(0, 1)], 1, 1], [(0, -1), [(1, 1)], 1, 1], [(0, 1), [(2, 1)], 1, 2]]
    return {"layers": layers, "until": until}


def kinds_probe(answer, inputs):
    kinds = lambda rows: {(l, p) for l, p in rows}
    made = lambda rows, *limits: sorted([int(l), int(p)] for l, p in answer.after_layer(kinds(rows), *limits))
    steps = lambda kind, rows, *limits: answer.layers_until(tuple(kind), kinds(rows), *limits)
    layers, until = inputs["layers"], inputs["until"]
    return {"made": lambda: [made(*row) for row in layers], "steps": lambda: [steps(*row) for row in until]}


def _made(kinds, l_filter, l_max):
    triples = ((l1, p, f, l) for l1, p in kinds for f in range(l_filter + 1) for l in range(l_max + 1))
    return {(l, p * (-1) ** f) for l1, p, f, l in triples if abs(l1 - f) <= l <= l1 + f}


def _steps(kind, kinds, l_filter, l_max):
    have = {tuple(one) for one in kinds}
    for step in range(30):
        if tuple(kind) in have:
            return step
        have = _made(have, l_filter, l_max)
    return None


def kinds_check(inputs, output):
    wanted = [sorted(list(kind) for kind in _made([tuple(k) for k in kinds], *limits)) for kinds, *limits in inputs["layers"]]
    yield part(1, lambda: entry(output, "made") == wanted, "the kinds after one layer",
               "|l_in - l_filter| <= l_out <= l_in + l_filter, and the signs multiply.")
    steps = [_steps(*row) for row in inputs["until"]]
    yield part(1, lambda: entry(output, "steps") == steps, "the number of layers until a kind is there",
               "Apply the layer again and again; None where it is never there, as without filters beyond degree 0.")


# q6: handedness

def hand_inputs(rng):
    clouds = rng.normal(size=(8, 7, 3))
    R, shift, order = _turns(rng, 8), rng.normal(0, 2, (8, 1, 3)), rng.permutation(7)
    turned = clouds @ R.transpose(0, 2, 1) + shift
    made = {"clouds": clouds, "mirrored": -clouds, "turned": turned, "listed": clouds[:, order]}
    return {name: values.tolist() for name, values in made.items()}


def hand_probe(answer, inputs):
    import torch

    hands = lambda name: [float(answer.handedness(torch.tensor(x, dtype=torch.float64))) for x in inputs[name]]
    return {name: hands(name) for name in ("clouds", "mirrored", "turned", "listed")}


def hand_check(inputs, output):
    names = ("clouds", "mirrored", "turned", "listed")
    usual, mirrored, turned, listed = (numbers(entry(output, name), (8,)) for name in names)
    size = numpy.abs(usual)
    odd = bool((size > 1e-9 * size.max()).all()) and size.max() > 0 and close(mirrored, -usual, 1e-6 * size.max())
    yield part(1, odd, "not zero, and the other sign in a mirror", "Three arrows make a triple product.")
    # An even number would pass these two as well, and so would zero
    yield part(1, odd and close(turned, usual, 1e-6 * size.max()), "the same for a cloud that is turned and moved",
               "Take positions from the mean, and combine arrows by products that turn.")
    yield part(1, odd and close(listed, usual, 1e-6 * size.max()), "the same in another order of the points",
               "Sum over all points before you multiply, with weights made of their distances.")


# q7: a test for layers

WORDS = ("rotation", "translation", "mirror", "deaf", "coincident")
LAYERS = {
    "mean": [], "gauss": [], "centred": [], "softmax": [], "cross": ["mirror"], "position": ["translation"],
    "component": ["rotation", "mirror"], "bias": ["rotation", "mirror"], "cubic": ["rotation"],
    "own mean": ["rotation", "translation"],
    "alone": ["deaf"], "own place": ["translation", "deaf"], "unit": ["coincident"], "hidden": ["coincident"],
    "cross and unit": ["mirror", "coincident"],
}


def faults_inputs(rng):
    names = list(LAYERS)
    return {"order": [names[k] for k in rng.permutation(len(names))], "c": rng.uniform(0.5, 1.5, 3).tolist()}


def faults_probe(answer, inputs):
    import torch

    a, b, c = inputs["c"]

    def layer(name):
        def apply(f, x):
            r = x[None] - x[:, None]
            others = 1 - torch.eye(len(x), dtype=x.dtype)
            near = others * torch.exp(-a * r.square().sum(-1) / 4)
            if name == "mean":
                return b * f + c * f.mean(0)
            if name == "softmax":  # a fixed arrow is added to all keys
                key = f + torch.tensor([a, -b, c], dtype=x.dtype)
                fits = torch.where(others > 0, f @ key.T, -torch.inf)
                return f + fits.softmax(1) @ f
            if name == "alone":
                return f * torch.sigmoid(b * f.square().sum(-1, keepdim=True))
            if name == "own place":
                return f + c * (f * x).sum(-1, keepdim=True) * x
            out = f + b * near @ f + c * torch.einsum("ij,ijk,jl,ijl->ik", near, r, f, r)
            if "cross" in name:
                out = out + torch.einsum("ij,ijk->ik", near, torch.linalg.cross(f[None].expand_as(r), r))
            if name == "centred":
                out = out + c * (x - x.mean(0))
            if name == "own mean":
                out = out + c * (x - x.mean(1, keepdim=True))
            if name == "position":
                out = out + near @ ((f * x).sum(-1, keepdim=True) * f)
            if name == "component":
                out = torch.nn.functional.silu(out)
            if name == "bias":
                out = out + torch.tensor([a, b, c], dtype=x.dtype)
            if name == "cubic":  # turns of a cube and mirrors leave this as it is
                out = out * (1 + (out**4).sum(-1, keepdim=True) / (1 + out.square().sum(-1, keepdim=True)) ** 2)
            if "unit" in name:
                length = torch.where(others > 0, r.norm(dim=-1), 1.0)
                out = out + (others[..., None] * r / length[..., None]).sum(1)
            if name == "hidden":
                length = (r.square().sum(-1) + 1 - others).sqrt()
                out = out + torch.where(length[..., None] > 0, r / length[..., None], 0.0).sum(1)
            return out

        return apply

    return {name: sorted(str(word) for word in answer.faults(layer(name))) for name in inputs["order"]}


def faults_check(inputs, output):
    hints = {"rotation": "Use a rotation in general position: quarter turns about the axes leave many things as they are.",
             "translation": "Arrows that come out stay when all points are moved, by different amounts along the axes.",
             "mirror": "Negate arrows and points going in, and expect the negative of what came out.",
             "deaf": "Move another point, or change its arrow, and look at a point that was left alone.",
             "coincident": "Put two points at one place. A finite value is not enough: ask for the gradient, too."}
    # A word that is never said misses the faulty layers, one that is always said the sound ones
    for word in WORDS:
        right = lambda: all((word in entry(output, name)) == (word in true) for name, true in LAYERS.items())
        yield part(0.8, right, f"'{word}' for the layers that have this fault, and for no other", hints[word])


# q8: a layer mended

def mended_inputs(rng):
    draw = lambda *shape: rng.normal(size=shape).tolist()
    return {"s": draw(6, 3), "u": draw(6, 3, 3), "x": draw(6, 3), "R": _turns(rng, 1)[0].tolist(), "shift": draw(3),
            "decay": rng.uniform(0.3, 1, 3).tolist(), "bias": rng.uniform(0.2, 0.6, (3, 3)).tolist()}


def mended_probe(answer, inputs):
    import torch
    from m2m.messages import graph

    s, u, x, R, shift, decay, bias = (torch.tensor(value, dtype=torch.float64) for value in inputs.values())
    edges, w = graph.complete(graph.of_sizes([6])), {"decay": decay, "bias": bias}
    # Nobody hears the last point but point 0, so that what point 0 hears is known
    edges = edges[:, (edges[1] != 5) | (edges[0] == 0)]

    def run(s=s, u=u, x=x):
        return [part.tolist() for part in answer.mended(s.clone(), u.clone(), x.clone(), edges, dict(w))]

    def changed(value, k):
        other = value.clone()
        other[k] += 0.5
        return other

    def coincident():
        same = x.clone()
        same[1] = same[0]
        same.requires_grad_()
        numbers, arrows = answer.mended(s.clone(), u.clone(), same, edges, dict(w))
        (slope,) = torch.autograd.grad((numbers * s).sum() + (arrows * u.flip(0)).sum(), same)
        return [numbers.tolist(), arrows.tolist(), slope.tolist()]

    return {"usual": run, "turned": lambda: run(u=u @ R.T, x=x @ R.T), "moved": lambda: run(x=x + shift),
            "other number": lambda: run(s=changed(s, 5)), "other arrow": lambda: run(u=changed(u, 5)),
            "double": lambda: run(u=2 * u), "half": lambda: run(u=0.5 * u), "coincident": coincident}


def mended_check(inputs, output):
    def values(name):
        got = entry(output, name)
        if not isinstance(got, list) or len(got) < 2:
            raise Malformed("expected numbers and arrows")
        return numbers(got[0], (6, 3)), numbers(got[1], (6, 3, 3))

    usual = values("usual")
    differ = lambda name, k: numpy.abs(values(name)[k][0] - usual[k][0]).max() > 1e-4

    def works():
        # Bent: the arrows are no polynomial of degree 1 in the arrows that come in
        bent = numpy.abs(values("double")[1] - usual[1] - 2 * (usual[1] - values("half")[1])).max() > 1e-3
        finite = numpy.isfinite(usual[0]).all() and numpy.isfinite(usual[1]).all()
        return bool(finite and bent and differ("other arrow", 0) and differ("other number", 1))

    def turns():
        got, R = values("turned"), numpy.array(inputs["R"])
        return close(got[0], usual[0], 1e-8) and close(got[1], usual[1] @ R.T, 1e-8)

    def stays():
        return all(close(got, was, 1e-8) for got, was in zip(values("moved"), usual))

    def harmless():
        slope = numbers(entry(output, "coincident")[2], (6, 3))
        found = [*values("coincident"), slope]
        return bool(all(numpy.isfinite(array).all() for array in found) and numpy.abs(slope).max() < 1e6)

    # A layer that does nothing has no faults either, so the other parts count only with this one
    work = part(0.75, works, "it still works: both kinds of messages are heard, and arrows are bent",
                "Replace what was wrong, and leave the messages in place.")
    yield work
    done = work["points"] > 0
    yield part(0.75, lambda: done and turns(), "equivariant under a rotation",
               "Components must not be bent one by one, and no fixed arrow may be added.")
    yield part(0.75, lambda: done and stays(), "unchanged when everything is moved", "Positions come in as differences only.")
    yield part(0.75, lambda: done and harmless(), "two points at one place: values and gradients are finite, and not huge",
               "Replace the distance by 1 where it is zero, before root and division; then set the direction to 0.")


# q9: attention that can count

def silence_inputs(rng):
    receiver = rng.permutation([0] * 4 + [1] * 1 + [2] * 6 + [4] * 3).tolist()  # nobody speaks to 3
    draw = lambda rows, channels: {str(l): rng.normal(size=(rows, channels, 2 * l + 1)).tolist() for l in (0, 1, 2)}
    values = {str(l): rng.normal(size=(14, 4, 2 * l + 1)).tolist() for l in (1, 3)}
    return {"receiver": receiver, "q": draw(5, 3), "k": draw(14, 3), "v": values}


def silence_probe(answer, inputs):
    import torch

    tensor = lambda value: torch.tensor(value, dtype=torch.float64)
    read = lambda name, factor=1.0: {int(l): factor * tensor(value) for l, value in inputs[name].items()}
    receiver = torch.tensor(inputs["receiver"])

    def run(factor):
        out = answer.attend(read("q", factor), read("k"), read("v"), receiver)
        return {str(l): value.tolist() for l, value in out.items()}

    return {"usual": lambda: run(1.0), "large": lambda: run(800.0)}


def _with_silence(inputs, factor):
    receiver = numpy.array(inputs["receiver"])
    arrays = {name: {l: numpy.array(value) for l, value in inputs[name].items()} for name in "qkv"}
    fits = sum((factor * arrays["q"][l][receiver] * arrays["k"][l]).sum((1, 2)) for l in arrays["q"])
    fits = fits / math.sqrt(3 * (1 + 3 + 5))
    out = {l: numpy.zeros((5, *value.shape[1:])) for l, value in arrays["v"].items()}
    for i in range(5):
        mine = receiver == i
        terms = numpy.exp(numpy.append(fits[mine], 0.0) - max(0.0, fits[mine].max(initial=0.0)))
        for l, value in arrays["v"].items():
            out[l][i] = numpy.tensordot(terms[:-1] / terms.sum(), value[mine], 1)
    return out


def silence_check(inputs, output):
    heard = [0, 1, 2, 4]

    def right(name, factor, rows):
        wanted, got = _with_silence(inputs, factor), entry(output, name)
        return all(close(numbers(entry(got, l), wanted[l].shape)[rows], wanted[l][rows], 1e-8) for l in wanted)

    usual = part(1.5, lambda: right("usual", 1.0, heard), "the output for fits of usual size",
                 "n counts the numbers of a key in all its degrees; silence adds 1 below the line and nothing above.")
    yield usual
    done = usual["points"] > 0
    yield part(0.5, lambda: done and right("usual", 1.0, [3]), "zeros for a receiver that nobody speaks to",
               "A maximum over no neighbours is minus infinity, and infinity minus infinity is not a number.")
    yield part(1, lambda: done and right("large", 800.0, heard), "fits of some thousands, of both signs",
               "Subtract the largest exponent of each receiver from all, from the 0 of silence too.")


# q10: a counter-example

def example_probe(answer, inputs):
    return [part.tolist() for part in answer.neighbourhoods()]


def example_check(inputs, output):
    def read():
        rows = len(output[0]) if isinstance(output, list) and len(output) == 4 and isinstance(output[0], list) else 0
        if not 1 <= rows <= 8:
            raise Malformed("expected four tables with up to 8 rows")
        return [numbers(table, (rows, 3)) for table in output]

    def known(n, u):
        return numpy.concatenate([n.sum(0), u.sum(0), [(u * n).sum()], numpy.cross(u, n).sum(0)])

    def refutes():
        tables = read()
        unit = all(close(numpy.linalg.norm(table, axis=1), 1, 1e-6) for table in tables)
        apart = all((n @ n.T - 2 * numpy.eye(len(n))).max() <= math.cos(math.radians(30)) + 1e-9 for n in tables[::2])
        n, u, n2, u2 = tables
        squares = [((a * b).sum(1) ** 2).sum() for a, b in ((n, u), (n2, u2))]
        return bool(unit and apart and close(known(n, u), known(n2, u2), 1e-6) and abs(squares[0] - squares[1]) > 0.5)

    def also_degree_two():
        n, u, n2, u2 = read()
        sums = [((a * b).sum(1, keepdims=True) * b).sum(0) for a, b in ((u, n), (u2, n2))]
        return refutes() and close(*sums, 1e-6)

    yield part(2, refutes, "unit vectors, directions 30 degrees apart, four equal sums, and unequal sums of squares",
               "Let two senders on opposite sides point outwards, two others inwards. Then let all point across.")
    yield part(1, also_degree_two, "the sums with filters of degree 2 are equal as well",
               "u . n and n must both change their signs from a sender to its partner, or neither cancel.")


# q11: a table

def table_inputs(rng):
    def table(empty):
        counts = rng.integers(20, 400, 5)
        counts[empty] = 0
        return [[int(rng.integers(0.3 * c, 0.95 * c)) if c else 0, int(c)] for c in counts]

    pairs = []
    while len(pairs) < 5:
        pair = [table([]), table([])]
        if abs(_accuracy(pair[1]) - _accuracy(pair[0])) > 0.02:
            pairs.append(pair)
    return {"pairs": pairs, "empty": [[table([2]), table([4])], [table([]), table([0, 3])]]}


def _accuracy(table):
    return sum(right for right, _ in table) / sum(count for _, count in table)


def table_probe(answer, inputs):
    pair = lambda rows: [[tuple(row) for row in table] for table in rows]
    ask = lambda function, name: [float(function(*pair(rows))) for rows in inputs[name]]
    return {"alike": lambda: ask(answer.same_mix, "pairs"), "mix": lambda: ask(answer.from_mix, "pairs"),
            "empty": lambda: ask(answer.same_mix, "empty"), "example": lambda: [answer.small, answer.large]}


def _alike(small, large):
    both = [(a, b) for a, b in zip(small, large) if a[1] and b[1]]
    first = sum(a[0] for a, _ in both) / sum(a[1] for a, _ in both)
    return sum(a[1] * b[0] / b[1] for a, b in both) / sum(a[1] for a, _ in both) - first


def table_check(inputs, output):
    alike = [_alike(*pair) for pair in inputs["pairs"]]
    whole = [_accuracy(large) - _accuracy(small) for small, large in inputs["pairs"]]
    wanted = 1 - numpy.array(alike) / numpy.array(whole)
    yield part(0.75, lambda: close(numbers(entry(output, "alike"), (5,)), alike, 1e-8), "the rise with the same mix",
               "The second table's accuracies, with the shares of the first table's atoms.")
    yield part(0.75, lambda: close(numbers(entry(output, "mix"), (5,)), wanted, 1e-6, 1e-6), "the part of the mix",
               "It can be more than 1, or negative.")
    yield part(0.5, lambda: close(numbers(entry(output, "empty"), (2,)), [_alike(*pair) for pair in inputs["empty"]], 1e-8),
               "classes that one of the tables lacks", "Leave them out of the shares and of both totals.")

    def refutes():
        small, large = numbers(entry(output, "example"), (2, 3, 2))
        whole_numbers = (small == small.round()).all() and (large == large.round()).all()
        sound = all((t[:, 1] >= 20).all() and (t[:, 0] >= 0).all() and (t[:, 0] <= t[:, 1]).all() for t in (small, large))
        falls = (small[:, 0] / small[:, 1] - large[:, 0] / large[:, 1] > 0.05).all()
        return bool(whole_numbers and sound and falls and _accuracy(large) - _accuracy(small) > 0.1)

    yield part(1, refutes, "a total that rises while every class falls",
               "Give the second table many more atoms of the easiest class.")


# q12: a law

FULL, NONE = 0.05, 0.3


def _pulls(x, m, s, law):
    towards = x[:, None] - x[:, :, None]
    far = numpy.linalg.norm(towards, axis=-1) + numpy.eye(x.shape[1])
    power, reach, wave, strength = law
    phi, psi = far**-power * numpy.exp(-far / reach), strength * numpy.cos(wave * far) / far
    unit = towards / far[..., None]
    central = (phi * m[:, None])[..., None] * unit
    return (central + psi[..., None] * numpy.cross(numpy.broadcast_to(s[:, None], unit.shape), unit)).sum(2)


def _systems(rng, samples, n):
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x, m = masses.random(samples, n, generator=generator, dtype=torch.float64)
    return x.numpy(), m.numpy(), rng.normal(size=(samples, n, 3))


def _law(number):
    return numpy.random.default_rng(number).uniform([0.5, 1, 1, 0.5], [2, 3, 2.5, 1])


def law_inputs(rng):
    number = int(rng.integers(2**31))  # of the law, which itself stays here
    x, m, s = _systems(rng, 300, 3)
    a = _pulls(x, m, s, _law(number))
    a = a + 0.01 * a.std() * rng.normal(size=a.shape)
    test = _systems(rng, 12, 8)
    R, shift = _turns(rng, 1)[0], rng.normal(0, 2, 3)
    rounded = lambda values: numpy.round(values, 6).tolist()
    return {"law": number, "train": [rounded(values) for values in (x, m, s, a)], "test": [values.tolist() for values in test],
            "turned": [(test[0] @ R.T + shift).tolist(), test[1].tolist(), (test[2] @ R.T).tolist()], "R": R.tolist()}


def law_probe(answer, inputs):
    import torch

    read = lambda name: [torch.tensor(values, dtype=torch.float64) for values in inputs[name]]
    predict = answer.fit(*read("train"))
    with torch.no_grad():
        return {name: predict(*read(name)) for name in ("test", "turned")}


def law_check(inputs, output):
    truth = _pulls(*(numpy.array(values) for values in inputs["test"]), _law(inputs["law"]))
    R = numpy.array(inputs["R"])
    guess = numbers(entry(output, "test"), truth.shape)
    off = float(numpy.sqrt(numpy.square(guess - truth).mean() / numpy.square(truth).mean()))
    off = off if math.isfinite(off) else math.inf
    turned = lambda: close(numbers(entry(output, "turned"), truth.shape), guess @ R.T, 1e-8 * numpy.abs(guess).max())
    share = math.log(NONE / max(off, 1e-9)) / math.log(NONE / FULL)
    yield part(4, share, f"new systems of eight bodies: relative error {off:.3f}",
               "Both parts of the law are sums over pairs: one path with a radial function for masses, one for spins.")
    yield part(1, lambda: off < NONE and turned(), "turned and moved systems get turned predictions",
               "Build the prediction from directions, cross products and functions of distances alone.")


QUESTIONS = [
    Question("q1", "Paths", 2, count_probe, count_check, count_inputs, read=TFN + "Which paths there are"),
    Question("q2", "Functions that stay together", 3, functions_probe, functions_check, functions_inputs,
             read=SPHERICAL + "How to find D"),
    Question("q3", "What is in the box", 3, content_probe, content_check, content_inputs, read=SPHERICAL + "Taken apart"),
    Question("q4", "Free numbers", 3, constraint_probe, constraint_check, constraint_inputs, seconds=20,
             read=SPHERICAL + "The kernel constraint"),
    Question("q5", "Kinds", 2, kinds_probe, kinds_check, kinds_inputs, read=SPHERICAL + "In the mirror"),
    Question("q6", "Handedness", 3, hand_probe, hand_check, hand_inputs, read=TFN + "Eight shapes, one orientation"),
    Question("q7", "A test for layers", 4, faults_probe, faults_check, faults_inputs, seconds=20, read=TFN + "Breaking it"),
    Question("q8", "A layer mended", 3, mended_probe, mended_check, mended_inputs, read=TFN + "Non-linearities"),
    Question("q9", "Attention that can count", 3, silence_probe, silence_check, silence_inputs, read=SE3 + "The layer"),
    Question("q10", "What linear messages lose", 3, example_probe, example_check, read=STEERABLE + "A network of arrows"),
    Question("q11", "The same mix", 3, table_probe, table_check, table_inputs, read=ATOM + "Size, or hydrogens on oxygen?"),
    Question("q12", "A law", 5, law_probe, law_check, law_inputs, seconds=100, read=TFN + "Gravity, read off a network"),
    Written("q13", "Read-outs", {
        "polarisability: a sum; HOMO: a mean or a maximum; each with what two copies do": 1,
        "dipole: the sum of arrows, its length taken at the end (not a sum of lengths)": 1,
        "two different molecules: the mean is wrong for the HOMO, which is that of the higher one": 1,
        "a maximum or a weighted mean mends it, and still passes the copies": 1,
    }, read=OBJECTS + "Molecules: two numbers, two readouts"),
    Written("q14", "Three conclusions", {
        "E(3): translations and mirrors are not tested; a measurement with its number and a control": 1,
        "geometry: a deaf network passes; a neighbour is moved, the change is measured, with a control": 1,
        "larger molecules: the mix of classes; accuracies averaged with the same shares, with a control": 1,
        "each control is one that must come out differently, and the number is said": 1,
    }, read=TFN + "Breaking it"),
]
