# answer: q2
# score: 0
# The slope at one point for its mean.
mass = math.cosh(0.5)
