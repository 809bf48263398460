"""Methods and statuses as they are counted stay a bounded set."""

from __future__ import annotations

from softswitch.sip.labels import folded, folded_status


def test_methods_that_we_know_are_counted_by_name_and_all_others_as_one() -> None:
    assert folded("INVITE") == "INVITE"
    assert folded("X" * 60_000) == folded("invite") == "other"


def test_statuses_that_we_know_are_counted_apart_and_others_by_class() -> None:
    """8.1.3.2: an unknown status is treated as x00."""
    assert folded_status(486) == 486
    assert folded_status(487) == 487
    assert folded_status(451) == 400
    assert folded_status(199) == 199
    assert folded_status(699) == 600
