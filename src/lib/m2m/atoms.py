"""What the periodic table says of the elements in this book, by atomic number."""

MASSES = {1: 1.008, 5: 10.81, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 14: 28.085, 15: 30.974, 16: 32.06, 17: 35.45}  # amu
RADII = {1: 0.31, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57}  # covalent, angstrom (Cordero and others 2008, doi:10.1039/b801115j)
