# answer: q11
# score: 0.5
# Forgets the conversion from nats to bits.
def bits_per_pixel(log_p, D, G):
    return -log_p / D + math.log(G)


uniform = 4.0
