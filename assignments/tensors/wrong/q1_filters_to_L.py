# answer: q1
# score: 0
# Leaves out the filters above L.
def count(L):
    every = even = 0
    for low in range(L + 1):
        pairs = 2 * (L - low) + 1
        every += pairs * (low + 1)
        even += pairs * (low // 2 + 1)
    return every, even
