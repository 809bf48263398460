"""RFC 3261 table 4."""

from __future__ import annotations

from softswitch.sip.timing import NEAR_S, NEVER, Timing, near


def test_the_values_of_the_rfc_are_the_default() -> None:
    timing = Timing()
    assert (timing.t1, timing.t2, timing.t4, timing.timeout) == (0.5, 4.0, 5.0, 32.0)
    assert timing.timeout < NEVER


def test_what_is_due_late_is_looked_at_again_and_again_at_whole_seconds() -> None:
    looks = [0.75]
    while looks[-1] < 900.5:
        looks.append(near(900.5, looks[-1]))
    assert looks == [0.75, *range(NEAR_S, 900, NEAR_S), 900.5]


def test_no_look_is_further_ahead_than_the_transactions_of_a_call_that_is_over_live() -> None:
    assert Timing().timeout >= NEAR_S
    assert near(NEVER, 100.75) == 100 + NEAR_S
    assert near(101.5, 100.75) == 101.5
