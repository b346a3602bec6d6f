# answer: q2
# score: 0
# Thinks that an invertible map keeps a density normalised.
mass = 1.0
