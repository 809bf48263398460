"""One call, from INVITE to CDR. Start reading here.

The story is straight-line: each leg, timer and media endpoint ends with the block that opened it, and the state of the
call is where the story stands. Chapters: `extension.py` (which A?), `dial.py` (ring), `bridge.py` (talk).
`sip.user_agent` starts one task of `B2bua.handle` for each INVITE from a known source.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType

import structlog

from softswitch.call.bridge import bridge, find_announcement
from softswitch.call.call_id import new_call_id
from softswitch.call.cdr import CallRecord, steady
from softswitch.call.dial import GONE_UNHEARD, dial
from softswitch.call.extension import collect_extension
from softswitch.call.hangup import CallEnded, given_up, hangup_scope, with_cause
from softswitch.call.identity import called_text, calling_text
from softswitch.call.inbound_leg import InboundLeg
from softswitch.call.leak_guard import LeakGuard
from softswitch.call.leg import Leg
from softswitch.call.outbound_leg import OutboundLeg
from softswitch.call.passed_headers import farewell
from softswitch.call.protection import protect
from softswitch.call.quality import mean_opinion_score
from softswitch.call.services import CallServices
from softswitch.errors import FAILURES, INTERNAL_FAULT, NORMAL, CallRejected, Failure, MediaError, StoreError
from softswitch.interfaces import (
    CallbackRecord,
    EndpointStatistics,
    Mode,
    NeedExtension,
    Prompt,
    RecordingReport,
    Rejection,
    Route,
)
from softswitch.routing.trunk import Trunk
from softswitch.sdp.offer_answer import PacketTimes
from softswitch.sip.user_agent import ServerSession

TONE_GRACE_S = 3.0  # a tone may take this much longer than its length before the call ends without it
SERVICE_FAULT = "service_fault"

log = structlog.get_logger(__name__)


class B2bua:
    """Tells every call's story with the same services."""

    def __init__(self, services: CallServices) -> None:
        self._services = services

    async def handle(self, session: ServerSession) -> None:
        """One call, from INVITE to CDR: the whole story, top to bottom."""
        services = self._services
        trunk = services.trunk_of(session.source)
        session.account = services.account_of(trunk)  # for a trunk that challenges our BYE
        call_id = new_call_id(services.wall_clock())
        rules = services.trunk(trunk)
        session.know_peer(large_by_tcp=rules.large_by_tcp, tls_name=rules.certified_name)
        a = _callers_leg(session, call_id, rules, services)
        clock = steady(services.wall_clock, asyncio.get_running_loop().time)
        record = CallRecord(call_id, clock, services.settings.host_name, trunk, a=a)
        record.note(
            caller=calling_text(session.invite, trusted=rules.trusted),
            callee=called_text(session.invite, rules.dialled_in),
        )
        with services.registry.listed(record), services.admission.counted() as counted:  # until the last tone is over
            async with accounted(a, record, services):
                with hangup_scope(a):
                    counted.arrived(services.arrival_limits(trunk, session.source))
                    a.trying()
                    log.info("call_arrived", call_id=call_id, trunk=trunk)
                    route = await self._decide(a, record)
                    if isinstance(route, NeedExtension):
                        route = await collect_extension(a, route, record, services)
                        record.decided(route)
                    counted.admitted(services.route_limits(route))
                    await self._connect(a, route, record)

    async def _connect(self, a: InboundLeg, route: Route, record: CallRecord) -> None:
        """The second half: ring the callee, then answer the caller and let them talk."""
        services = self._services
        announcement = self._prepare(a, route, record)
        await a.open_media()  # nobody is rung whom the caller could not talk to
        if route.mode is Mode.AXE and route.direction == 0:
            await services.store.remember_caller(_callback(route, services))
        async with dial(route, a, record, services) as b:
            with hangup_scope(b):
                await self._callee_answered(b, route, record)
                await bridge(a, b, route.treatment, announcement, record, services)

    async def _decide(self, a: InboundLeg, record: CallRecord) -> Route | NeedExtension:
        """Ask routing; a Rejection ends the call."""
        dialled, caller = record.get("callee"), record.get("caller")
        decision = await self._services.router.resolve(dialled, caller, trunk=record.trunk_in)
        record.decided(decision)
        record.note(callee=decision.x or dialled)
        await self._services.cdrs.open(record)  # from here on a crash leaves a trace
        a.read_offer()  # now that the record knows whose call it is, and before a tone or a callee needs it
        if isinstance(decision, Rejection):
            raise CallRejected(FAILURES[decision.failure_code], tone=decision.tone, language=decision.language)
        return decision

    def _prepare(self, a: InboundLeg, route: Route, record: CallRecord) -> Prompt | None:
        """From here on the callee is known: guard the caller's leg, find the announcement before anybody is rung."""
        services = self._services
        record.state = "dialling"
        source = a.session.source.host
        names = {name for target in route.targets for name in (target.host, target.uri_host) if name}
        a.session.guard = LeakGuard([route.callee], services.foreign_of(names, source), services.metrics.leak)
        log.info("call_routed", call_id=record.call_id, mode=route.mode, x=route.x, callee=route.callee)
        return find_announcement(route.treatment, services.prompt)

    async def _callee_answered(self, b: OutboundLeg, route: Route, record: CallRecord) -> None:
        services = self._services
        ago = asyncio.get_running_loop().time() - b.answered_at
        record.note(answered_at=record.wall_clock() - ago, cause=0)
        record.state = "answered"
        if route.mode is Mode.AX and route.direction == 1:
            await _or_unstored(services.store.consume_temporary_callee(route.binding.id, route.callee), record)
        # A crash from here on must not lose that it was answered.
        await _or_unstored(services.cdrs.open(record), record)


def _callers_leg(session: ServerSession, call_id: str, trunk: Trunk, services: CallServices) -> InboundLeg:
    """The leg with the codecs, packet times and SRTP of the trunk that the call came by."""
    a = InboundLeg(session, call_id, services.media, trunk.codecs)
    a.packets = PacketTimes(trunk.ptime_ms, trunk.max_ptime_ms)
    a.nat = trunk.nat
    protect(a, trunk.srtp, trunk.srtp_suites, services.media, trunk=trunk.name)
    return a


async def _or_unstored(write: Awaitable[None], record: CallRecord, event: str = "answer_not_stored") -> None:
    """Two people are about to talk: what the store refuses now is no reason to part them."""
    try:
        await write
    except StoreError as error:
        log.error(event, call_id=record.call_id, error=str(error))


async def _leave_trace(record: CallRecord, services: CallServices) -> None:
    """Who is turned away before routing was asked leaves a trace too, should we crash before the record is written."""
    if not record.opened:
        await _or_unstored(services.cdrs.open(record), record, "attempt_not_stored")


def _callback(route: Route, services: CallServices) -> CallbackRecord:
    """Who tried to reach A: written before A rings, so that a missed call can be returned."""
    return CallbackRecord(route.x, route.binding.a, route.caller, services.wall_clock())


class accounted:
    """Give the call its final response, its failure code and its CDR, however it ends: the one place that does."""

    __slots__ = ("_a", "_record", "_services")

    def __init__(self, a: InboundLeg, record: CallRecord, services: CallServices) -> None:
        self._a, self._record, self._services = a, record, services

    async def __aenter__(self) -> None:
        """The call begins."""

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, tb: TracebackType | None
    ) -> bool:
        """Nothing is told further up but that we are to stop."""
        a, record, services = self._a, self._record, self._services
        end: Failure = NORMAL
        retry_after: list[tuple[str, str]] = []
        try:
            match raised:
                case CallEnded():
                    end = _ended(raised, a, record)
                case CallRejected():
                    end = raised.failure
                    if raised.retry_after_s is not None:
                        retry_after = [("Retry-After", str(raised.retry_after_s))]
                    await _leave_trace(record, services)
                    await refuse(a, raised, record, services)
                case StoreError():
                    end = INTERNAL_FAULT
                    log.error("call_failed", call_id=record.call_id, error=str(raised))
                    await refuse(a, CallRejected(end, tone=SERVICE_FAULT), record, services)
                case asyncio.CancelledError():
                    end = replace(INTERNAL_FAULT, status=503, words="the switch is shutting down")
                    _closed_by_us(record, end)
                case _:
                    end = INTERNAL_FAULT
                    _closed_by_us(record, end)
                    log.exception("call_crashed", call_id=record.call_id)
        finally:
            a.hang_up(end, headers=[*retry_after, *farewell(record.b, a, record.get("destination"), record, services)])
            record.moment("ended_at")
            services.cdrs.close(record)
            _tell_end(record, services)
        return isinstance(raised, Exception)


def _ended(ended: CallEnded, a: InboundLeg, record: CallRecord) -> Failure:
    """A party hung up, or the supervision ended the talk."""
    failure = ended.failure
    answered = _both_answered(record)
    if not answered and failure is NORMAL:
        alerted = record.get("alerting_at") is not None
        failure = given_up(record.collecting, alerted) if ended.who is a else GONE_UNHEARD
    elif not answered and failure.status < 300:  # the talk's own clock, while our 200 waited for a PRACK
        failure = replace(failure, status=480)
    if answered and isinstance(ended.who, Leg) and ended.who.heard_until is not None:
        ago = asyncio.get_running_loop().time() - ended.who.heard_until
        record.note(ended_at=max(record.wall_clock() - ago, record.get("answered_at")))
    record.ended(ended.who.name, failure)
    if not answered:
        record.failed(failure)
    return with_cause(failure, ended.who.cause) if isinstance(ended.who, Leg) else failure


def _both_answered(record: CallRecord) -> bool:
    """Whether they talked: no call is answered whose caller was told something else than 200.

    It may give up, or its callee hang up, while our 200 waits for a PRACK or the store.
    """
    if record.a is not None and not record.a.answered:
        record.known.pop("answered_at", None)
    return record.get("answered_at") is not None


async def refuse(a: InboundLeg, rejected: CallRejected, record: CallRecord, services: CallServices) -> None:
    """The caller hears the rejection's tone, as early media or on the answered leg; the final status comes after it."""
    _closed_by_us(record, rejected.failure)
    progress_tone = rejected.failure.progress_tone if a.answered else None  # else the final status tells it
    prompt = services.prompt(rejected.tone or progress_tone, rejected.language)
    if prompt is None or a.ended is not None:
        return
    with suppress(CallEnded, MediaError, CallRejected, TimeoutError), hangup_scope(a):
        async with asyncio.timeout(prompt.duration_s + TONE_GRACE_S):
            a.read_offer()  # not yet read where the store failed at the first moment
            if (a.answered or await a.early_media()) and a.endpoint is not None:
                await services.media.play([a.endpoint], [prompt.path]).finished


def _closed_by_us(record: CallRecord, failure: Failure) -> None:
    if not _both_answered(record):
        record.failed(failure)
    record.ended("switch", failure)


def _tell_end(record: CallRecord, services: CallServices) -> None:
    """Metrics and the log."""
    mode = record.get("mode")
    code, talk_s = record.get("failure", 0), record.talk_s
    services.metrics.call_ended(mode or "none", record.get("direction", 2), str(code), talk_s)
    talked = None if talk_s is None else round(talk_s, 3)
    log.info("call_ended", call_id=record.call_id, failure=code, by=record.get("ended_by", ""), talk_s=talked)
    for leg, trunk in ((record.a, record.trunk_in), (record.b, record.trunk_out)):
        statistics = None if leg is None else leg.statistics()
        if leg is not None and statistics is not None:
            statistics.add_done_callback(functools.partial(_count_quality, services, trunk, leg.codec))
    if record.recording is not None:
        record.recording.add_done_callback(functools.partial(_count_recording, services))


def _count_quality(services: CallServices, trunk: str, codec: str, done: asyncio.Future[EndpointStatistics]) -> None:
    if not done.cancelled() and done.result().packets_received:
        services.metrics.quality(trunk, done.result(), mean_opinion_score(done.result(), codec))


def _count_recording(services: CallServices, done: asyncio.Future[RecordingReport]) -> None:
    if not done.cancelled() and done.exception() is None and done.result().bytes:
        services.metrics.recorded(done.result().bytes)
