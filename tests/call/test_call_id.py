"""Names of calls."""

from __future__ import annotations

from softswitch.call.call_id import new_call_id

NOW = 1_795_000_000.0


def test_a_name_is_24_digits_that_come_once() -> None:
    names = {new_call_id(NOW) for _ in range(1000)}
    assert len(names) == 1000
    assert all(len(name) == 24 and int(name, 16) for name in names)


def test_names_sort_as_their_calls_came() -> None:
    moments = [0.0, 1.0, NOW, NOW + 0.000_01, NOW + 1, NOW + 3600, 4_400_000_000.0]
    names = [new_call_id(moment) for moment in moments]
    assert sorted(names) == names
    assert {len(name) for name in names} == {24}
