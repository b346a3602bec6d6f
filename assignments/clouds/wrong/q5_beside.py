# answer: q5
# score: 1.5
# Made clouds all beside the real ones: all are told, and few are near.
def impostors():
    real = torch.arange(6)[:, None] * torch.tensor([[1.0, 0.0, 0.0]])
    return real + torch.tensor([[0.0, 20.0, 0.0]]), real


def hidden_collapse():
    directions = torch.tensor([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, 2.3]])
    real = torch.tensor([[0.0, 0, 0], [30, 0, 0], [31, 0, 0], [33, 0, 0], [36, 0, 0], [40, 0, 0]])
    return directions, real
