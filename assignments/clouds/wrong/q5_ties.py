# answer: q5
# score: 1.5
# All made clouds in the place of one real cloud: who is nearest is a matter of chance.
def impostors():
    made, real = [], []
    for k in range(3):
        real += [[5.0 * k, 0, 0], [5.0 * k, 0.1, 0]]
        made += [[5.0 * k, 0, 0.2], [5.0 * k, 0.1, 0.2]]
    return torch.tensor(made), torch.tensor(real)


def hidden_collapse():
    real = torch.arange(6)[:, None] * torch.tensor([[1.0, 0.0, 0.0]])
    return torch.zeros(6, 3), real
