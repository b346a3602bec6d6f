"""Checks of arguments: what is refused, and in which words."""

import pytest

from m2m import arguments


@pytest.mark.parametrize("bad", [0, -1, True, 1.0, "2", None])
def test_what_is_no_whole_number_is_refused_by_name(bad):
    with pytest.raises(ValueError, match=rf"n: got {bad!r}, expected a whole number from 1 on"):
        arguments.whole(layers=3, n=bad)


def test_whole_numbers_pass_from_the_least_on():
    arguments.whole(layers=1, n=7)
    arguments.whole(0, n=0)
    with pytest.raises(ValueError, match="from 2 on"):
        arguments.whole(2, n=1)
