"""The visible checks of an assignment: what was expected, what came, a hint, and what to read.

expect.close(log_prob(x), [-1.2, -0.4], "log_prob at two points", "The factor |dz/dx| is missing or upside down.",
    read="change_of_variables#One dimension: mass is kept, density is not")
"""

from __future__ import annotations

import numpy
from numpy.typing import ArrayLike


class NotYet(AssertionError):
    """A check that did not pass. A notebook shows its message and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).split("\n")


def close(got: object, wanted: ArrayLike, what: str, hint: str, read: str = "", absolute: float = 1e-6) -> None:
    """Say that it is right, or raise: are the numbers those expected?

    Raises:
        NotYet: they are not, or there are no numbers.
    """
    wanted = numpy.asarray(wanted, dtype=float)
    try:
        value = numpy.asarray(got.detach().numpy() if hasattr(got, "detach") else got, dtype=float)
    except (TypeError, ValueError):
        raise _not_yet(what, f"{_short(wanted)}", f"{type(got).__name__}", hint, read) from None
    if value.shape != wanted.shape:
        raise _not_yet(what, f"shape {wanted.shape}", f"shape {value.shape}", hint, read)
    if not (numpy.abs(value - wanted) <= absolute).all():
        raise _not_yet(what, _short(wanted), _short(value), hint, read)
    print(f"Right: {what}.")


def true(condition: object, what: str, hint: str, read: str = "") -> None:
    """Say that it is right, or raise.

    Raises:
        NotYet: the condition does not hold.
    """
    if not bool(condition):
        raise _not_yet(what, "", "", hint, read)
    print(f"Right: {what}.")


def _not_yet(what: str, wanted: str, got: str, hint: str, read: str) -> NotYet:
    lines = [f"Not yet: {what}."]
    if wanted:
        lines += [f"  expected  {wanted}", f"  got       {got}"]
    lines.append(f"Hint: {hint}")
    if read:
        lines.append(f"Read: {where(read)}")
    return NotYet("\n".join(lines))


def where(read: str) -> str:
    """`two_moons#The bridge` in words."""
    page, _, section = read.partition("#")
    return f"the chapter '{page.replace('_', ' ')}'" + (f", section '{section}'" if section else "")


def _short(value: numpy.ndarray) -> str:
    return numpy.array2string(value, precision=5, threshold=8, edgeitems=3, suppress_small=True).replace("\n", " ")
