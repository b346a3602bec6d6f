"""What the page of benches says in words: what is timed, why m2m is fast at it, what the others do differently, and aims.

The numbers are in results/; `speed` puts both together. A pattern is searched in the name of a task or a library; "" fits all.
"""

from __future__ import annotations

# name of the results file without bench_ -> title, what is timed, what makes m2m fast
TOPICS = {
    "flows": (
        "Flows",
        "Masked autoregressive flows of the same layers, hidden units and number of parameters in D dimensions: "
        "log-densities, the gradient of their mean, samples.",
        "Hidden units are sorted by how many inputs they may see, so that sampling computes each unit once, when its "
        "inputs are known; the others run the whole network once for each dimension.",
    ),
    "messages": (
        "Messages",
        "Neighbour search; energies and forces of SchNet; EGNN on 100 systems of particles; steps of the N-body "
        "simulator.",
        "The search sorts points into cells, in loops compiled by numba, and takes all molecules in one call; SchNet "
        "makes the filters of all layers at once, one for both directions of a pair; EGNN multiplies what belongs to "
        "a node once for each node, not for each edge; the simulator moves all systems with the same few operations.",
    ),
    "harmonics": (
        "Spherical harmonics",
        "All degrees up to l of the directions of points, and Wigner matrices of rotations.",
        "A recursion in x, y and z needs no angles and writes a contiguous row for each (l, m); Wigner matrices are "
        "harmonics of turned points times a pseudo-inverse that is made once for each degree.",
    ),
    "convolutions": (
        "Equivariant convolutions",
        "One layer on 8 clouds of 32 points with 12 neighbours, 16 channels of each degree 0 to 2; backward is the "
        "gradient for weights and features.",
        "Harmonics times Clebsch-Gordan coefficients are made once for a geometry and shared by its layers, what is "
        "left is a batched matrix product for each degree, and neighbours are summed before the last matrix, so that "
        "no edge needs one of its own.",
    ),
    "attention": (
        "Equivariant attention",
        '"attention": outputs and gradients of one layer with two heads on the clouds of the convolutions. "n-body '
        'C": a training step of four layers on 128 systems of 5 particles, C channels of each degree 0 to 3.',
        "Keys and values share the kernels and one matrix product for each degree; where nodes have about equally "
        "many neighbours, softmax and sums are over an axis, without scattering.",
    ),
    "steerable": (
        "Steerable messages",
        'One layer of a SEGNN. "particles": 100 systems of 5, 32 numbers and 16 arrows. "clouds": 8 clouds of 32 '
        "points with 12 neighbours, 16 channels of degrees 0 to 2.",
        "The weights are applied before the attributes, in the first product once for each node and not for each "
        "edge, and only the Clebsch-Gordan coefficients that are not zero are multiplied.",
    ),
    "clouds": (
        "Distances between clouds",
        "Chamfer and earth mover's distances of clouds of points on ellipsoids, alone, of all pairs of two sets, and "
        "in the loss of a VAE.",
        "Nearest points are searched outside of autograd, in tiles that stay in the cache, each distance once for "
        "both directions, and only the lengths to the points found are differentiated; Sinkhorn's steps are "
        "matrix-vector products, with logarithms in between only.",
    ),
}

# results file -> (library, task, is the work the same?); the first that fits counts
SAME = {
    "flows": [
        ("normflows", "sampling", "nearly: no ReLU between its first two matrices; densities with the samples"),
        ("normflows", "", "nearly: no ReLU between its first two matrices"),
        ("zuko|nflows|TFP|compiled", "", "yes"),
    ],
    "messages": [
        ("scipy|scikit-learn", "molecules", "yes: one call for each molecule"),
        ("scipy", "radius", "yes: pairs not sorted"),
        ("scipy|scikit-learn", "", "yes"),
        ("edges handed over", "", "yes: edges not searched"),
        ("Geometric|schnetpack", "SchNet", "yes: edges not searched"),
        ("as printed", "EGNN", "yes: the paper's formula word for word"),
        ("egnn-pytorch", "", "no: no velocities, all pairs dense"),
        ("loop", "steps", "yes: NumPy, one system at a time"),
    ],
    "harmonics": [
        ("scipy", "", "no: complex, from angles, orders from 0 on"),
        ("se3-transformer", "", "yes: from angles"),
        ("compiled|e3nn|sphericart", "", "yes"),
    ],
    "convolutions": [
        ("geometry too", "", "more: harmonics and kernels too"),
        ("e3nn", "", "yes"),
        ("se3-transformer", "", "no: a radial network for each pair of degrees"),
    ],
    "attention": [
        ("depthwise", "", "no: another layer, with fewer weights"),
        ("e3nn", "", "yes: the same softmax around its products"),
        ("se3-transformer", "", "no: more radial networks, weights of attention for each degree"),
    ],
    "steerable": [("e3nn", "", "yes")],
    "clouds": [
        ("cdist", "VAE", "yes: the same network with the other distance"),
        ("cdist|k-d tree", "", "yes"),
        ("POT", "earth mover", "yes"),
        ("POT|geomloss", "Sinkhorn", "the same regularisation, its own rule to stop"),
    ],
}

# (results file, task, form of m2m, "time" or "memory", why m2m is not first); the first that fits counts
BEHIND = [
    (
        "harmonics", "", "", "time",
        "sphericart is C++ written for this one function, and its gradient too. m2m is a page of tensor operations "
        "that PyTorch starts one by one, and for few points starting them is most of the time. Compiled, they are "
        "joined into few.",
    ),
    (
        "messages", "one system", "", "time",
        "m2m's arrays are laid out for many systems. For a single one of five particles there is nothing to share, "
        "and starting an operation costs more in PyTorch than in NumPy.",
    ),
    (
        "messages", "SchNet", "handed over", "time",
        "Edges that are handed over need not come in pairs, so each direction gets a filter of its own, as in the "
        "other libraries. What is left of the difference to PyTorch Geometric is not explained yet. Without edges "
        "m2m searches them itself, and is first.",
    ),
    (
        "flows", "", "", "time",
        "All compute the same matrix products, which are nearly all of the time; XLA joins the steps between them.",
    ),
    (
        "steerable", "", "", "memory",
        "Weights before attributes means that each edge holds a set of channels for each path, kept for the "
        "gradient: memory is what the speed is paid with.",
    ),
    (
        "clouds", "earth mover", "", "time",
        "m2m uses scipy's assignment, whose time grows with the cube of the number of points. POT's network simplex "
        "grows more slowly; it would be one more package to install.",
    ),
    (
        "clouds", "Sinkhorn", "", "time",
        "geomloss takes a fixed, small number of steps, m2m as many as move all but a thousandth of the mass to where it "
        "should be: the table says how far each stays above the exact distance.",
    ),
    (
        "clouds", "Sinkhorn", "", "memory",
        "m2m keeps the distances, the plan, and what mends the plan at once.",
    ),
]  # fmt: skip

# Set before the code was written: (results file, task, form of m2m, library, its time over m2m's at least)
AIMS = [
    ("flows", "D = 6, sampling, 10,000", "m2m", "zuko", 5),
    ("flows", "D = 6, log_prob, 1,000", "m2m", "zuko", 1),
    ("flows", "D = 6, log_prob, 1,000", "m2m", "nflows", 1),
    ("flows", "D = 6, training step, 256", "m2m", "zuko", 1),
    ("flows", "D = 6, training step, 256", "m2m", "nflows", 1),
    ("flows", "D = 6, log_prob, 1,000", "m2m, compiled", "TFP", 1 / 1.1),
    ("flows", "D = 6, log_prob, 1,000", "m2m, compiled", "TFP XLA", 1 / 1.1),
    ("messages", "EGNN, 5 particles, forward + backward", "m2m", "as printed", 1.25),
    ("messages", "EGNN, 20 particles, forward + backward", "m2m", "as printed", 1.45),
    ("harmonics", "harmonics to l = 3, 100,000 points", "m2m", "e3nn", 3),
    ("harmonics", "harmonics to l = 6, 100,000 points", "m2m", "e3nn", 3),
    ("harmonics", "harmonics to l = 3, 100,000 points", "m2m", "scipy", 25),
    ("harmonics", "harmonics to l = 6, 100,000 points", "m2m", "scipy", 25),
    ("harmonics", "harmonics to l = 3, 100,000 points, forward + backward", "m2m", "e3nn", 1.7),
    ("harmonics", "harmonics to l = 3, 100,000 points", "m2m, compiled", "sphericart", 1 / 1.2),
    ("harmonics", "harmonics to l = 6, 100,000 points", "m2m, compiled", "sphericart", 1 / 1.2),
    ("convolutions", "depthwise, forward + backward", "m2m", "e3nn", 2),
    ("convolutions", "full, forward + backward", "m2m", "e3nn", 3),
    ("attention", "attention", "m2m", "se3-transformer-pytorch", 6),
    ("attention", "n-body 3", "m2m", "e3nn", 3.5),
    ("attention", "n-body 8", "m2m", "e3nn", 8),
    ("clouds", "Chamfer 8 x 2,048 x 2,048, forward + backward", "m2m", "cdist", 10),
]
