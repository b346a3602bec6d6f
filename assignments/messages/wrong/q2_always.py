# answer: q2
# score: 0
# Everything is extensive.
def is_extensive(readout):
    return True
