# answer: q4
# score: 0
# The formula for all turns about an axis, whatever the list; and the degrees from the number of corners.
def free_numbers(l_in, l_out, turns):
    return 2 * min(l_in, l_out) + 1


cube, tetrahedron = 8, 4
