"""A flood is told by one line for each reason and ten seconds."""

from __future__ import annotations

from softswitch.sip.log_pace import LOG_EVERY_S, LogPace


def test_each_reason_is_told_at_once_and_then_every_ten_seconds_with_how_many_there_were() -> None:
    pace = LogPace()
    told = [(second, pace.since("flood", 100 * (second + 1), float(second))) for second in range(25)]
    assert [line for line in told if line[1]] == [(0, 100), (10, 1000), (20, 1000)]
    assert pace.since("other", 3, LOG_EVERY_S / 2) == 3
    assert pace.since("other", 4, LOG_EVERY_S) == 0
