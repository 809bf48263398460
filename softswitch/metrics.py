"""What Prometheus sees of the switch.

The call layer counts through `CallMetrics`; SIP, media and gauges are read when Prometheus asks, so they cost the hot
path nothing. Built by `app.py`, served by `api/operations.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from softswitch.interfaces import EndpointStatistics

SipCounts = Mapping[tuple[str, str, int], int]
MediaWays = tuple[str, int, tuple[str, ...], tuple[str, ...]]  # io, threads, SRTP suites, codecs
SETUP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
STORE_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
MOS_BUCKETS = (1.5, 2, 2.5, 3, 3.5, 3.8, 4, 4.2, 4.3, 4.4)
LOSS_BUCKETS = (0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
DELAY_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 1)
STOOD_STILL_S = 0.05  # a statement that takes longer met a pause: of the disk, of the machine
TALK_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)


class Spread:
    """How values spread over buckets, each named by its upper bound, which belongs to it."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        """One more value, without the lock and the many calls of the library's histogram, made for threads."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def _note(spreads: dict[str, Spread], label: str, bounds: Sequence[float], value: float) -> None:
    spread = spreads.get(label)
    if spread is None:
        spread = spreads[label] = Spread(bounds)
    spread.note(value)


class Metrics:
    """Every metric of one switch, in a registry of its own."""

    def __init__(self) -> None:
        self.store_s = 0.0  # that calls have waited for the store
        self.registry = CollectorRegistry()
        r = self.registry
        calls = Counter(
            "softswitch_calls",
            "Call attempts by outcome (failure code, 0 normal)",
            ["mode", "direction", "outcome"],
            registry=r,
        )
        talk = Counter("softswitch_talk_seconds", "Seconds of talk of ended calls", ["mode"], registry=r)
        # The library finds a series by its labels under a lock: several times what counting takes.
        self._ended, self._talked = cache(calls.labels), cache(talk.labels)
        self._talk_time = self._spread("talk_duration_seconds", "Talk time per answered call", TALK_BUCKETS)
        self._pdd = self._spread("post_dial_delay_seconds", "INVITE in to first ringing", SETUP_BUCKETS)
        self._setup = self._spread("setup_seconds", "INVITE in to 200 out", SETUP_BUCKETS)
        self._leaks = Counter(
            "softswitch_leak_guard_hits", "Messages stopped or stripped", ["what", "where"], registry=r
        )
        self._recorded = Counter("softswitch_recording_bytes", "Bytes of closed recordings", registry=r)
        self._recordings = Counter("softswitch_recordings", "Closed recordings", registry=r)
        self.mended = Counter(
            "softswitch_recordings_mended", "Recordings closed after a crash, at the start", registry=r
        )
        self._mos = self._by_trunk("leg_mos", "MOS of what legs sent (ITU-T G.107)")
        self._loss = self._by_trunk("leg_loss_ratio", "Share of the packets that legs sent and we did not get")
        self._jitter = self._by_trunk("leg_jitter_seconds", "Jitter of what legs sent (RFC 3550 6.4.1)")
        self._round_trip = self._by_trunk("leg_round_trip_seconds", "Round trip by RTCP, of legs that report")
        self._store: dict[str, Spread] = {}  # by operation
        text = "Store latency on the call path"
        r.register(_SpreadCollector("softswitch_store_seconds", text, self._store, "operation"))
        self.digest = Counter(
            "softswitch_digest_checks", "INVITEs that had to prove a password", ["trunk", "verdict"], registry=r
        )
        self.reloads = Counter("softswitch_dialplan_reloads", "Dialplan reloads by result", ["result"], registry=r)

    def _spread(self, name: str, text: str, buckets: Sequence[float]) -> Spread:
        spread = Spread(buckets)
        self.registry.register(_SpreadCollector(f"softswitch_{name}", text, {"": spread}))
        return spread

    def _by_trunk(self, name: str, text: str) -> dict[str, Spread]:
        spreads: dict[str, Spread] = {}
        self.registry.register(_SpreadCollector(f"softswitch_{name}", text, spreads, "trunk"))
        return spreads

    # CallMetrics

    def call_ended(self, mode: str, direction: int, outcome: str, talk_s: float | None) -> None:
        """One attempt is over."""
        self._ended(mode, str(direction), outcome).inc()
        if talk_s is not None:
            self._talked(mode).inc(talk_s)
            self._talk_time.note(talk_s)

    def post_dial_delay(self, seconds: float) -> None:
        """From the caller's INVITE to the first ringing."""
        self._pdd.note(max(0.0, seconds))

    def setup_time(self, seconds: float) -> None:
        """From the caller's INVITE to its 200."""
        self._setup.note(max(0.0, seconds))

    def quality(self, trunk: str, statistics: EndpointStatistics, mos: float) -> None:
        """A leg by `trunk` that was heard is over."""
        lost = max(0, statistics.packets_lost)
        if mos:  # else not judged
            _note(self._mos, trunk, MOS_BUCKETS, mos)
        _note(self._loss, trunk, LOSS_BUCKETS, lost / (statistics.packets_received + lost))
        _note(self._jitter, trunk, DELAY_BUCKETS, statistics.jitter_ms / 1000)
        if statistics.round_trip_ms:
            _note(self._round_trip, trunk, DELAY_BUCKETS, statistics.round_trip_ms / 1000)

    def leak(self, what: str, where: str) -> None:
        """The leak guard hit."""
        self._leaks.labels(what, where).inc()

    def recorded(self, size: int) -> None:
        """A recording of `size` bytes was closed."""
        self._recorded.inc(size)
        self._recordings.inc()

    # Read on demand

    def store_latency(self, operation: str, seconds: float) -> None:
        """One statement of the call path; of one that stood still only so much counts in `store_s`."""
        self.store_s += seconds if seconds < STOOD_STILL_S else STOOD_STILL_S
        spread = self._store.get(operation)
        if spread is None:
            spread = self._store[operation] = Spread(STORE_BUCKETS)
        spread.note(seconds)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge `softswitch_<name>` that is read when asked for."""
        Gauge(f"softswitch_{name}", text, registry=self.registry).set_function(read)

    def sip(self, counts: Callable[[], SipCounts], retransmissions: Callable[[], SipCounts]) -> None:
        """Messages and retransmissions by direction, method and status."""
        self.registry.register(_SipCollector(counts, retransmissions))

    def connections(self, counts: Callable[[], Mapping[str, float]]) -> None:
        """What happened to TCP and TLS connections of SIP, as `softswitch_sip_connections_total{event}`."""
        text = "TCP and TLS connections"
        self.registry.register(_ByLabelCollector("softswitch_sip_connections", text, "event", counts))

    def cdrs(self, refused: Callable[[], Mapping[str, float]]) -> None:
        """Records that a sink or the store did not take, as `softswitch_cdrs_refused_total{by}`."""
        text = "CDRs that were not written; the log has them whole"
        self.registry.register(_ByLabelCollector("softswitch_cdrs_refused", text, "by", refused))

    def held(self, counts: Callable[[], Mapping[str, float]]) -> None:
        """What calls hold now, as `softswitch_held{what}`: all of it is 0 a little after the last call."""
        text = "What calls hold: transactions, sessions, tasks, media endpoints"
        self.registry.register(_ByLabelCollector("softswitch_held", text, "what", counts, GaugeMetricFamily))

    def turned_away(self, counts: Callable[[], Mapping[str, float]]) -> None:
        """SIP messages that got no further than the entrance, as `softswitch_sip_turned_away_total{why}`."""
        text = "SIP messages turned away before they were read"
        self.registry.register(_ByLabelCollector("softswitch_sip_turned_away", text, "why", counts))

    def locating(self, counts: Callable[[], Mapping[str, float]]) -> None:
        """Questions to DNS and addresses that failed, as `softswitch_sip_locating_total{event}`."""
        text = "Finding the addresses of trunks"
        self.registry.register(_ByLabelCollector("softswitch_sip_locating", text, "event", counts))

    def trunks(
        self,
        up: Callable[[], Mapping[str, bool]],
        registered: Callable[[], Mapping[str, bool]],
        calls: Callable[[], Mapping[str, int]],
        full: Callable[[], Mapping[str, int]],
    ) -> None:
        """`softswitch_trunk_up{trunk}` of trunks with health checks, `softswitch_trunk_registered{trunk}` likewise.

        Of all `softswitch_trunk_calls{trunk}` now, and `softswitch_trunk_full_total{trunk}`: calls that limits refused.
        """
        self.registry.register(_TrunkCollector(up, registered, calls))
        text = "Calls in or out that a trunk's limits refused"
        self.registry.register(_ByLabelCollector("softswitch_trunk_full", text, "trunk", full))

    def media(self, totals: Callable[[], Mapping[str, float]], how: Callable[[], MediaWays]) -> None:
        """The media server's own totals, each as `softswitch_media_<name>_total`, what is there now without `_total`.

        `how` it reads and writes, and by how many threads, is `softswitch_media_workers{io}`; what SRTP it has,
        `softswitch_media_srtp{suite}`; what it speaks beside G.711, `softswitch_media_codec{codec}`.
        """
        self.registry.register(_MediaCollector(totals, how))


class _SpreadCollector(Collector):
    """Spreads as a histogram, with their names as `label` where there is one."""

    def __init__(self, name: str, text: str, spreads: Mapping[str, Spread], label: str = "") -> None:
        self._name, self._text, self._spreads, self._labels = name, text, spreads, [label] if label else []

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for name, spread in self._spreads.items():
            bounds = [str(floatToGoString(bound)) for bound in (*spread.bounds, math.inf)]  # type: ignore[no-untyped-call]
            buckets = list(zip(bounds, accumulate(spread.counts), strict=True))
            family.add_metric([name] if self._labels else [], buckets, spread.total)
        yield family


class _SipCollector(Collector):
    def __init__(self, counts: Callable[[], SipCounts], retransmissions: Callable[[], SipCounts]) -> None:
        self._sources = (
            ("softswitch_sip_messages", "SIP messages", counts),
            ("softswitch_sip_retransmissions", "SIP messages sent or received again", retransmissions),
        )

    def collect(self) -> Iterable[Metric]:
        for name, text, read in self._sources:
            family = CounterMetricFamily(name, text, labels=["direction", "method", "status"])
            for (direction, method, status), value in dict(read()).items():
                family.add_metric([direction, method, str(status) if status else ""], value)
            yield family


class _ByLabelCollector(Collector):
    def __init__(
        self,
        name: str,
        text: str,
        label: str,
        counts: Callable[[], Mapping[str, float]],
        kind: type[CounterMetricFamily | GaugeMetricFamily] = CounterMetricFamily,
    ) -> None:
        self._name, self._text, self._label, self._counts, self._kind = name, text, label, counts, kind

    def collect(self) -> Iterable[Metric]:
        family = self._kind(self._name, self._text, labels=[self._label])
        for value_of_label, value in dict(self._counts()).items():
            family.add_metric([value_of_label], value)
        yield family


class _TrunkCollector(Collector):
    def __init__(
        self,
        up: Callable[[], Mapping[str, bool]],
        registered: Callable[[], Mapping[str, bool]],
        calls: Callable[[], Mapping[str, int]],
    ) -> None:
        self._sources: tuple[tuple[str, str, Callable[[], Mapping[str, int]]], ...] = (
            ("softswitch_trunk_up", "1 while the trunk answers OPTIONS", up),
            ("softswitch_trunk_registered", "1 while we are registered with the trunk", registered),
            ("softswitch_trunk_calls", "Calls by the trunk now, in and out", calls),
        )

    def collect(self) -> Iterable[Metric]:
        for name, text, read in self._sources:
            family = GaugeMetricFamily(name, text, labels=["trunk"])
            for trunk, value in read().items():
                family.add_metric([trunk], float(value))
            yield family


class _MediaCollector(Collector):
    _OF_NOW = frozenset({"endpoints", "playbacks", "recordings", "ports_free", "kernel_streams"})

    def __init__(self, totals: Callable[[], Mapping[str, float]], how: Callable[[], MediaWays]) -> None:
        self._totals, self._how = totals, how

    def collect(self) -> Iterable[Metric]:
        for name, value in self._totals().items():
            family = (GaugeMetricFamily if name in self._OF_NOW else CounterMetricFamily)(
                f"softswitch_media_{name}", f"Media server: {name.replace('_', ' ')}"
            )
            family.add_metric([], value)
            yield family
        io, workers, suites, codecs = self._how()
        if workers:
            threads = GaugeMetricFamily("softswitch_media_workers", "Threads that handle RTP", labels=["io"])
            threads.add_metric([io], workers)
            yield threads
            srtp = GaugeMetricFamily("softswitch_media_srtp", "1 for each SRTP suite that media has", labels=["suite"])
            for suite in suites:
                srtp.add_metric([suite], 1)
            yield srtp
            spoken = GaugeMetricFamily("softswitch_media_codec", "1 for each codec beside G.711", labels=["codec"])
            for codec in codecs:
                spoken.add_metric([codec], 1)
            yield spoken
