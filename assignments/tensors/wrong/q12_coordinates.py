# answer: q12
# score: 0
# A linear map from all coordinates of a system, padded or cut to three bodies.
def fit(x, m, s, a):
    A = torch.cat([x.flatten(1), m, s.flatten(1)], 1)
    W = torch.linalg.lstsq(A, a.flatten(1)).solution

    def predict(x, m, s):
        out = torch.zeros_like(x)
        out[:, :3] = (torch.cat([x[:, :3].flatten(1), m[:, :3], s[:, :3].flatten(1)], 1) @ W).view(-1, 3, 3)
        return out

    return predict
