# answer: q1
# score: 0
# Turns the edges, and still overwrites.
def layer(f, edge_index, batch, W):
    return faulty_layer(f, edge_index.flip(0), batch, W)
