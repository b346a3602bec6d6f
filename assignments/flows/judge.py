"""The questions of the assignment on flows: hidden inputs, what to ask the student's code, how to mark the answers."""

import functools
import math

import numpy
import torch
from scipy import integrate, optimize, stats

from m2m.assignments.judge import Question, Written, close, numbers, part
from m2m.data import moons

TITLE = "Flows"
CHANGE, MOONS, AUTO = "change_of_variables#", "two_moons#", "autoregressive_flows#"


# q1: a density on the line

def sinh_inputs(rng):
    far = 10 ** rng.uniform(5.9, 6, 6)  # where cancellation costs so much that no draw hides it in five points
    return {"x": [*rng.normal(0, 3, 40).tolist(), *(-far[:5]).tolist(), *far[5:].tolist()]}


def sinh_probe(answer, inputs):
    import torch

    x = torch.tensor(inputs["x"], dtype=torch.float64)
    return {"values": lambda: answer.log_prob(x), "shaped": lambda: answer.log_prob(x[:40].view(8, 5))}


def sinh_check(inputs, output):
    x = numpy.array(inputs["x"])
    wanted = stats.norm.logpdf(numpy.arcsinh(x)) - numpy.log(numpy.hypot(1, x))
    values = lambda: numbers(output, (46,), "values")
    yield part(1, lambda: close(values()[:40], wanted[:40], 1e-6), "the log-density at 40 points",
               "The slope of sinh is cosh z = sqrt(1 + x^2), and the density is divided by it.")
    yield part(0.5, lambda: close(values()[40:], wanted[40:], 1e-6, 1e-6), "the log-density far out",
               "log(x + sqrt(1 + x^2)) loses all digits for large negative x; torch.asinh does not.")
    yield part(0.5, lambda: close(numbers(output, (8, 5), "shaped"), wanted[:40].reshape(8, 5), 1e-6),
               "points in a table, (8, 5)",
               "Work element by element; the result has the shape of x.")


# q2: what the factor is for

def mass_probe(answer, inputs):
    return float(answer.mass)


def mass_check(inputs, output):
    wanted = integrate.quad(lambda z: stats.norm.pdf(z) * math.cosh(z), -30, 30)[0]
    yield part(1, lambda: close(numbers(output), wanted, 1e-3), "the mass without the factor",
               "After the substitution x = sinh z the integral is the mean of cosh z.")


# q3: a density in the plane

def bent_inputs(rng):
    return {"x": rng.normal(0, 1.5, (30, 2)).tolist(), "a": rng.uniform(0.3, 0.9), "b": rng.uniform(-1.5, 1.5)}


def bent_probe(answer, inputs):
    import torch

    x = torch.tensor(inputs["x"], dtype=torch.float64)
    return {"bent": answer.log_prob_bent(x, inputs["a"], inputs["b"]),
            "shear": answer.log_prob_bent(x, 0.0, inputs["b"])}


def _log_bent(x, a, b):
    given_x1 = stats.norm.logpdf(x[:, 1], b * x[:, 0] ** 2, numpy.exp(a * x[:, 0]))  # x2 is normal, given x1
    return stats.norm.logpdf(x[:, 0]) + given_x1


def bent_check(inputs, output):
    x, a, b = numpy.array(inputs["x"]), inputs["a"], inputs["b"]
    yield part(0.5, lambda: close(numbers(output, (30,), "shear"), _log_bent(x, 0.0, b), 1e-6),
               "a = 0, a shear, which changes no area",
               "Solve the second line for z2 first.")
    yield part(1.5, lambda: close(numbers(output, (30,), "bent"), _log_bent(x, a, b), 1e-6),
               "30 points with a and b not zero",
               "log|det dz/dx| is minus a x1: check its sign.")


# q4: a chain

def chain_inputs(rng):
    return {"z": rng.normal(0, 1, 20).tolist(), "c": rng.uniform(0.5, 3, 4).tolist()}


def chain_probe(answer, inputs):
    import torch

    def link(c):
        return (lambda z: z + c * torch.atan(z)), (lambda z: torch.log1p(c / (1 + z * z)))

    z = torch.tensor(inputs["z"], dtype=torch.float64)
    links = [link(c) for c in inputs["c"]]
    return {"x": lambda: answer.chain(links, z)[0], "log_det": lambda: answer.chain(links, z)[1],
            "one": lambda: answer.chain(links[:1], z)[1], "empty": lambda: answer.chain([], z)[0]}


def chain_check(inputs, output):
    z, log_det = numpy.array(inputs["z"]), 0.0
    first = numpy.log1p(inputs["c"][0] / (1 + z * z))
    x = z
    for c in inputs["c"]:
        log_det, x = log_det + numpy.log1p(c / (1 + x * x)), x + c * numpy.arctan(x)
    yield part(0.5, lambda: close(numbers(output, (20,), "x"), x, 1e-6, 1e-6), "where four maps lead",
               "The first pair is applied first.")
    yield part(0.25, lambda: close(numbers(output, (20,), "one"), first, 1e-6), "one map",
               "Add log_det(z) before you move on.")
    yield part(1, lambda: close(numbers(output, (20,), "log_det"), log_det, 1e-6, 1e-6),
               "the log-determinant of four maps",
               "Each factor is taken at the point where the chain then stands, equation (1.7).")
    yield part(0.25, lambda: close(numbers(output, (20,), "empty"), z, 0), "a chain of no maps",
               "It leaves z where it is.")


# q5: a test for bijectors

SOUND = ([1, -1, 0], [1, -1, 0])
FAULTS = {"the inverse states the forward log-determinant": [1, 1, 0], "both directions forget the factor": [0, 0, 0],
          "the inverse takes the scale from the changed coordinate": [1, -1, 1],
          "the forward factor has the wrong sign": [-1, -1, 0],
          "both directions state half of the log-determinant": [0.5, -0.5, 0]}


def sound_inputs(rng):
    kinds = [*SOUND, *FAULTS.values()]
    order = rng.permutation(len(kinds)).tolist()
    return {"kinds": [kinds[k] for k in order], "order": order, "c": rng.uniform(0.4, 0.9, len(kinds)).tolist()}


def sound_probe(answer, inputs):
    import torch

    class Bijector:
        def __init__(self, forward_factor, inverse_factor, place, c):
            self.u, self.v, self.place, self.c = forward_factor, inverse_factor, place, c

        def forward(self, z):
            a = self.c * torch.sin(z[..., 0] + 0.5)
            return torch.stack([z[..., 0], z[..., 1] * a.exp() + z[..., 0] ** 2], -1), self.u * a

        def inverse(self, x):
            a, read = (self.c * torch.sin(x[..., k] + 0.5) for k in (0, self.place))
            return torch.stack([x[..., 0], (x[..., 1] - x[..., 0] ** 2) * (-read).exp()], -1), self.v * a

    return [bool(answer.is_sound(Bijector(*kind, c))) for kind, c in zip(inputs["kinds"], inputs["c"])]


def sound_check(inputs, output):
    verdicts = output if isinstance(output, list) else []
    verdict = {kind: verdicts[k] if k < len(verdicts) else None for k, kind in enumerate(inputs["order"])}
    # Only together: a check that says "no" to everything would find every fault
    accepts = all(verdict[k] is True for k in range(len(SOUND)))
    yield part(0.5, accepts, "accepts two bijectors that are right", "Allow for rounding: compare with a tolerance.")
    for k, fault in enumerate(FAULTS, start=len(SOUND)):
        yield part(0.5, accepts and verdict[k] is False, f"rejects one that is right except that {fault}",
                   "Check three things: that inverse undoes forward, and each stated log-determinant against autograd.")


# q6: the bridge

def bridge_inputs(rng):
    return {"L": rng.uniform(1, 30, 8).tolist(), "w": rng.uniform(0.2, 2, 8).tolist(),
            "mass": rng.uniform(0.001, 0.3, 8).tolist()}


def bridge_probe(answer, inputs):
    return {"mass": lambda: [float(answer.least_mass(L, w)) for L, w in zip(inputs["L"], inputs["w"])],
            "slope": lambda: [float(answer.least_slope(m, w)) for m, w in zip(inputs["mass"], inputs["w"])]}


def bridge_check(inputs, output):
    L, w, mass = (numpy.array(inputs[name]) for name in ("L", "w", "mass"))
    yield part(1, lambda: close(numbers(output, (8,), "mass"), 2 * stats.norm.cdf(w / L) - 1, 1e-5),
               "the least mass on the bridge",
               "The point that lands on x = w is at least w / L from 0.")
    yield part(1, lambda: close(numbers(output, (8,), "slope"), w / stats.norm.ppf((1 + mass) / 2), 1e-3, 1e-3),
               "the least slope",
               "Solve 2 Phi(w / L) - 1 = mass for L.")


# q7: a claim refuted

def floor_inputs(rng):
    return {"D": rng.integers(1, 100, 5).tolist(), "s": rng.uniform(0.1, 3, 5).tolist()}


def floor_probe(answer, inputs):
    return {"unit": lambda: [float(answer.nll_floor(D)) for D in inputs["D"]],
            "scaled": lambda: [float(answer.nll_floor(D, s)) for D, s in zip(inputs["D"], inputs["s"])]}


def floor_check(inputs, output):
    D, s = numpy.array(inputs["D"]), numpy.array(inputs["s"])
    peak = lambda s: -D * stats.norm.logpdf(0, 0, s)
    yield part(1, lambda: close(numbers(output, (5,), "unit"), peak(1.0), 1e-5), "the floor for s = 1",
               "A density that is carried along unchanged is nowhere higher than at its peak.")
    yield part(1, lambda: close(numbers(output, (5,), "scaled"), peak(s), 1e-5),
               "the floor for other widths of the base",
               "The peak of a normal density in D dimensions is (2 pi s^2)^(-D/2).")


# q8: two divergences

def fits_inputs(rng):
    heavy = rng.uniform(0.6, 0.75)
    return {"far": [[heavy, 1 - heavy], [-rng.uniform(2.5, 4), rng.uniform(2.5, 4)], rng.uniform(0.4, 0.9, 2).tolist()],
            "near": [[0.7, 0.3], [-1.0, rng.uniform(1.2, 1.6)], [rng.uniform(0.6, 0.8), rng.uniform(1.1, 1.3)]]}


def fits_probe(answer, inputs):
    def fit(kind, name):
        return lambda: [float(value) for value in getattr(answer, f"{kind}_fit")(*inputs[name])]

    return {f"{kind} {name}": fit(kind, name) for kind in ("forward", "reverse") for name in ("far", "near")}


@functools.cache  # the same for a whole class
def _reverse(shares, means, widths):
    x = numpy.linspace(-15, 15, 6001)
    target = numpy.log(sum(p * stats.norm.pdf(x, m, w) for p, m, w in zip(shares, means, widths)) + 1e-300)

    def divergence(parameters):
        m, s = parameters[0], math.exp(parameters[1])
        q = stats.norm.pdf(x, m, s)
        return float((q * (stats.norm.logpdf(x, m, s) - target)).sum() * (x[1] - x[0]))

    # A first simplex of a size of its own: scipy's is tiny where a parameter is 0, and then stays where it is
    around = numpy.array([[0, 0], [0.3, 0], [0, 0.3]])
    options = {"xatol": 1e-5, "fatol": 1e-9}
    ends = [optimize.minimize(divergence, start, method="Nelder-Mead", options=options | {"initial_simplex": start + around})
            for start in map(numpy.array, [*zip(means, numpy.log(widths)), (0.0, 0.7)])]
    best = min(ends, key=lambda end: end.fun)
    return best.x[0], math.exp(best.x[1])


def fits_check(inputs, output):
    for name in ("far", "near"):
        p, m, w = (numpy.array(values) for values in inputs[name])
        mean = (p * m).sum()
        wanted = mean, math.sqrt((p * (w**2 + m**2)).sum() - mean**2)
        yield part(0.75, lambda: close(numbers(output, (2,), f"forward {name}"), wanted, 5e-3),
                   f"forward KL, bumps {name} apart",
                   "The best normal density has the mean and the variance of the target.")
    for name in ("far", "near"):
        wanted = _reverse(*map(tuple, inputs[name]))
        yield part(0.75, lambda: close(numbers(output, (2,), f"reverse {name}"), wanted, 0.03),
                   f"reverse KL, bumps {name} apart", "Search from several starting points, and compare the ends.")


# q9: masks

def masks_inputs(rng):
    sizes = (4, [9]), (6, [20, 20]), (5, [12, 12, 12]), (2, [3])
    return {"cases": [[rng.permutation(D).tolist(), hidden] for D, hidden in sizes]}


def masks_probe(answer, inputs):
    return [answer.made_masks(order, hidden) for order, hidden in inputs["cases"]]


def masks_check(inputs, output):
    cases = inputs["cases"]
    outputs = output if isinstance(output, list) and len(output) == len(cases) else [None] * len(cases)
    tight, some, full, binary = True, True, True, True
    for (order, hidden), masks in zip(cases, outputs):
        sizes = [len(order), *hidden, len(order)]
        masks = masks if isinstance(masks, list) and len(masks) == len(sizes) - 1 else [None] * (len(sizes) - 1)
        arrays = [numbers(mask, shape) for mask, shape in zip(masks, zip(sizes[1:], sizes[:-1]))]
        binary &= all(numpy.isin(array, (0, 1)).all() for array in arrays)
        paths = numpy.linalg.multi_dot(arrays[::-1])
        place = numpy.argsort(order)
        earlier = place[None, :] < place[:, None]
        tight &= bool((paths[~earlier] == 0).all())
        some &= bool(((paths * earlier).sum(1)[place > 0] > 0).all())
        full &= bool((paths[earlier] > 0).all())
    yield part(0.5, binary, "zeros and ones, of the right shapes", "A mask says whether a weight may be used.")
    # Masks of zeros leak nothing either
    yield part(1.5, tight and some and binary, "outputs see earlier dimensions, and never their own or a later one",
               "Inputs have the degree of their place; hidden units read degrees up to their own, outputs lower ones.")
    yield part(1, tight and full and binary, "every output can see all earlier dimensions",
               "Each degree from 1 to D - 1 needs a unit in every hidden layer.")


# q10: what each costs

def passes_inputs(rng):
    return {"D": int(rng.integers(5, 300)), "layers": int(rng.integers(2, 9))}


def passes_probe(answer, inputs):
    return {f"{kind}, {task}": answer.passes(kind, task, inputs["D"], inputs["layers"])
            for kind in ("maf", "iaf", "realnvp") for task in ("density", "sample", "sample with density")}


def passes_check(inputs, output):
    D, layers = inputs["D"], inputs["layers"]
    slow = {"maf, sample", "maf, sample with density", "iaf, density"}
    hints = {"maf": "MAF: the data are known at once, the noise is not enough for x_2 before x_1 is there.",
             "iaf": "IAF: its own samples know their noise, and so their density; foreign points do not.",
             "realnvp": "RealNVP: the half that stays is known on both sides."}
    for kind, points in (("maf", 0.75), ("iaf", 0.75), ("realnvp", 0.5)):
        tasks = [f"{kind}, {task}" for task in ("density", "sample", "sample with density")]
        right = lambda: all(close(numbers(output, (), task), layers * (D if task in slow else 1), 0) for task in tasks)
        yield part(points, right, f"passes of {kind}", hints[kind])


# q11: bits

def bits_inputs(rng):
    return {"log_p": rng.uniform(-50, 50, 5).tolist(), "D": rng.integers(4, 200, 5).tolist(),
            "G": rng.integers(2, 300, 5).tolist()}


def bits_probe(answer, inputs):
    rows = zip(inputs["log_p"], inputs["D"], inputs["G"])
    return {"bits": lambda: [float(answer.bits_per_pixel(p, D, G)) for p, D, G in rows],
            "uniform": lambda: float(answer.uniform)}


def bits_check(inputs, output):
    log_p, D, G = (numpy.array(inputs[name]) for name in ("log_p", "D", "G"))
    # The probability of a cell of side 1/G is at most its density times its volume
    wanted = -(log_p - D * numpy.log(G)) / (D * numpy.log(2))
    yield part(1.5, lambda: close(numbers(output, (5,), "bits"), wanted, 1e-5), "bits per pixel from nats per image",
               "A grey level is a cell of volume G^(-D); and one bit is log 2 nats.")
    yield part(0.5, lambda: close(numbers(output, (), "uniform"), 4, 1e-6), "a uniform model with 16 levels",
               "It gives every level the same probability.")


# q12: training

NOISE, BOX = 0.1, 3.0
FULL, NONE = 0.4, 0.88  # nats above the true density: all points, and the best Gaussian


def _turned(x, angle):
    c, s = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[c, -s], [s, c]]).T


@functools.cache  # the same for a whole class
def _log_target(x, angle):
    centre = torch.tensor([0.5, 0.25])
    return moons.log_prob(_turned(torch.tensor(x), -angle) + centre, NOISE).double().numpy()


def train_inputs(rng):
    angle = rng.uniform(0.3, 1.2)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    draw = lambda n: _turned(moons.sample(n, NOISE, generator) - torch.tensor([0.5, 0.25]), angle)
    # Half of the test points from the data's density and half from a box, in random order: a model cannot tell which
    # are for the likelihood and which for the integral, because all are for both
    box = BOX * (2 * torch.rand(2000, 2, generator=generator) - 1)
    test = torch.cat([draw(2000), box])[torch.randperm(4000, generator=generator)]
    rounded = lambda x: [[round(value, 5) for value in row] for row in x.tolist()]
    return {"train": rounded(draw(4000)), "test": rounded(test), "angle": angle}


def train_probe(answer, inputs):
    import torch

    model = answer.train(torch.tensor(inputs["train"]))
    with torch.no_grad():
        return [round(value, 5) for value in model.log_prob(torch.tensor(inputs["test"])).tolist()]


def train_check(inputs, output):
    x = torch.tensor(inputs["test"])
    log_q = numbers(output, (4000,))
    log_p = _log_target(tuple(map(tuple, inputs["test"])), inputs["angle"])
    inside = 0.5 * (x.abs() <= BOX).all(-1).double().numpy() / (2 * BOX) ** 2
    log_r = numpy.log(0.5 * numpy.exp(log_p) + inside + 1e-300)  # the density that the test points were drawn from
    mass = numpy.exp(numpy.clip(log_q - log_r, -700, 50)).mean()
    sound = bool(numpy.isfinite(log_q).all() and mass < 1.15)
    weights = numpy.exp(log_p - log_r)
    gap = float((weights * (log_p - numpy.maximum(log_q, -50))).sum() / weights.sum()) if sound else math.inf
    yield part(1, sound, "a density: finite, with a mass of at most 1",
               f"Its mass is {mass:.3g}. log_prob must be normalised: is every log-determinant in it, with its sign?")
    share = (NONE - gap) / (NONE - FULL) if sound else 0.0
    said = f"held-out NLL {gap:.2f} nats above the true density" if sound else "held-out NLL"
    yield part(4, min(max(share, 0.0), 1.0), said,
               "More layers, a permutation between them, splines, more steps: see what each buys.")


QUESTIONS = [
    Question("q1", "A density on the line", 2, sinh_probe, sinh_check, sinh_inputs,
             read=CHANGE + "One dimension: mass is kept, density is not"),
    Question("q2", "What the factor is for", 1, mass_probe, mass_check,
             read=CHANGE + "One dimension: mass is kept, density is not"),
    Question("q3", "A density in the plane", 2, bent_probe, bent_check, bent_inputs,
             read=CHANGE + "A bijector, and checks that catch a broken one"),
    Question("q4", "A chain", 2, chain_probe, chain_check, chain_inputs,
             read=CHANGE + "Chains: each factor at its own point"),
    Question("q5", "A test for bijectors", 3, sound_probe, sound_check, sound_inputs,
             read=CHANGE + "A bijector, and checks that catch a broken one"),
    Question("q6", "The bridge", 2, bridge_probe, bridge_check, bridge_inputs, read=CHANGE + "What no flow can do"),
    Question("q7", "A claim refuted", 2, floor_probe, floor_check, floor_inputs, read=CHANGE + "Exercises"),
    Question("q8", "Two divergences", 3, fits_probe, fits_check, fits_inputs, seconds=30,
             read=CHANGE + "How to fit: two divergences"),
    Question("q9", "Masks", 3, masks_probe, masks_check, masks_inputs,
             read=AUTO + "MADE: all conditionals in one pass"),
    Question("q10", "What each costs", 2, passes_probe, passes_check, passes_inputs, read=AUTO + "What each costs"),
    Question("q11", "Bits", 2, bits_probe, bits_check, bits_inputs, read=AUTO + "From grey levels to a density"),
    Question("q12", "Training", 5, train_probe, train_check, train_inputs, seconds=60,
             read=AUTO + "RealNVP: both directions in one pass"),
    Written("q13", "The thread", {
        "not a matter of training: continuity, one connected piece": 1.5,
        "what depth or time changes: thinner, at the price of slope": 0.5,
        "a number that measures it": 1,
        "a change of the model that removes it, and its price": 1,
    }, read=MOONS + "The bridge"),
    Written("q14", "Which flow for what", {
        "(a) MAF or spline MAF: density in one pass": 1,
        "(b) IAF: its own samples with density in one pass": 1,
        "(c) coupling: both directions in one pass, weights": 1,
    }, read=AUTO + "What each is for"),
]
