# answer: q2
# score: 0
# Compares exactly, after rounding of sums: rejects everything.
def is_extensive(readout):
    return False
