# answer: q4
# score: 0
# Never finds anything fair.
def game(made, train, test):
    copied, leaked = all_pairs(made, train).amin(1).mean(), all_pairs(made, test).amin(1).mean()
    return "copied" if copied < leaked else "leaked"
