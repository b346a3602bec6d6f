# answer: q9
# score: 0.5
# Outputs read units of their own degree.
def made_masks(order, hidden):
    D = len(order)
    place = torch.empty(D, dtype=torch.long)
    place[torch.as_tensor(order)] = torch.arange(1, D + 1)
    degrees = [place] + [torch.arange(units) % D + 1 for units in hidden]
    masks = [(after[:, None] >= before[None, :]).float() for before, after in zip(degrees, degrees[1:])]
    return [*masks, (place[:, None] >= degrees[-1][None, :]).float()]
