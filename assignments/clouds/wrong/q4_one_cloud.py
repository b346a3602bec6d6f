# answer: q4
# score: 3
# Takes three good clouds for fog: looks at the mean distance only.
def repeats(a, b, usual):
    d = all_pairs(a, b)
    if a is b:
        d.fill_diagonal_(math.inf)
    return (d.amin(1) < 0.2 * usual).double().mean()


def game(made, train, test):
    usual, real = all_pairs(train, test).amin(1).mean(), all_pairs(train, test).mean()
    within = all_pairs(made, made).mean()
    if within < 0.1 * real:
        return "collapsed"
    if repeats(made, test, usual) > 0.15:
        return "leaked"
    if repeats(made, train, usual) > 0.15:
        return "copied"
    return "fog" if within < 0.75 * real else "fair"
