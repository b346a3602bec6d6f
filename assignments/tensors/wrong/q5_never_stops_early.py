# answer: q5
# score: 1
# The layer is right; two layers are taken for enough to reach everything.
def after_layer(kinds, l_filter, l_max):
    made = set()
    for l1, p in kinds:
        for f in range(l_filter + 1):
            made |= {(l, p * (-1) ** f) for l in range(abs(l1 - f), min(l1 + f, l_max) + 1)}
    return made


def layers_until(kind, kinds, l_filter, l_max):
    have = set(kinds)
    for steps in range(3):
        if kind in have:
            return steps
        have = after_layer(have, l_filter, l_max)
    return None
