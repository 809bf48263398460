"""MOS by the E-model (ITU-T G.107): known points, and that worse is never better."""

from __future__ import annotations

import itertools

import pytest

from softswitch.call.quality import mean_opinion_score, remote_mean_opinion_score
from softswitch.interfaces import EndpointStatistics


def mos(*, received: int = 1000, lost: int = 0, jitter_ms: float = 0.0, round_trip_ms: float = 0.0) -> float:
    return mean_opinion_score(
        EndpointStatistics(
            packets_received=received, packets_lost=lost, jitter_ms=jitter_ms, round_trip_ms=round_trip_ms
        )
    )


def test_a_clean_g711_call_is_toll_quality() -> None:
    assert mos() == pytest.approx(4.4, abs=0.02)


def test_nothing_received_is_no_score() -> None:
    assert mos(received=0, lost=500) == 0.0


def test_packets_that_came_twice_are_no_loss() -> None:
    """RFC 3550 6.4.1: the cumulative loss may be negative; -43 of 1043 once divided by zero."""
    assert mos(received=1043, lost=-43) == mos()


def test_one_percent_loss_without_concealment() -> None:
    assert mos(received=990, lost=10) == pytest.approx(3.8, abs=0.15)


def test_a_hopeless_call_is_one() -> None:
    assert mos(received=1, lost=999, jitter_ms=500, round_trip_ms=3000) == 1.0


def test_long_delay_counts_more_beyond_177_ms() -> None:
    assert mos(round_trip_ms=300) - mos(round_trip_ms=400) < mos(round_trip_ms=400) - mos(round_trip_ms=500)


def test_worse_is_never_better() -> None:
    for scores in (
        [mos(received=1000 - lost, lost=lost) for lost in range(0, 1000, 20)],
        [mos(jitter_ms=float(jitter)) for jitter in range(0, 500, 10)],
        [mos(round_trip_ms=float(delay)) for delay in range(0, 2000, 50)],
    ):
        assert all(a >= b for a, b in itertools.pairwise(scores))
        assert all(1.0 <= score <= 4.5 for score in scores)


def test_what_the_far_end_hears_is_scored_by_its_own_reports() -> None:
    told = EndpointStatistics(packets_sent=1000, remote_lost=50, remote_jitter_ms=12.0, reported=True)
    assert remote_mean_opinion_score(told) == mos(received=950, lost=50, jitter_ms=12.0)
    assert remote_mean_opinion_score(EndpointStatistics(packets_sent=1000)) == 0.0
    assert remote_mean_opinion_score(EndpointStatistics(packets_sent=10, remote_lost=20, reported=True)) == 0.0
    twice = EndpointStatistics(packets_sent=1000, remote_lost=-3, reported=True)
    assert remote_mean_opinion_score(twice) == mos()


@pytest.mark.parametrize("codec", ["G722", "opus"])
def test_codecs_that_the_model_does_not_know_are_not_judged(codec: str) -> None:
    """ITU-T G.113 has no equipment factor of theirs beside that of G.711."""
    heard = EndpointStatistics(packets_received=1000, packets_sent=1000, reported=True)
    assert (mean_opinion_score(heard, codec), remote_mean_opinion_score(heard, codec)) == (0.0, 0.0)
    assert mean_opinion_score(heard, "PCMU") == remote_mean_opinion_score(heard, "PCMA") == mos()
