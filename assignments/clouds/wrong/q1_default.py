# answer: q1
# score: 0
# Believes in the default of a library.
def convention(d):
    return "mean", True, 1.0, "both"
