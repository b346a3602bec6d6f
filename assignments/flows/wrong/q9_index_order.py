# answer: q9
# score: 0.5
# Ignores the order: degrees by index.
def made_masks(order, hidden):
    D = len(order)
    degrees = [torch.arange(1, D + 1)] + [torch.arange(units) % (D - 1) + 1 for units in hidden]
    masks = [(after[:, None] >= before[None, :]).float() for before, after in zip(degrees, degrees[1:])]
    return [*masks, (degrees[0][:, None] > degrees[-1][None, :]).float()]
