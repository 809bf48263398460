"""RFC 3261 table 4."""

from __future__ import annotations

from softswitch.sip.timing import NEVER, Timing


def test_the_values_of_the_rfc_are_the_default() -> None:
    timing = Timing()
    assert (timing.t1, timing.t2, timing.t4, timing.timeout) == (0.5, 4.0, 5.0, 32.0)
    assert timing.timeout < NEVER
