# answer: q10
# score: 0.5
# Turns the filter the other way; and calls zero a filter.
def lift_arrows(x, k):
    maps = []
    for _ in range(4):
        maps.append(functional.conv2d(x, k, padding=k.shape[-1] // 2))
        k = turn_arrows(turn_arrows(turn_arrows(k)))
    return torch.stack(maps, 2)


deaf = torch.zeros(1, 2, 3, 3)
