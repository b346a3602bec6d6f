"""Checks of arguments that many functions share: a ValueError says what was got and what was expected."""

from __future__ import annotations


def whole(least: int = 1, **values: int) -> None:
    """Refuse values, given by name, that are not whole numbers from `least` on.

    Raises:
        ValueError: one is not, or is True or False.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: got {value!r}, expected a whole number from {least} on")
