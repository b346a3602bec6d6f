# answer: q10
# score: 1.25
# Believes that an IAF is slow whenever a density is wanted.
def passes(kind, task, D, layers):
    slow = {"maf": ["sample", "sample with density"], "iaf": ["density", "sample with density"], "realnvp": []}
    return layers * (D if task in slow[kind] else 1)
