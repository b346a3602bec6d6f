# answer: q6
# score: 0
# A step at three quarters.
def cutoff(d, r_c):
    return 0 * d + (d < 0.75 * r_c).to(d.dtype)
