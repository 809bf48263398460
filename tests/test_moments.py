"""Moments as text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softswitch.moments import to_microsecond, to_millisecond, to_second

MOMENT = 1652419518.9004


def test_a_moment_is_told_as_exactly_as_asked() -> None:
    assert to_second(MOMENT) == "2022-05-13T05:25:18"
    assert to_millisecond(MOMENT) == "2022-05-13T05:25:18.900Z"
    assert to_microsecond(1.5) == "1970-01-01T00:00:01.500000Z"


@pytest.mark.parametrize(("moment", "told"), [(59.9996, "1970-01-01T00:01:00.000Z"), (0.0, "1970-01-01T00:00:00.000Z")])
def test_rounding_carries_into_the_next_second(moment: float, told: str) -> None:
    assert to_millisecond(moment) == told


@given(st.integers(0, 4_000_000_000_000))
def test_the_milliseconds_of_this_and_the_next_century_are_those_of_datetime(milliseconds: int) -> None:
    moment = milliseconds / 1000
    wanted = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert to_millisecond(moment) == wanted
