"""A call's record, from its first moment to the store: built by the story, completed by media's reports, written once.

Call treatment, "The CDR". The record is opened in the store when the call begins, so that a crash leaves a trace, and
closed when the last report is in. Never loses a record silently: what the store refuses is logged whole.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import structs

from softswitch.call.leg import Leg
from softswitch.call.quality import mean_opinion_score, remote_mean_opinion_score
from softswitch.errors import Failure, StoreError
from softswitch.interfaces import (
    Cdr,
    CdrSink,
    CdrStore,
    EndpointStatistics,
    LegReport,
    Mode,
    NeedExtension,
    PlayReport,
    Prompt,
    RecordingReport,
    Rejection,
    Route,
)

REPORTS_WITHIN_S = 2.0  # how long a finished call waits for the media's last figures
TOGETHER_S = 0.1  # records that become complete within this are written together, which is cheaper
MOST_TOGETHER = 32  # 3 ms, then calls go on in between
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  # before the store is offered again what it has refused
UNSTORED_AT_MOST = 10_000  # records; more than these are given up for the store
UNFILED_AT_MOST = 100_000  # calls whose lines are known to be missing; of more it is found out in the file
UNWRITTEN_AT_MOST_S = REPORTS_WITHIN_S + 1.0  # a record that is open was of a call that was up so long ago
CRASHED = Failure(8040, 500, 41, "the switch stopped while the call was up")

_TO_THE_MILLISECOND = frozenset({field.name for field in structs.fields(Cdr) if field.type in (float, float | None)})

log = structlog.get_logger(__name__)


def steady(wall_clock: Callable[[], float], time: Callable[[], float]) -> Callable[[], float]:
    """The wall clock of one call: from here on it goes by `time`, whatever the machine's clock is set to meanwhile."""
    ahead = wall_clock() - time()
    return lambda: ahead + time()


@dataclass(slots=True)
class CallRecord:
    """What is known of a call so far. Times are UTC epoch seconds, by the `steady` clock of the call."""

    call_id: str
    wall_clock: Callable[[], float]
    host: str = ""
    trunk_in: str = ""
    state: str = "arriving"  # told to `softswitch calls`; nothing decides by it
    collecting: bool = False
    opened: bool = False  # in the store
    known: dict[str, Any] = field(default_factory=dict)  # fields of Cdr
    a: Leg | None = None
    b: Leg | None = None
    trunk_out: str = ""
    recording: asyncio.Future[RecordingReport] | None = None
    announcement: asyncio.Future[tuple[PlayReport, ...]] | None = None

    def __post_init__(self) -> None:
        self.known["call_in_at"] = self.wall_clock()

    def note(self, **fields: Any) -> None:
        """Fill fields of the CDR."""
        known = self.known
        for name, value in fields.items():
            known[name] = value if type(value) is not str or value.isascii() else _text(value)

    def moment(self, name: str) -> None:
        """Fill a time of the CDR, the first time it happens."""
        self.known.setdefault(name, self.wall_clock())

    def get(self, name: str, default: Any = None) -> Any:
        """A field as known so far."""
        return self.known.get(name, default)

    def decided(self, decision: Route | NeedExtension | Rejection) -> None:
        """What routing found out."""
        self.note(app_key=decision.app_key, x=decision.x)
        if decision.caller:
            self.note(caller=decision.caller)
        if isinstance(decision, NeedExtension):
            self.note(mode=Mode.AXE, direction=0)
        elif isinstance(decision, Rejection):
            self.note(mode=decision.mode, direction=decision.direction, binding_id=decision.binding_id)
            self.note(extension=decision.extension or "")
        else:
            self._routed(decision)

    def _routed(self, route: Route) -> None:
        self.note(
            mode=route.mode,
            direction=route.direction,
            binding_id=route.binding.id,
            extension=route.extension or route.binding.extension or "",
            display=route.display,
            destination=route.callee,
            user_data=route.binding.user_data,
            record=route.treatment.record,
        )

    def announced(self, prompt: Prompt, reports: asyncio.Future[tuple[PlayReport, ...]]) -> None:
        """The mandated announcement has begun."""
        self.announcement = reports
        self.note(announcement=prompt.name, announcement_sha256=prompt.sha256, announcement_from=self.wall_clock())

    def failed(self, failure: Failure) -> None:
        """The call ends by a decision or a fault before anybody answered."""
        self.note(failure=failure.code, sip_status=failure.status, cause=failure.cause, words=failure.words)
        self.note(failed_at=self.wall_clock())

    def ended(self, by: str, failure: Failure) -> None:
        """The call ends; the first who ended it stands."""
        if "ended_by" not in self.known:
            self.note(ended_by=by, failure=failure.code, cause=failure.cause, words=failure.words)
        self.moment("ended_at")

    @property
    def talk_s(self) -> float | None:
        """Seconds from the callee's answer to the end, None where nobody answered."""
        answered, ended = self.get("answered_at"), self.get("ended_at")
        return None if answered is None or ended is None else max(0.0, ended - answered)

    def pending(self) -> list[asyncio.Future[Any]]:
        """The reports that are still to come."""
        legs = [leg.statistics() for leg in (self.a, self.b) if leg is not None]
        futures = [*legs, self.recording, self.announcement]
        return [future for future in futures if future is not None and not future.done()]

    def snapshot(self) -> Cdr:
        """The CDR of what is known now."""
        fields: dict[str, Any] = {**self.known, "host": self.host}
        reports: Sequence[PlayReport] = _result(self.announcement) or ()
        recording = _result(self.recording)
        if recording is not None:
            fields.update(_recorded(recording))
            if not recording.path:  # it could not begin
                fields.update(record_started_at=None)
        elif self.recording is not None and "ended_at" in self.known:  # a disk that stands still
            fields.update(recording_truncated=True)
        a = _leg_report(self.a, self.trunk_in, reports[0] if reports else None)
        b = _leg_report(self.b, self.trunk_out, reports[1] if len(reports) > 1 else None)
        for name in _TO_THE_MILLISECOND.intersection(fields):
            if (value := fields[name]) is not None:
                fields[name] = int(value * 1000 + 0.5) / 1000
        return Cdr(self.call_id, a=a, b=b, **fields)


def _recorded(report: RecordingReport) -> dict[str, Any]:
    return {
        "recording": report.path,
        "recording_sha256": report.sha256,
        "recording_s": report.duration_s,
        "recording_truncated": report.truncated,
    }


def _ended_by_crash(cdr: Cdr, talked_s: float, switch_lived_until: float) -> dict[str, float]:
    """Its last sign of life: what was recorded, else the switch's, else the last that the record tells of.

    A recording that ends long before the switch did lost its end, or its beginning is another file.
    """
    known = (cdr.call_in_at, cdr.forward_at, cdr.alerting_at, cdr.answered_in_at, cdr.answered_at)
    last = max(moment for moment in known if moment is not None)
    if cdr.answered_at is None:
        ended = max(last, switch_lived_until)
        return {"ended_at": ended, "failed_at": ended}
    if talked_s:
        last, switch_lived_until = max(last, cdr.answered_at + talked_s), switch_lived_until - UNWRITTEN_AT_MOST_S
    return {"ended_at": max(last, switch_lived_until)}


async def _no_recording(cdr: Cdr) -> RecordingReport | None:
    return None


def _no_sign(begun_at: float) -> float:
    return 0.0


def _text(value: str) -> str:
    """Without what stands for bytes that were no UTF-8 (lone surrogates): no store and no file takes it."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def _result(future: asyncio.Future[Any] | None) -> Any:
    if future is None or not future.done() or future.cancelled() or future.exception() is not None:
        return None
    return future.result()


def _leg_report(leg: Leg | None, trunk: str, played: PlayReport | None) -> LegReport:
    if leg is None:
        return LegReport(trunk=trunk)
    codec, negotiated = leg.codec, leg.negotiated
    report = LegReport(
        trunk=trunk,
        sip_call_id=_text(leg.session.sip_call_id) if leg.started else "",
        codec=codec,
        srtp=negotiated.srtp.suite if negotiated and negotiated.srtp else "",
        sip_status=leg.sip_status,
        cause=leg.cause,
    )
    statistics: EndpointStatistics | None = _result(leg.statistics())
    if statistics is not None:
        report = _with_figures(report, statistics, codec)
    return report if played is None else _with_played(report, played)


def _with_figures(report: LegReport, statistics: EndpointStatistics, codec: str) -> LegReport:
    return structs.replace(
        report,
        packets_received=statistics.packets_received,
        packets_sent=statistics.packets_sent,
        packets_lost=statistics.packets_lost,
        jitter_ms=round(statistics.jitter_ms, 3),
        mos=mean_opinion_score(statistics, codec),
        round_trip_ms=round(statistics.round_trip_ms, 3),
        remote_lost=statistics.remote_lost,
        remote_jitter_ms=round(statistics.remote_jitter_ms, 3),
        remote_mos=remote_mean_opinion_score(statistics, codec),
    )


def _with_played(report: LegReport, played: PlayReport) -> LegReport:
    return structs.replace(
        report,
        announcement_frames=played.frames,
        announcement_first_timestamp=played.first_timestamp,
        announcement_last_timestamp=played.last_timestamp,
        announcement_remote_lost=played.remote_lost,
    )


class CdrWriter:
    """Writes records to the store and the sinks, in the order in which they became complete, several at a time.

    What the store refuses it is offered again until it takes it: a record left open there would be closed as that of a
    crashed call at the next start. The sinks get each record once and do not wait for the store.
    """

    def __init__(self, store: CdrStore, sinks: Sequence[CdrSink] = ()) -> None:
        self._store = store
        self._sinks = tuple(sinks)
        self._complete: list[CallRecord | Cdr] = []
        self._some = asyncio.Event()  # set while there are any
        self.refused = Counter({"sink": 0, "store": 0})  # records that they did not take
        self.unfiled: set[str] = set()  # calls that a sink has refused; whoever files them late takes them out
        self.knows_unfiled = True  # of all of them
        self._unstored: deque[Cdr] = deque()
        self._refused = asyncio.Event()
        self._writing = self._given_up = False
        self._waiting = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def settled(self) -> bool:
        """Whether the store has all records that the sinks were told of, and the sinks were told of all it has."""
        return not (self._writing or self._unstored or self._given_up)

    def store_filed(self, filed: Sequence[Cdr]) -> None:
        """Offer the store records that an earlier run has told the sinks of, until it takes them."""
        for cdr in filed:
            self._expect_one()
            self._unstored.append(cdr)
            self._refused.set()

    async def open(self, record: CallRecord) -> None:
        """Remember that the attempt has begun; raises StoreError."""
        await self._store.open_attempt(record.snapshot())
        record.opened = True

    def close(self, record: CallRecord) -> None:
        """The call is over: write its record as soon as media has reported, at most REPORTS_WITHIN_S later."""
        self._expect_one()
        _when_all_done(record.pending(), REPORTS_WITHIN_S, lambda: self._add(record))

    async def left_open(self) -> list[Cdr]:
        """What an earlier run left open, to be given to `recover`: ask before the first call of this one."""
        return await self._store.unfinished_attempts()

    async def recover(
        self,
        lost: Sequence[Cdr],
        recording_of: Callable[[Cdr], Awaitable[RecordingReport | None]] = _no_recording,
        last_sign: Callable[[float], float] = _no_sign,
    ) -> None:
        """Close them, with what is found of their recordings. That may take a while, and no call waits for it.

        `last_sign` tells when the switch lived last, by the clock of a call that began at a moment.
        """
        for _ in lost:
            self._expect_one()
        for cdr in lost:
            found = await recording_of(cdr)
            recorded: dict[str, Any] = {} if found is None else _recorded(found)
            talked_s = found.duration_s if found is not None else 0.0  # recordings run from the answer on
            crashed = structs.replace(
                cdr,
                **recorded,
                **_ended_by_crash(cdr, talked_s, last_sign(cdr.call_in_at)),
                ended_by="switch",
                failure=CRASHED.code,
                sip_status=CRASHED.status,
                cause=CRASHED.cause,
                words=CRASHED.words,
            )
            self._add(crashed)

    async def run(self) -> None:
        """Write until cancelled, then what is complete; what the store refuses even then stays in the log."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._offer_again())
                while True:
                    await self._some.wait()
                    await asyncio.sleep(TOGETHER_S)
                    await self._write_complete()
        finally:
            await self._store_kept()
            await self._write_complete()

    async def drain(self) -> None:
        """Return when every closed record is written, also to the store."""
        await self._idle.wait()

    def _expect_one(self) -> None:
        self._waiting += 1
        self._idle.clear()

    def _add(self, complete: CallRecord | Cdr) -> None:
        self._complete.append(complete)
        self._some.set()

    def _done(self) -> None:
        self._waiting -= 1
        if not self._waiting:
            self._idle.set()

    async def _write_complete(self) -> None:
        while self._complete:
            first = self._complete[:MOST_TOGETHER]
            del self._complete[:MOST_TOGETHER]
            await self._write([cdr for one in first if (cdr := self._made(one)) is not None])
            await asyncio.sleep(0)  # calls go on in between
        self._some.clear()

    def _made(self, complete: CallRecord | Cdr) -> Cdr | None:
        """The CDR; None where there can't be one."""
        try:
            return complete if isinstance(complete, Cdr) else complete.snapshot()
        except Exception:  # whatever it is, the next record must still be written
            log.exception("cdr_not_made", call_id=complete.call_id, known=getattr(complete, "known", None))
            self._done()
            return None

    async def _write(self, cdrs: list[Cdr]) -> None:
        refused, self._writing = cdrs, True
        try:
            if not self._unstored:
                refused = await self._refused_of(cdrs)
        finally:  # also where a stop cuts the store short
            self._writing = False
            for cdr in cdrs:
                self._tell_sinks(cdr)
                if cdr in refused:
                    self._keep(cdr)
                else:
                    self._done()

    async def _refused_of(self, cdrs: list[Cdr]) -> list[Cdr]:
        """Give them to the store; returns those that it refuses for now."""
        try:
            await self._store.close_attempts(cdrs)
        except StoreError as error:
            log.warning("store_refuses", call_ids=[cdr.call_id for cdr in cdrs], error=str(error))
            return cdrs
        except Exception as error:
            if len(cdrs) > 1:  # it lies with one of them
                return [refused for cdr in cdrs for refused in await self._refused_of([cdr])]
            (cdr,) = cdrs  # no other try would change that
            self.refused["store"] += 1
            self._given_up = True
            log.error("cdr_not_stored", call_id=cdr.call_id, error=str(error), cdr=structs.asdict(cdr))
        return []

    def _tell_sinks(self, cdr: Cdr) -> None:
        for sink in self._sinks:
            try:
                sink.write(cdr)
            except Exception as error:
                self.refused["sink"] += 1
                if len(self.unfiled) < UNFILED_AT_MOST:
                    self.unfiled.add(cdr.call_id)
                else:
                    self.knows_unfiled = False
                log.error("cdr_not_written", call_id=cdr.call_id, error=str(error), cdr=structs.asdict(cdr))

    def _keep(self, cdr: Cdr) -> None:
        """The log has it whole, whatever comes."""
        self.refused["store"] += 1
        log.error("cdr_not_stored", call_id=cdr.call_id, kept=len(self._unstored), cdr=structs.asdict(cdr))
        if len(self._unstored) < UNSTORED_AT_MOST:
            self._unstored.append(cdr)
            self._refused.set()
        else:
            self._given_up = True
            self._done()

    async def _offer_again(self) -> None:
        """Offer the store what it has refused, with ever longer pauses (a locked one keeps all calls waiting)."""
        while True:
            await self._refused.wait()
            pause_s = FIRST_PAUSE_S
            while self._unstored:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                await self._store_kept()
            self._refused.clear()

    async def _store_kept(self) -> None:
        while self._unstored and not await self._refused_of([self._unstored[0]]):
            self._unstored.popleft()
            self._done()
            await asyncio.sleep(0)  # calls go on in between
        self._unstored.rotate(-1)  # one that is never taken does not keep back the others


def _when_all_done(futures: Sequence[asyncio.Future[Any]], within_s: float, then: Callable[[], None]) -> None:
    """Call `then` once: when all are done or the time is up. No task needed: most calls end with reports on the way."""
    if not futures:
        then()
        return
    left = set(futures)

    def finish() -> None:
        timer.cancel()
        left.clear()
        then()

    def one_done(future: asyncio.Future[Any]) -> None:
        if future in left:  # else the time is up already
            left.remove(future)
            if not left:
                finish()

    timer = asyncio.get_running_loop().call_later(within_s, finish)
    for future in futures:
        future.add_done_callback(one_done)
