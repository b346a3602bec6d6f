# answer: q4
# score: 3
# Judges whole sets by 1-NNA: a third of copies drowns.
def repeats(a, b, usual):
    d = all_pairs(a, b)
    if a is b:
        d.fill_diagonal_(math.inf)
    return (d.amin(1) < 0.2 * usual).double().mean()


def game(made, train, test):
    told = lambda real: metrics.one_nna(all_pairs(made, real), all_pairs(made, made), all_pairs(real, real))
    if repeats(made, made, all_pairs(train, test).amin(1).mean()) > 0.8:
        return "collapsed"
    if told(test) < 0.1:
        return "leaked"
    if told(train) < 0.1:
        return "copied"
    return "fog" if all_pairs(made, made).mean() < 0.6 * all_pairs(train, test).mean() else "fair"
