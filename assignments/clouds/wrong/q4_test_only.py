# answer: q4
# score: 2
# Never looks at the training set.
def repeats(a, b, usual):
    d = all_pairs(a, b)
    if a is b:
        d.fill_diagonal_(math.inf)
    return (d.amin(1) < 0.2 * usual).double().mean()


def game(made, train, test):
    real = all_pairs(test, test).fill_diagonal_(math.inf)
    usual = real.amin(1).mean()
    if repeats(made, made, usual) > 0.8:
        return "collapsed"
    if repeats(made, test, usual) > 0.15:
        return "leaked"
    return "fog" if all_pairs(made, made).mean() < 0.6 * real[real < math.inf].mean() else "fair"
