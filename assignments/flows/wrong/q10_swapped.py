# answer: q10
# score: 0.5
# MAF and IAF exchanged.
def passes(kind, task, D, layers):
    slow = {"iaf": ["sample", "sample with density"], "maf": ["density"], "realnvp": []}
    return layers * (D if task in slow[kind] else 1)
