# answer: q5
# score: 0
# Every degree has the parity of a harmonic.
def after_layer(kinds, l_filter, l_max):
    return {(l, (-1) ** l) for k, _ in kinds for f in range(l_filter + 1) for l in range(abs(k - f), min(k + f, l_max) + 1)}


def layers_until(kind, kinds, l_filter, l_max):
    have, steps = set(kinds), 0
    while kind not in have:
        have, steps = after_layer(have, l_filter, l_max), steps + 1
        if steps > 20:
            return None
    return steps
