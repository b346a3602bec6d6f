"""Rotations and their representations: harmonics, Wigner matrices, Clebsch-Gordan coefficients, and networks built on them."""
