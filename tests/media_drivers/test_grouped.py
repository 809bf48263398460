"""What is found by its group, against a dictionary that is searched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.media_drivers.grouped import Grouped

NUMBERS, NAMES = st.integers(0, 5), st.sampled_from("abc")


@given(st.lists(st.tuples(NUMBERS, st.none() | st.tuples(NAMES, NAMES))))
def test_the_items_of_a_group_are_those_that_a_search_would_find(
    steps: list[tuple[int, tuple[str, str] | None]],
) -> None:
    grouped: Grouped[tuple[str, str]] = Grouped(lambda item: item)
    plain: dict[int, tuple[str, str]] = {}
    for number, item in steps:
        plain.pop(number, None)
        if item is None:
            grouped.pop(number, None)
        else:
            grouped[number] = plain[number] = item
        assert grouped == plain
        assert list(grouped) == list(plain)
        for name in "abc":
            assert grouped.of(name) == [one for one in plain.values() if name in one]


def test_nothing_is_kept_of_a_group_that_is_gone() -> None:
    grouped: Grouped[str] = Grouped(lambda item: item)
    grouped[1] = "aa"
    del grouped[1]
    assert not grouped._members
    with pytest.raises(KeyError):
        del grouped[1]
