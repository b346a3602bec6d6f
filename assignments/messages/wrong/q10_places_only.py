# answer: q10
# score: 1.5
# Turns the filter's places and not its arrows.
def lift_arrows(x, k):
    return torch.stack([functional.conv2d(x, k.rot90(r, (2, 3)), padding=k.shape[-1] // 2) for r in range(4)], 2)


deaf = torch.zeros(1, 2, 3, 3)
deaf[0, 0, 0, 1], deaf[0, 0, 2, 1] = -1, 1
deaf[0, 1, 1, 0], deaf[0, 1, 1, 2] = -1, 1
