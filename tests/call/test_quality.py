"""MOS by the E-model (ITU-T G.107): known points, and that worse is never better."""

from __future__ import annotations

import itertools

import pytest

from softswitch.call.quality import mean_opinion_score, remote_mean_opinion_score, score_of_rating
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


@pytest.mark.parametrize(
    ("lost", "jitter_ms", "round_trip_ms", "r"),
    [
        (0, 0, 0, 93.2 - 0.48),  # 20 ms of packetisation
        (0, 10, 0, 93.2 - 0.96),  # and a jitter buffer of twice the jitter
        (0, 0, 200, 93.2 - 2.88),  # and half the round trip
        (0, 0, 600, 93.2 - 0.024 * 320 - 0.11 * (320 - 177.3)),
        (10, 0, 0, 93.2 - 0.48 - 95 * 1 / (1 + 4.3)),  # G.107 equation 7-29, G.113 table I.2 of G.711
        (50, 0, 0, 93.2 - 0.48 - 95 * 5 / (5 + 4.3)),
        (200, 0, 0, 93.2 - 0.48 - 95 * 20 / (20 + 4.3)),
    ],
)
def test_each_impairment_takes_from_r_what_g_107_says(lost: int, jitter_ms: int, round_trip_ms: int, r: float) -> None:
    score = mos(received=1000 - lost, lost=lost, jitter_ms=jitter_ms, round_trip_ms=round_trip_ms)
    assert score == pytest.approx(1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6, abs=0.006)


@pytest.mark.parametrize(
    ("r", "expected"),
    [(100, 4.5), (93.2, 4.41), (90, 4.34), (80, 4.02), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0)],
)
def test_r_is_told_as_mos_as_in_g_107_annex_b(r: float, expected: float) -> None:
    assert score_of_rating(r) == pytest.approx(expected, abs=0.006)


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
