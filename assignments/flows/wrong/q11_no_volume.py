# answer: q11
# score: 0
# Forgets the volume of a level.
def bits_per_pixel(log_p, D, G):
    return -log_p / (D * math.log(2))


uniform = 0.0
