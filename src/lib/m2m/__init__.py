"""m2m, the library of the book From Moons to Molecules."""

__version__ = "0.1.0"
