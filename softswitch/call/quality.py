"""What the media figures say of a leg's quality: the E-model, simplified for G.711.

ITU-T G.107 with the G.113 values of G.711 (Ie = 0, Bpl = 4.3 without concealment). Other codecs are not judged: G.113
has no values for them that would stand beside those. Called when a CDR is made and when a leg's figures are in.
"""

from __future__ import annotations

from softswitch.interfaces import EndpointStatistics
from softswitch.sdp.formats import G711

BASIC_R = 93.2
BPL_G711 = 4.3
ONE_WAY_DELAY_MS = 20.0  # packetisation
JITTER_BUFFER_FACTOR = 2.0


def mean_opinion_score(statistics: EndpointStatistics, codec: str = "") -> float:
    """MOS-CQE (1.0 to 4.5) of what the far end sent; 0 where nothing was received, or in a codec that isn't judged."""
    if codec not in ("", *G711):
        return 0.0
    return _score(statistics.packets_received, statistics.packets_lost, statistics.jitter_ms, statistics.round_trip_ms)


def remote_mean_opinion_score(statistics: EndpointStatistics, codec: str = "") -> float:
    """The same of what we sent, by the far end's own reports; 0 where it sent none."""
    if not statistics.reported or codec not in ("", *G711):
        return 0.0
    arrived = max(0, statistics.packets_sent - max(0, statistics.remote_lost))
    return _score(arrived, statistics.remote_lost, statistics.remote_jitter_ms, statistics.round_trip_ms)


def _score(received: int, lost: int, jitter_ms: float, round_trip_ms: float) -> float:
    if not received:
        return 0.0
    lost = max(0, lost)  # below 0 where packets came twice (RFC 3550 6.4.1)
    loss_percent = 100.0 * lost / (received + lost)
    delay_ms = ONE_WAY_DELAY_MS + round_trip_ms / 2 + JITTER_BUFFER_FACTOR * jitter_ms
    delay_impairment = 0.024 * delay_ms + (0.11 * (delay_ms - 177.3) if delay_ms > 177.3 else 0.0)
    loss_impairment = 95.0 * loss_percent / (loss_percent + BPL_G711)
    return round(score_of_rating(BASIC_R - delay_impairment - loss_impairment), 2)


def score_of_rating(r: float) -> float:
    """MOS-CQE of the rating factor R: G.107 Annex B."""
    if r <= 0:
        return 1.0
    return 4.5 if r >= 100 else max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)
