# answer: q3
# score: 0
# Counts how often each cos(m t) is in the trace, and takes it for how often degree m is in the box.
def content(D):
    n = len(D(torch.eye(3, dtype=torch.float64)))
    angles = [2 * math.pi * k / (2 * n + 1) for k in range(2 * n + 1)]
    traces = [D(rotations.about([0.0, 0.0, 1.0], t)).trace().item() for t in angles]
    often = {m: round(sum(v * math.cos(m * t) for v, t in zip(traces, angles)) / len(angles)) for m in range(n)}
    return {m: count for m, count in often.items() if count}
