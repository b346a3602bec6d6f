"""Point clouds: distances, what a set of clouds is worth, and the networks that read and make them."""
