# answer: q5
# score: 2
# Looks whether the two directions cancel: blind where both are wrong in the same way.
def is_sound(bijector):
    z = torch.randn(40, 2, dtype=torch.float64)
    x, there = bijector.forward(z)
    back, again = bijector.inverse(x)
    return bool((back - z).abs().max() < 1e-6 and (there + again).abs().max() < 1e-6)
