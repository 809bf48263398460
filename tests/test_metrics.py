"""What Prometheus is shown."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from softswitch.interfaces import EndpointStatistics
from softswitch.metrics import STOOD_STILL_S, MediaWays, Metrics


def shown(metrics: Metrics) -> dict[str, float]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_calls_are_counted_by_mode_direction_and_outcome() -> None:
    metrics = Metrics()
    metrics.call_ended("AXB", 1, "0", 12.5)
    metrics.call_ended("AXB", 1, "0", 7.5)
    metrics.call_ended("none", 2, "8014", None)
    values = shown(metrics)
    assert values['softswitch_calls_total{direction="1",mode="AXB",outcome="0"}'] == 2
    assert values['softswitch_calls_total{direction="2",mode="none",outcome="8014"}'] == 1
    assert values['softswitch_talk_seconds_total{mode="AXB"}'] == 20
    assert values["softswitch_talk_duration_seconds_count"] == 2


def test_delays_leaks_recordings_and_store_latency() -> None:
    metrics = Metrics()
    metrics.post_dial_delay(0.3)
    metrics.setup_time(-0.001)  # a clock that was set back must not break a call
    metrics.leak("number", "body")
    metrics.recorded(8000)
    metrics.store_latency("axb_binding", 0.00004)
    values = shown(metrics)
    assert values['softswitch_post_dial_delay_seconds_bucket{le="0.5"}'] == 1
    assert values["softswitch_setup_seconds_sum"] == 0
    assert values['softswitch_leak_guard_hits_total{what="number",where="body"}'] == 1
    assert values["softswitch_recording_bytes_total"] == 8000
    assert values["softswitch_recordings_total"] == 1
    assert values['softswitch_store_seconds_bucket{le="5e-05",operation="axb_binding"}'] == 1


def test_what_calls_waited_for_the_store_is_told_without_its_pauses() -> None:
    metrics = Metrics()
    for seconds in (0.01, 0.02, 3.0):
        metrics.store_latency("open_attempt", seconds)
    assert metrics.store_s == pytest.approx(0.03 + STOOD_STILL_S)


def test_gauges_sip_and_media_are_read_when_asked_for() -> None:
    metrics, active = Metrics(), [0.0]
    metrics.gauge("active_calls", "Calls that are up", lambda: active[0])
    metrics.sip(lambda: {("in", "INVITE", 0): 3, ("out", "INVITE", 200): 2}, lambda: {("out", "INVITE", 0): 1})
    how: list[MediaWays] = [("", 0, (), ())]
    metrics.media(lambda: {"packets_received": 50.0, "ports_free": 9.0}, lambda: how[0])
    metrics.connections(lambda: {"accepted": 4})
    metrics.turned_away(lambda: {"scanner": 6})
    metrics.held(lambda: {"sessions": 9})
    metrics.locating(lambda: {"failed": 8})
    active[0] = 7
    values = shown(metrics)
    assert values["softswitch_active_calls"] == 7
    assert values['softswitch_sip_connections_total{event="accepted"}'] == 4
    assert values['softswitch_sip_turned_away_total{why="scanner"}'] == 6
    assert values['softswitch_held{what="sessions"}'] == 9
    assert values['softswitch_sip_locating_total{event="failed"}'] == 8
    assert values['softswitch_sip_messages_total{direction="in",method="INVITE",status=""}'] == 3
    assert values['softswitch_sip_messages_total{direction="out",method="INVITE",status="200"}'] == 2
    assert values['softswitch_sip_retransmissions_total{direction="out",method="INVITE",status=""}'] == 1
    assert values["softswitch_media_packets_received_total"] == 50
    assert values["softswitch_media_ports_free"] == 9
    assert 'softswitch_media_workers{io=""}' not in values  # no media server yet
    how[0] = ("uring", 2, ("AEAD_AES_256_GCM",), ("opus",))
    assert shown(metrics)['softswitch_media_workers{io="uring"}'] == 2
    assert shown(metrics)['softswitch_media_srtp{suite="AEAD_AES_256_GCM"}'] == 1
    assert shown(metrics)['softswitch_media_codec{codec="opus"}'] == 1


def test_trunks_and_their_proofs() -> None:
    metrics = Metrics()
    metrics.trunks(lambda: {"a": True, "b": False}, lambda: {"b": True}, lambda: {"a": 3}, lambda: {"a": 7})
    metrics.digest.labels("a", "wrong").inc()
    values = shown(metrics)
    assert values['softswitch_trunk_up{trunk="a"}'] == 1
    assert values['softswitch_trunk_up{trunk="b"}'] == 0
    assert values['softswitch_trunk_registered{trunk="b"}'] == 1
    assert values['softswitch_trunk_calls{trunk="a"}'] == 3
    assert values['softswitch_trunk_full_total{trunk="a"}'] == 7
    assert values['softswitch_digest_checks_total{trunk="a",verdict="wrong"}'] == 1


def test_the_quality_of_legs_by_their_trunks() -> None:
    metrics = Metrics()
    metrics.quality("a", EndpointStatistics(99, 100, 1, jitter_ms=3.0, round_trip_ms=40.0), 4.25)
    metrics.quality("a", EndpointStatistics(50, 50, -1), 4.41)  # one came twice, and no report
    values = shown(metrics)
    assert values['softswitch_leg_mos_bucket{le="4.3",trunk="a"}'] == 1
    assert values['softswitch_leg_mos_sum{trunk="a"}'] == pytest.approx(8.66)
    assert values['softswitch_leg_loss_ratio_bucket{le="0.0",trunk="a"}'] == 1
    assert values['softswitch_leg_loss_ratio_bucket{le="0.01",trunk="a"}'] == 2
    assert values['softswitch_leg_jitter_seconds_bucket{le="0.005",trunk="a"}'] == 2
    assert values['softswitch_leg_round_trip_seconds_count{trunk="a"}'] == 1
