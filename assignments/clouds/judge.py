"""The questions of the assignment on clouds: hidden inputs, what to ask the student's code, how to mark what comes back."""

import functools
import math

import numpy
import torch
from scipy import integrate, optimize, special
from scipy.spatial.distance import cdist

from m2m.assignments.judge import Malformed, Question, Written, close, entry, numbers, part
from m2m.clouds import metrics
from m2m.data import shapes

TITLE = "Clouds"
DISTANCES, VAE, VARIANTS, MADE = "cloud_distances#", "point_cloud_vae#", "vae_variants#", "made_clouds#"


def _words(value, count):
    """A list of so many texts."""
    if not isinstance(value, list) or len(value) != count or not all(isinstance(word, str) for word in value):
        raise Malformed(f"expected {count} words")
    return value


# q1: which Chamfer distance

def convention_inputs(rng):
    kinds = [(added, squared, side) for added in ("mean", "sum") for squared in (True, False) for side in ("both", "x", "y")]
    return {"boxes": [[*kinds[k], float(rng.uniform(0.2, 3))] for k in rng.permutation(len(kinds))]}


def convention_probe(answer, inputs):
    import torch

    def box(added, squared, side, factor):
        def distance(x, y):
            d = torch.cdist(x.double(), y.double(), compute_mode="donot_use_mm_for_euclid_dist")
            d = d**2 if squared else d
            sides = [d.amin(1)] * (side != "y") + [d.amin(0)] * (side != "x")
            return factor * sum(part.mean() if added == "mean" else part.sum() for part in sides)

        return distance

    said = [answer.convention(box(*one)) for one in inputs["boxes"]]
    return [[str(a), bool(b), float(c), str(e)] for a, b, c, e in said]


def convention_check(inputs, output):
    boxes = inputs["boxes"]
    if not isinstance(output, list) or len(output) != len(boxes):
        raise Malformed("expected four things for each function")
    alike = lambda k, place: [row[k] for row in output] == [box[place] for box in boxes]
    yield part(0.5, lambda: alike(0, 0), "mean or sum, for twelve functions",
               "List each point twice: a sum doubles, a mean does not.")
    yield part(0.5, lambda: alike(1, 1), "squared or plain", "Three times the distance: three times, or nine times?")
    yield part(0.5,
               lambda: close(numbers([row[2] for row in output], (len(boxes),)), [box[3] for box in boxes], 1e-6),
               "the factor", "Single points at distance 1: two sums of 1, or one.")
    yield part(0.5, lambda: alike(3, 2), "which cloud's points look for their nearest",
               "If x sits on a part of y, no point of x has far to go, and some of y have.")


# q2: floors

def floor_inputs(rng):
    spheres = [[int(rng.integers(5, 300)), int(rng.integers(5, 300)), float(rng.uniform(0.3, 3))] for _ in range(4)]
    circles = [[int(rng.integers(2, 200)), float(rng.uniform(0.3, 3))] for _ in range(4)]
    return {"sphere": spheres, "circle": circles, "value": [*rng.uniform(0.002, 0.5, 4).tolist(), float(rng.uniform(5, 7))]}


def floor_probe(answer, inputs):
    enough = lambda how: [answer.enough(value, how) for value in inputs["value"]]
    return {"sphere": lambda: [float(answer.sphere(*one)) for one in inputs["sphere"]],
            "circle": lambda: [float(answer.circle(*one)) for one in inputs["circle"]],
            "mean": lambda: enough("mean"), "sum": lambda: enough("sum")}


def floor_check(inputs, output):
    sphere = [4 * r * r * (1 / (n + 1) + 1 / (m + 1)) for n, m, r in inputs["sphere"]]
    chord = lambda t, n: 4 * math.sin(t) * (1 - t / math.pi) ** n
    circle = [r * r * integrate.quad(chord, 0, math.pi, args=(n,), points=[2 / n])[0] for n, r in inputs["circle"]]
    means = [max(1, math.floor(8 / value - 1) + 1) for value in inputs["value"]]
    yield part(1, lambda: close(numbers(output, (4,), "sphere"), sphere, 1e-9, 1e-6),
               "spheres of any radius, N against M points",
               "The radius comes in squared; each of the two sums falls with the number of points of the other cloud.")
    yield part(1, lambda: close(numbers(output, (4,), "circle"), circle, 0, 1e-3), "circles",
               "No point within the angle t on either side: (1 - t/pi) to the power N. A chord is 2 r sin(t/2).")
    yield part(1, lambda: entry(output, "mean") == means and entry(output, "sum") == [None] * 4 + [1],
               "how many points are enough",
               "For sums the floor grows with N, from 4 towards 8: a single point is the best there is.")


# q3: a distance with a proof

SIZES = [(30, 20), (20, 35), (25, 25), (40, 12), (1, 9), (15, 40)]


def certify_inputs(rng):
    costs = []
    for k, (n, m) in enumerate(SIZES):
        x, y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 0.5
        d = rng.exponential(size=(n, m)) + 0.2 if k == 2 else cdist(x, y) ** (2 if k % 2 else 1)
        costs.append((d * (0.001, 1, 1000)[k % 3]).tolist())
    return {"costs": costs}


def certify_probe(answer, inputs):
    import torch

    ask = lambda d: lambda: [part.double().tolist() for part in answer.certify(torch.tensor(d, dtype=torch.float64))]
    return {str(k): ask(d) for k, d in enumerate(inputs["costs"])}


def _transport(d):
    """The exact cost of the best plan."""
    n, m = d.shape
    rows = numpy.kron(numpy.eye(n), numpy.ones(m)), numpy.kron(numpy.ones(n), numpy.eye(m))
    right = numpy.concatenate([numpy.full(n, 1 / n), numpy.full(m, 1 / m)])
    return optimize.linprog(d.ravel(), A_eq=numpy.concatenate(rows), b_eq=right, method="highs").fun


def certify_check(inputs, output):
    costs = [numpy.array(d) for d in inputs["costs"]]
    exact = [_transport(d) for d in costs]

    def read(k):
        got, (n, m) = entry(output, str(k)), costs[k].shape
        if not isinstance(got, list) or len(got) != 3:
            raise Malformed("expected a plan, f and g")
        return numbers(got[0], (n, m)), numbers(got[1], (n,)), numbers(got[2], (m,))

    def plan(k, slack):
        P, _, _ = read(k)
        n, m = P.shape
        moves = P.min() >= -1e-12 and close(P.sum(1), 1 / n, 1e-9) and close(P.sum(0), 1 / m, 1e-9)
        return bool(moves and (P * costs[k]).sum() <= (1 + slack) * exact[k])

    def bound(k, slack):
        _, f, g = read(k)
        valid = (f[:, None] + g <= costs[k] + 1e-9 * costs[k].max()).all()
        return bool(valid and f.mean() + g.mean() >= (1 - slack) * exact[k])

    def proof(k):
        P, f, g = read(k)
        cost = (P * costs[k]).sum()
        return plan(k, 0.011) and bound(k, 0.011) and bool(cost - f.mean() - g.mean() <= 0.01 * cost)

    every = lambda verdict: lambda: all(verdict(k) for k in range(len(SIZES)))
    yield part(1, every(lambda k: plan(k, 0.05)), "plans that move all masses, at most 5 % too dear",
               "Set rows and columns right exactly, at the end; and measure the regularisation in the unit of the costs.")
    yield part(1, every(lambda k: bound(k, 0.05)), "f and g that are allowed, with a bound at most 5 % too low",
               "The f and g of a blurred plan break f + g <= d a little. Given f, take the largest g that does not.")
    yield part(1, every(proof), "the two within 1 % of each other",
               "A smaller regularisation in the end, reached in steps, with enough rounds.")


# q4: games

GAMES = ("fair", "copied", "leaked", "collapsed", "fog", "fair", "some copied", "some leaked", "three", "fog")
SET, POINTS = 30, 48


def _sticks(rng, ends):
    t = rng.random((len(ends), 3, POINTS // 3, 1))
    return (ends[:, :, None, 0] + t * (ends[:, :, None, 1] - ends[:, :, None, 0])).reshape(len(ends), POINTS, 3)


def _played(rng, name, ends):
    train, test, other = ends
    fair = _sticks(rng, other)
    if name == "fog":
        return rng.permutation(fair.reshape(-1, 3)).reshape(fair.shape)
    if name in ("collapsed", "three"):
        return _sticks(rng, numpy.resize(other[: 1 if name == "collapsed" else 3], other.shape))
    if "copied" in name or "leaked" in name:
        some = 11 if "some" in name else SET
        fair[:some] = _sticks(rng, (train if "copied" in name else test)[:some])
    return rng.permutation(fair)


def _order(number):
    return [GAMES[k] for k in numpy.random.default_rng(number).permutation(len(GAMES))]


def game_inputs(rng):
    number = int(rng.integers(2**31))  # of the order of the games, which itself stays here
    base = rng.uniform(-0.5, 0.5, (3, 2, 3))
    shape = lambda: base + 0.35 * rng.uniform(-1, 1, (SET, 3, 2, 3))
    train, test = shape(), shape()
    rounded = lambda clouds: numpy.round(clouds, 3).tolist()
    made = [rounded(_played(rng, name, (train, test, shape()))) for name in _order(number)]
    return {"games": number, "train": rounded(_sticks(rng, train)), "test": rounded(_sticks(rng, test)), "made": made}


def game_probe(answer, inputs):
    import torch

    train, test = torch.tensor(inputs["train"]), torch.tensor(inputs["test"])
    return [str(answer.game(torch.tensor(made), train.clone(), test.clone())) for made in inputs["made"]]


def game_check(inputs, output):
    order = _order(inputs["games"])
    said = _words(output, len(order))
    truth = {"some copied": "copied", "some leaked": "leaked", "three": "collapsed"}
    right = lambda *names: all(word == truth.get(name, name) for name, word in zip(order, said) if name in names)
    yield part(1, lambda: right("fair", "copied"), "fair clouds, and copies of the training set",
               "Copies can only be seen by a comparison with the training set.")
    yield part(1, lambda: right("fair", "leaked"), "fair clouds, and the test set with other points",
               "Compare the distance to the nearest test cloud with what real clouds have.")
    yield part(1, lambda: right("fair", "collapsed", "three", "fog"), "one good cloud or three, and fog",
               "Look at how far made clouds are from each other, and from the nearest of each other.")
    yield part(1, lambda: right("fair", "some copied", "some leaked"), "a third of copies among fair clouds",
               "Count the made clouds whose nearest real one is nearer than a new shape ever is.")


# q5: two metrics that disagree

def impostors_probe(answer, inputs):
    read = lambda sets: [part.double().tolist() for part in sets]
    return {"impostors": lambda: read(answer.impostors()), "collapse": lambda: read(answer.hidden_collapse())}


def impostors_check(inputs, output):
    def verdicts(name):
        """Coverage, MMD over the distance of real clouds, and 1-NNA: for the sets, and for them slightly changed."""
        got = entry(output, name)
        if not isinstance(got, list) or len(got) != 2 or not isinstance(got[0], list) or not 4 <= len(got[0]) <= 8:
            raise Malformed("expected two sets of 4 to 8 clouds")
        sets, rng = [numbers(one, (len(got[0]), 3)) for one in got], numpy.random.default_rng(0)
        for size in (0, 1e-6, 1e-6, 1e-6):
            made, real = (one + size * rng.uniform(-1, 1, one.shape) for one in sets)
            between, within, own = (torch.tensor(cdist(a, b)) for a, b in ((made, real), (made, made), (real, real)))
            yield (metrics.coverage(between), metrics.mmd(between) * len(own) * (len(own) - 1) / own.sum().item(),
                   metrics.one_nna(between, within, own))

    yield part(1.5, lambda: all(cov == 1 and mmd <= 0.1001 and nna == 1 for cov, mmd, nna in verdicts("impostors")),
               "coverage 1, a small MMD, and 1-NNA 1", "Pairs of real clouds, with pairs of made clouds beside them.")
    yield part(1.5, lambda: all(cov <= 0.25 and 0.45 <= nna <= 0.55 for cov, _, nna in verdicts("collapse")),
               "1-NNA of a half, and a coverage of at most 1/4",
               "Made clouds about one real cloud, farther from each other than from it; the other real ones far away.")


# q6: an encoder that sees classes

def answers_inputs(rng):
    tables = []
    for X, K, C, size in ((6, 4, 2, 2), (9, 5, 4, 2), (8, 3, 3, 1500), (5, 4, 5, 3)):
        classes = rng.permutation(numpy.arange(X) % C)
        log_like = rng.normal(-2 * size, size, (X, K))
        tables.append([numpy.log(rng.dirichlet(numpy.ones(K))).tolist(), log_like.tolist(), classes.tolist()])
    return {"tables": tables}


def answers_probe(answer, inputs):
    import torch

    read = lambda row: (*(torch.tensor(part, dtype=torch.float64) for part in row[:2]), torch.tensor(row[2]))
    ask = lambda row: {"answers": lambda: answer.answers(*read(row)), "gap": lambda: float(answer.gap(*read(row)))}
    return {str(k): ask(row) for k, row in enumerate(inputs["tables"])}


def answers_check(inputs, output):
    def truth(k):
        log_prior, log_like, classes = map(numpy.array, inputs["tables"][k])
        joint = log_prior + log_like
        means = numpy.array([joint[classes == c].mean(0) for c in range(classes.max() + 1)])
        q = special.log_softmax(means, 1)
        elbo = (numpy.exp(q) * (means - q)).sum(1)[classes]
        return numpy.exp(q), (special.logsumexp(joint, axis=1) - elbo).mean()

    def right(k, name):
        q, nats = truth(k)
        got = entry(entry(output, str(k)), name)
        return close(numbers(got, q.shape), q, 1e-8) if name == "answers" else close(numbers(got, ()), nats, 1e-7, 1e-9)

    q = part(1, lambda: right(0, "answers") and right(1, "answers"), "the best answer for each class",
             "Set the derivative of the mean ELBO of a class to zero: prior times the geometric mean of the likelihoods.")
    yield q
    yield part(1, lambda: right(0, "gap") and right(1, "gap"), "the nats that are lost",
               "The evidence is that of each datum, not of the class.")
    yield part(1, lambda: q["points"] > 0 and all(right(k, name) for k in (2, 3) for name in ("answers", "gap")),
               "very small likelihoods, and classes of one", "exp(-5000) is zero. Stay in logarithms: logsumexp and softmax.")


# q7: information and mismatch

def split_inputs(rng):
    tables = []
    for S in (1, 4, 12, 30):
        tables.append([rng.uniform(-2.5, 3.5, S).tolist(), rng.uniform(0.06, 0.9, S).tolist()])
    return {"tables": tables}


def split_probe(answer, inputs):
    import torch

    read = lambda row: [torch.tensor(part, dtype=torch.float64) for part in row]
    return {"split": lambda: [[float(v) for v in answer.split(*read(row))] for row in inputs["tables"]],
            "gain": lambda: [float(answer.gain(*read(row))) for row in inputs["tables"]]}


def split_check(inputs, output):
    z = numpy.linspace(-12, 12, 120_001)
    wanted, gains = [], []
    for mu, sigma in inputs["tables"]:
        mu, sigma = numpy.array(mu), numpy.array(sigma)
        heap = sum(numpy.exp(-(((z - m) / s) ** 2) / 2) / s for m, s in zip(mu, sigma)) / (len(mu) * math.sqrt(2 * math.pi))
        kl = ((mu**2 + sigma**2 - 1) / 2 - numpy.log(sigma)).mean()
        log_prior = -(z**2 + math.log(2 * math.pi)) / 2
        mismatch = numpy.trapezoid(special.xlogy(heap, heap) - heap * log_prior, z)
        wanted.append([kl - mismatch, mismatch])
        spread = (sigma**2).mean() + mu.var()
        gains.append((spread + mu.mean() ** 2 - 1 - math.log(spread)) / 2)
    got = lambda k: numbers(output, (len(wanted), 2), "split")[:, k]
    yield part(1, lambda: close(got(0), numpy.array(wanted)[:, 0], 1e-3), "the information about which cloud it was",
               "It lies between 0 and log S. A sum over a grid will do, with steps finer than the narrowest answer.")
    yield part(1, lambda: close(got(1), numpy.array(wanted)[:, 1], 1e-3), "the mismatch",
               "The KL of the mixture of all answers from the prior.")
    yield part(1, lambda: close(numbers(output, (len(gains),), "gain"), gains, 1e-3),
               "what the best normal prior takes off",
               "Its variance is that of the means plus the mean of the variances.")


# q8: a test for encoders

WORDS = ("order", "company", "density", "deaf")
ENCODERS = {
    "largest": (), "two views": (), "largest of pairs": (), "mean": ("density",), "sum": ("density",),
    "attention": ("density",),
    "centred": ("company",), "next": ("company",), "place": ("company",), "first": ("company",), "duel": ("company",),
    "list": ("order", "density"), "slow list": ("order", "density"), "batch": ("order", "company"),
    "constant": ("deaf",), "far mean": ("density",),
}


def faults_inputs(rng):
    names = list(ENCODERS)
    return {"order": [names[k] for k in rng.permutation(len(names))], "c": rng.normal(size=(3, 5)).tolist()}


def faults_probe(answer, inputs):
    import torch

    c = torch.tensor(inputs["c"], dtype=torch.float64)

    def encoder(name):
        def encode(x):
            f = torch.tanh(x @ c)
            code = f.amax(1)
            if name == "two views":
                return torch.cat([code, f.amin(1)], 1)
            if name == "largest of pairs":
                return torch.tanh((x[:, :, None] - x[:, None]) @ c).flatten(1, 2).amax(1)
            if name == "mean":
                return torch.cat([code, f.mean(1)], 1)
            if name == "sum":
                return f.sum(1)
            if name == "attention":
                return ((f @ f.mT).softmax(-1) @ f).amax(1)
            if name == "centred":
                return code - code.mean(0)
            if name == "next":
                return code + 0.1 * code.roll(1, 0)
            if name == "place":
                return code + 0.02 * torch.arange(len(x), dtype=x.dtype)[:, None]
            if name == "first":
                return code + 0.3 * (code - code[:1])
            if name == "duel":  # the whole batch is moved by its farthest cloud
                return code + 0.1 * x.norm(dim=-1).amax()
            if name == "list":
                return torch.einsum("bnk,n->bk", f, torch.arange(x.shape[1], dtype=x.dtype).cos())
            if name == "slow list":  # only the last point has a place of its own
                return f.sum(1) + 0.1 * f[:, -1]
            if name == "batch":
                t = f.transpose(0, 1)
                return (0.5 * t + 0.5 * (t @ t.mT).softmax(-1) @ t).transpose(0, 1).amax(1)
            if name == "far mean":  # a mean of points that are far out, and silent about the others
                return (torch.relu(x.norm(dim=-1, keepdim=True) - 1) * f).mean(1)
            if name == "constant":
                return 0 * code + c[:1]
            return code

        return encode

    return {name: sorted(str(word) for word in answer.faults(encoder(name))) for name in inputs["order"]}


def faults_check(inputs, output):
    hints = {"order": "Shuffle the points of clouds in company, each in its own way: one alone may not notice.",
             "company": "Compare a cloud among others, among other others, in another place and alone.",
             "density": "List some of the points twice. If all are listed twice a mean stays as it is.",
             "deaf": "Compare clouds with each other, and with quite different ones."}
    for word in WORDS:
        # Over the batch repeats matter if they are others in each cloud: whether that is density may be seen either way
        asked = {name: true for name, true in ENCODERS.items() if (name, word) != ("batch", "density")}
        right = lambda: all((word in entry(output, name)) == (word in true) for name, true in asked.items())
        yield part(1, right, f"'{word}' for the encoders that have this fault, and for no other", hints[word])


# q9: the density of given points

def density_inputs(rng):
    cases = []
    for D, T in ((3, 0), (1, 1), (4, 1), (3, 2), (6, 4)):
        steps = [[numpy.tril(rng.normal(0, 0.8, (D, D)), -1).tolist(), numpy.tril(rng.normal(0, 0.8, (D, D)), -1).tolist(),
                  rng.normal(size=D).tolist(), rng.normal(size=D).tolist()] for _ in range(T)]
        cases.append({"z": rng.normal(size=(7, D)).tolist(), "mu": rng.normal(size=D).tolist(),
                      "sigma": rng.uniform(0.3, 2, D).tolist(), "steps": steps})
    return {"cases": cases}


def density_probe(answer, inputs):
    import torch

    tensor = lambda value: torch.tensor(value, dtype=torch.float64)

    def step(A, B, a, b):
        A, B, a, b = map(tensor, (A, B, a, b))
        return lambda z: (torch.tanh(z @ A.T + a) * 2, torch.sin(z @ B.T + b))

    def ask(case):
        steps = [step(*one) for one in case["steps"]]
        return lambda: answer.log_q(tensor(case["z"]), tensor(case["mu"]), tensor(case["sigma"]), steps)

    return {str(k): ask(case) for k, case in enumerate(inputs["cases"])}


def _log_q(case):
    """Undo the steps component by component, by numpy."""
    z, mu, sigma = (numpy.array(case[name]) for name in ("z", "mu", "sigma"))
    total = numpy.zeros(len(z))
    for A, B, a, b in reversed(case["steps"]):
        A, B = numpy.array(A), numpy.array(B)
        before = numpy.zeros_like(z)
        for i in range(z.shape[1]):
            m = 2 * numpy.tanh(before @ A[i] + a[i])
            gate = special.expit(numpy.sin(before @ B[i] + b[i]) + 1.5)
            before[:, i] = (z[:, i] - (1 - gate) * m) / gate
            total -= numpy.log(gate)
        z = before
    return total - (((z - mu) / sigma) ** 2 / 2 + numpy.log(sigma) + math.log(2 * math.pi) / 2).sum(1)


def density_check(inputs, output):
    def right(*which):
        return all(close(numbers(output, (7,), str(k)), _log_q(inputs["cases"][k]), 1e-8, 1e-9) for k in which)

    yield part(0.5, lambda: right(0), "no step: mu and sigma alone", "The width sigma belongs to the density: t = 0.")
    yield part(1.25, lambda: right(1, 2), "one step",
               "The gate and m are functions of the point before the step: find it from the left to the right.")
    yield part(1.25, lambda: right(3, 4), "several steps",
               "The last step is undone first, and each gate is taken at its own point.")


# q10: the books

def books_inputs(rng):
    report = lambda k: [float(rng.uniform(-1, 2)), int(rng.integers(20, 3000)), bool(k % 2), float(rng.uniform(0.1, 3))]
    return {"reports": [report(k) for k in range(8)]}


def books_probe(answer, inputs):
    return {"books": lambda: [float(answer.same_books(*one)) for one in inputs["reports"]],
            "ranking": lambda: list(answer.ranking)}


def books_check(inputs, output):
    fold = lambda N, ordered: 0 if ordered else math.lgamma(N + 1) / (3 * N)
    wanted = [nats + math.log(unit) - fold(N, ordered) for nats, N, ordered, unit in inputs["reports"]]
    yield part(1.25, lambda: close(numbers(output, (8,), "books"), wanted, 1e-9, 1e-9), "any report, in the same books",
               "N! for what was not sorted; and a density of x / unit is that of x times the unit, in each coordinate.")
    yield part(0.75, lambda: entry(output, "ranking") == ["B", "D", "A"], "the ranking",
               "A Chamfer loss is not in nats. The others in the same books, lowest first.")


# q11: what a bell loses

def bell_inputs(rng):
    gammas = [[float(rng.uniform(1, 4)), float(rng.uniform(0.05, 3))] for _ in range(3)]
    mixes = [[float(rng.uniform(0.3, 0.7)), float(rng.uniform(0.05, 0.3)), float(rng.uniform(1, 3))] for _ in range(2)]
    return {"gammas": gammas, "mixes": mixes, "w": rng.uniform(0.2, 3, 5).tolist()}


def bell_probe(answer, inputs):
    import math

    import torch

    def gamma(k, scale):
        return lambda d: torch.exp((k - 1) * torch.log(d / scale) - d / scale - math.lgamma(k)) / scale

    def mix(a, first, second):
        return lambda d: a * torch.exp(-d / first) / first + (1 - a) * torch.exp(-d / second) / second

    densities = [gamma(*one) for one in inputs["gammas"]] + [mix(*one) for one in inputs["mixes"]]
    return {"bell": lambda: [[float(v) for v in answer.bell(p)] for p in densities],
            "soft": lambda: [float(answer.soft(p, w)) for p, w in zip(densities, inputs["w"])]}


def _densities(inputs, d):
    for k, scale in inputs["gammas"]:
        yield numpy.exp((k - 1) * numpy.log(d / scale) - d / scale - math.lgamma(k)) / scale
    for a, first, second in inputs["mixes"]:
        yield a * numpy.exp(-d / first) / first + (1 - a) * numpy.exp(-d / second) / second


def bell_check(inputs, output):
    t = numpy.linspace(-26, math.log(200), 100_001)
    d = numpy.exp(t)
    lost, behind, soft = [], [], []
    for p, w in zip(_densities(inputs, d), inputs["w"]):
        mean = lambda value: numpy.trapezoid(p * value * d, t)
        entropy = -numpy.trapezoid(special.xlogy(p, p) * d, t)
        m, v = mean(d), mean(d**2) - mean(d) ** 2
        lost.append(0.5 * math.log(2 * math.pi * math.e * v) - entropy)
        behind.append(special.ndtr(-m / math.sqrt(v)))
        u = d / w + numpy.log(-numpy.expm1(-d / w))
        v = mean((u - mean(u)) ** 2)
        soft.append(0.5 * math.log(2 * math.pi * math.e * v) - mean(-numpy.log(-w * numpy.expm1(-d / w))) - entropy)
    got = lambda k: numbers(output, (5, 2), "bell")[:, k]
    yield part(1, lambda: close(got(0), lost, 2e-3), "what the best bell loses",
               "Mean and variance of p make the best normal density.")
    yield part(1, lambda: close(got(1), behind, 2e-3), "the mass that it has on steps backwards",
               "Its distribution function at 0.")
    yield part(1, lambda: close(numbers(output, (5,), "soft"), soft, 2e-3), "what is lost with u in the place of d",
               "The density of d is that of u times du/dd. u goes far down for short steps: use a grid that is fine there.")


# q12: six numbers for a chair

NONE, FULL, GOOD = 0.036, 0.012, 0.02


def chairs_inputs(rng):
    return {"train": int(rng.integers(0, 3000)), "test": int(rng.integers(0, 1000)), "order": rng.permutation(128).tolist()}


def chairs_probe(answer, inputs):
    import torch

    from m2m.data import shapes

    train = shapes.clouds("chair", 200, points=256, first=inputs["train"])
    test = shapes.clouds("chair", 60, points=128, split="test", first=inputs["test"])
    encode, decode, sample = answer.fit(train.clone())
    digits = lambda value, places: [[round(v, places) for v in row] for row in value.double().flatten(1).tolist()]
    with torch.no_grad():
        codes = digits(encode(test), 3)
        return {"codes": codes, "exact": lambda: digits(encode(test), 6),
                "order": lambda: digits(encode(test[:, inputs["order"]]), 6),
                "made": lambda: digits(decode(torch.tensor(codes)), 4), "samples": lambda: digits(sample(60), 4)}


def _clouds(output, name):
    """(60, M, 3), with M of the student's choice."""
    rows = entry(output, name)
    width = len(rows[0]) if isinstance(rows, list) and len(rows) == 60 and isinstance(rows[0], list) else 0
    if width % 3 or not 64 <= width // 3 <= 256:
        raise Malformed("expected 60 clouds of 64 to 256 points")
    clouds = torch.tensor(numbers(rows, (60, width))).view(60, -1, 3)
    if not clouds.isfinite().all():
        raise Malformed("expected finite numbers")
    return clouds


def _squares(a, b=None):
    return metrics.chamfer_pairs(a, b, reduction="mean", squared=True)


@functools.cache
def _real(train, test):
    """Two draws of the test chairs, 60 training chairs, the distances within, and the floor."""
    draws = [shapes.clouds("chair", 60, points=128, split="test", first=test, draw=k).double() for k in (0, 1)]
    seen = shapes.clouds("chair", 60, points=256, first=train)[:, :128].double()
    return *draws, seen, _squares(draws[0]), _squares(seen), _squares(*draws).diagonal().mean().item()


def chairs_check(inputs, output):
    first, second, seen, own, own_seen, floor = _real(inputs["train"], inputs["test"])
    numbers(output, (60, 6), "codes")
    above = _squares(_clouds(output, "made"), second).diagonal().mean().item() - floor
    share = math.log(NONE / max(above, 1e-4)) / math.log(NONE / FULL)
    yield part(3, share, f"unseen chairs through six numbers: {above:.4f} above the floor",
               "A network for each point, the largest of each feature, six numbers, an MLP to the points; trained on Chamfer.")
    good = above < GOOD

    def unordered():
        return close(numbers(output, (60, 6), "order"), numbers(output, (60, 6), "exact"), 1e-4)

    def stands():
        samples = _clouds(output, "samples")
        within, between, copies = _squares(samples), _squares(samples, first), _squares(samples, seen)
        coverage, told = metrics.coverage(between), metrics.one_nna(between, within, own)
        return coverage >= 0.2 and told <= 0.85 and metrics.one_nna(copies, within, own_seen) >= 0.2

    yield part(0.5, lambda: good and unordered(), "the order of the points does not matter",
               "Read all points, and pool without an order.")
    yield part(1.5, lambda: good and stands(), "60 new chairs beside real ones, and no copies of the training set",
               "Draw codes from where the codes of real chairs lie, and decode them.")


QUESTIONS = [
    Question("q1", "Which Chamfer distance", 2, convention_probe, convention_check, convention_inputs,
             read=DISTANCES + "Four things by one name"),
    Question("q2", "Floors", 3, floor_probe, floor_check, floor_inputs,
             read=DISTANCES + "The floor: two clouds of the same thing"),
    Question("q3", "A distance with a proof", 3, certify_probe, certify_check, certify_inputs,
             read=DISTANCES + "Sinkhorn: nearly as good, on any device, with bounds"),
    Question("q4", "Which game", 4, game_probe, game_check, game_inputs, seconds=20, read=DISTANCES + "The games"),
    Question("q5", "Metrics that disagree", 3, impostors_probe, impostors_check, read=DISTANCES + "From pairs to sets"),
    Question("q6", "An encoder that sees classes", 3, answers_probe, answers_check, answers_inputs,
             read=VAE + "A bound that can be checked"),
    Question("q7", "Information and mismatch", 3, split_probe, split_check, split_inputs,
             read=VARIANTS + "A prior that fits"),
    Question("q8", "A test for encoders", 4, faults_probe, faults_check, faults_inputs,
             read=VARIANTS + "Attention, and which axis is the batch"),
    Question("q9", "The density of given points", 3, density_probe, density_check, density_inputs,
             read=VARIANTS + "A posterior that bends"),
    Question("q10", "The same books", 2, books_probe, books_check, books_inputs, read=MADE + "What sorting is worth"),
    Question("q11", "What a bell loses", 3, bell_probe, bell_check, bell_inputs, read=MADE + "Two points on a line"),
    Question("q12", "Six numbers for a chair", 5, chairs_probe, chairs_check, chairs_inputs, seconds=100,
             read=VAE + "The VAE in thirty lines"),
    Written("q13", "Three conclusions", {
        "likelihood: exp(-Chamfer) has no constant integral; sums over 512 and 2,048 points differ by about 4": 1,
        "information is at most log 400 = 6.0 nats; the other 32 or more are mismatch": 1,
        "groups: nothing is drawn, so no chain of densities; what a likelihood would need": 1,
    }, read=VAE + "What Chamfer makes of the bound"),
    Written("q14", "A vendor's table", {
        "copies of the training set: pass all four; 1-NNA to the training set near 0, control real chairs near 0.5": 1,
        "a second suspicion that fits what is said of it (leak and something bad mixed, blur): measurement, value, control": 1,
        "noise below the distance of points, with the root of area over N; or small faults within the spread of 30 clouds": 1,
    }, read=DISTANCES + "The games"),
]
