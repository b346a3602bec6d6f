# answer: q5
# score: 0
# Copies have coverage 1 and MMD 0, and a 1-NNA of 0; one cloud for all has 1-NNA 1.
def impostors():
    real = torch.eye(5)[:, :3] * 3 + torch.arange(5)[:, None] ** 2
    return real + 0.001, real


def hidden_collapse():
    real = torch.arange(6)[:, None] ** 2 * torch.ones(6, 3)
    return 50 + 0.01 * torch.arange(6)[:, None] * torch.ones(6, 3), real
