"""Tries a route's targets in their order and gives the leg that answered.

Call treatment, rows "second leg" and "before answer"; RFC 3261 13.2. No leg outlives the block: those that did not
answer end before it begins, the one that did at its end. Called by the story.

    caller            switch            target 1          target 2
      |     INVITE      |     INVITE      |                 |
      |---------------->|---------------->|                 |
      |      100        |      503        |                 |
      |<----------------|<----------------|     INVITE      |
      |                 |---------------------------------->|
      |      180        |               180                 |
      |<----------------|<----------------------------------|
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from types import TracebackType

from softswitch.call.cdr import CallRecord
from softswitch.call.early_media import SUPPORTED, may_be_heard
from softswitch.call.hangup import NO_SRTP, UNPROTECTED_ANSWER, CallEnded, hangup_scope, refusal, with_cause
from softswitch.call.hunt import Hunt
from softswitch.call.identity import withholds
from softswitch.call.inbound_leg import InboundLeg
from softswitch.call.leak_guard import LeakGuard
from softswitch.call.outbound_leg import OutboundLeg
from softswitch.call.passed_headers import common, farewell, passed
from softswitch.call.presentation import present
from softswitch.call.protection import protect
from softswitch.call.services import CallServices
from softswitch.errors import FAILURES, NORMAL, CallRejected, Failure
from softswitch.interfaces import Playback, Prompt, Route, Target
from softswitch.sdp.offer_answer import PacketTimes
from softswitch.sip.addresses import Hop
from softswitch.sip.message import SipResponse

NO_TARGET = FAILURES[7508]
NO_ANSWER_IN_TIME = FAILURES[8101]
NO_CONNECTION = FAILURES[8035]
MAX_FORWARDS = 70  # RFC 3261 8.1.1.6
RINGBACK = "ringback"  # the built-in one
USELESS_ANSWER = FAILURES[7506]
GONE_UNHEARD = Failure(7506, 480, 31, "the callee hung up before its answer was heard")


class _Refused(Exception):
    """A target said no; `go_on` tells whether the next may be tried, `dead` whether another address of this one may."""

    def __init__(self, failure: Failure, go_on: bool, retry_after_s: int | None = None, *, dead: bool = False) -> None:
        super().__init__(failure.words)
        self.failure, self.go_on, self.retry_after_s, self.dead = failure, go_on, retry_after_s, dead


class dial:
    """`async with dial(...) as b`: the leg that answered; raises CallRejected when the hunt is over without one."""

    __slots__ = ("_a", "_b", "_counted", "_record", "_route", "_services")

    def __init__(self, route: Route, a: InboundLeg, record: CallRecord, services: CallServices) -> None:
        self._route, self._a, self._record, self._services = route, a, record, services
        self._counted: tuple[Hashable, ...] = ()  # what the call counts under at the trunk that is tried

    async def __aenter__(self) -> OutboundLeg:
        route, record = self._route, self._record
        failure, retry_after_s = NO_CONNECTION if route.targets else NO_TARGET, None
        hunt = Hunt(route.targets, self._services.locating, record.call_id)
        with CallerHears(self._a, route, self._services) as caller_hears:
            caller_hears.connecting()
            while (attempt := await hunt.next()) is not None:
                target, hop = attempt
                self._b = b = _callees_leg(self._a, target, hop, record.call_id, self._services)
                record.b, record.trunk_out = b, target.trunk
                try:
                    self._counted = _trunk_taken(target, self._services)
                    # A BYE may overtake the 2xx that it follows (RFC 3261 15): somebody has taken the call, so nobody
                    # else is rung.
                    with hangup_scope(b, meaning=GONE_UNHEARD):
                        if b.protection.impossible:
                            raise _Refused(NO_SRTP[b.name], go_on=True)
                        await b.open_media()
                        _invite(self._a, b, target, hop, route, record, self._services)
                        record.moment("forward_at")
                        await _ring(b, target, hunt, caller_hears, record)
                    return b
                except _Refused as no:
                    self._end(no.failure)
                    failure, retry_after_s = no.failure, no.retry_after_s
                    if not no.go_on:
                        break
                    if not no.dead:
                        hunt.next_target()
                except BaseException as error:
                    self._end(_end_of(error))
                    raise
        raise CallRejected(failure, retry_after_s=retry_after_s)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._end(_end_of(error))

    def _end(self, end: Failure) -> None:
        """The leg that was tried, or had answered, ends."""
        a, b, record, services = self._a, self._b, self._record, self._services
        services.admission.release(self._counted)
        self._counted = ()
        b.hang_up(_reason_for_callee(a, end), headers=farewell(a, b, self._route.caller, record, services))


def _end_of(error: BaseException | None) -> Failure:
    return error.failure if isinstance(error, CallEnded) else NORMAL


def _trunk_taken(target: Target, services: CallServices) -> tuple[Hashable, ...]:
    """Count the call against its outgoing trunk's limits; a full trunk is passed over as one that refuses."""
    try:
        return services.admission.take(services.limits_of(target.trunk))
    except CallRejected as full:
        raise _Refused(full.failure, go_on=True, retry_after_s=full.retry_after_s) from full


def _reason_for_callee(a: InboundLeg, end: Failure) -> Failure:
    """What the callee's CANCEL or BYE says: how the caller's leg ended, where that ended the call."""
    failure = a.ended
    return end if failure is None else with_cause(failure, a.cause)


def _callees_leg(a: InboundLeg, target: Target, hop: Hop, call_id: str, services: CallServices) -> OutboundLeg:
    """The leg with codecs, packet times and SRTP of the target's trunk; its media take the family of its signalling."""
    b = OutboundLeg(call_id, services.media, _codecs(a, target))
    b.packets = PacketTimes(target.ptime_ms, target.max_ptime_ms)
    b.nat, b.liked = target.nat, a.likes
    protect(b, target.srtp, target.srtp_suites, services.media, trunk=target.trunk)
    b.ipv6 = services.media.ipv6 and ":" in hop.host
    return b


def _codecs(a: InboundLeg, target: Target) -> tuple[str, ...]:
    """The target's codecs, in its own order or the caller's first."""
    if target.codec_order == "trunk":
        return target.codecs
    wishes = a.codec_wishes
    return tuple(sorted(target.codecs, key=lambda codec: wishes.index(codec) if codec in wishes else len(wishes)))


async def _ring(b: OutboundLeg, target: Target, hunt: Hunt, caller_hears: CallerHears, record: CallRecord) -> None:
    """Wait for the one that was invited; returns when it answered, raises _Refused on any other outcome."""
    patient = alerting = rung = False
    try:
        async with asyncio.timeout(target.connect_s) as patience:
            while True:
                response = await b.responses.get()
                if response.status == 503 or (response.status == 408 and not patient):
                    hunt.dead(str(response.status), response)  # RFC 3263 4.3; so our own core tells its failures too
                    raise _refused(response.status, rung=rung, alerting=alerting, dead=True)
                hunt.answered()
                caller_hears.take_headers(b, target, response, record)
                if response.status >= 300:
                    elsewhere = hunt.redirect(response)
                    raise _refused(response.status, rung=rung and not elsewhere, alerting=alerting, cause=b.cause)
                if response.status >= 200:
                    break
                alerting = alerting or response.status > 100
                rung = rung or response.status == 180
                if not patient:
                    patient = True
                    patience.reschedule(asyncio.get_running_loop().time() + target.ring_s)
                if response.status > 100:
                    await caller_hears.progress(b, response, record)
    except TimeoutError:
        if not patient:
            hunt.dead("no answer")
        # Who has rung in vain would ring again by way of the next trunk.
        failure = NO_ANSWER_IN_TIME if alerting else NO_CONNECTION
        raise _Refused(failure, go_on=not alerting, dead=not patient) from None
    if not (b.read_answer(response) if response.body else b.recall_answer(response)):
        raise _Refused(USELESS_ANSWER if b.protection.plain else UNPROTECTED_ANSWER, go_on=not rung)


def _refused(status: int, *, rung: bool, alerting: bool, dead: bool = False, cause: int = 0) -> _Refused:
    """A final status of 300 and above; who has `rung` is not rung again by way of the next trunk."""
    failure, go_on = refusal(status, alerting=alerting, cause=cause)
    return _Refused(failure, go_on and not rung, dead=dead)


def _invite(
    a: InboundLeg,
    b: OutboundLeg,
    target: Target,
    hop: Hop,
    route: Route,
    record: CallRecord,
    services: CallServices,
) -> None:
    """Send the INVITE: X is the caller, the callee's own number the only other one in it."""
    invite, source = a.session.invite, a.session.source.host
    seen = present(target, services.settings.identity_host, withheld=withholds(invite))
    hidden = services.foreign(source, hop.host)
    extra = passed(invite, _passing(target, record, services), [route.caller], hidden, call_id=record.call_id)
    assert isinstance(a.session.guard, LeakGuard)
    there = {hop.host, target.host, target.uri_host or target.host}
    a.session.guard.protect(services.foreign_of(there, source))
    offered = b.offer_sdp()
    session = services.user_agent.invite(
        hop._replace(name=target.tls_name) if target.tls_name else hop,
        request_uri=seen.request_uri,
        from_=seen.from_,
        to=seen.to,
        headers=[*seen.headers, SUPPORTED, ("Max-Forwards", str(_forwards(a))), *extra],
        body=offered,
        large_by_tcp=target.large_by_tcp,
        account=services.account_of(target.trunk),
        guard=LeakGuard([route.caller], hidden, services.metrics.leak),
    )
    b.start(session, offered)


def _passing(target: Target, record: CallRecord, services: CallServices) -> tuple[str, ...]:
    """The headers that pass between the caller's trunk and the target's."""
    theirs = target.pass_headers
    return common(services.trunk(record.trunk_in).pass_headers, theirs) if theirs else ()


def _forwards(a: InboundLeg) -> int:
    """RFC 7332: one less than the caller's, or a call that others send back to us would go round for ever."""
    left = a.session.invite.max_forwards
    return MAX_FORWARDS if left is None else max(min(left, MAX_FORWARDS + 1) - 1, 0)


@dataclass(slots=True)
class CallerHears:
    """What the caller hears while the callee rings: its early media, a custom ringback, a plain 180, or our tones."""

    a: InboundLeg
    route: Route
    services: CallServices
    playback: Playback | None = None
    relayed: OutboundLeg | None = None  # whose early media the caller hears

    def __enter__(self) -> CallerHears:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def progress(self, b: OutboundLeg, response: SipResponse, record: CallRecord) -> None:
        """The callee rings or sends early media (101 to 199)."""
        if response.status == 180 or response.body:
            if record.get("alerting_at") is None:
                self.services.metrics.post_dial_delay(record.wall_clock() - record.get("call_in_at"))
            record.moment("alerting_at")
            record.state = "ringing"
        early = bool(response.body) and b.read_answer(response) and may_be_heard(response)
        ringback, self.a.liked = self._prompt(self.route.treatment.ringback), b.likes
        if ringback is not None and await self.a.early_media():
            self._play(ringback.path)
        elif early and await self.a.early_media("sendrecv"):
            self._relay(b)
        elif response.status == 180 and self.relayed is not b:
            self._ringing()

    def take_headers(self, b: OutboundLeg, target: Target, response: SipResponse, record: CallRecord) -> None:
        """What of a callee's response may go on to the caller with ours."""
        session, services = self.a.session, self.services
        names = _passing(target, record, services)
        if not names:  # nearly always
            session.passed = []
            return
        hidden = services.foreign(b.session.remote.host, session.source.host)
        session.passed = passed(response, names, [self.route.callee], hidden, call_id=record.call_id)

    def connecting(self) -> None:
        """A caller who was answered already hears that we are connecting, then a ringback of ours."""
        if not self.a.answered:
            return
        first = self._prompt(self.route.treatment.connecting)
        ringback = self._prompt(self.route.treatment.ringback) or self._prompt(RINGBACK)
        paths = [prompt.path for prompt in (first, ringback) if prompt is not None]
        if paths:
            self._play(*paths, once=len(paths) - 1)

    def stop(self) -> None:
        """Nothing of ours any more."""
        playback, self.playback = self.playback, None
        if playback is not None:
            playback.stop()

    def _ringing(self) -> None:
        """180, or our ringback where an earlier target's early media has opened the path and fallen silent."""
        ringback = self._prompt(RINGBACK)
        if self.a.hears and ringback is not None:
            self._play(ringback.path)
        else:
            self.a.ringing()

    def _relay(self, b: OutboundLeg) -> None:
        self.stop()
        self.relayed = b
        assert self.a.endpoint is not None
        assert b.endpoint is not None
        self.services.media.connect(self.a.endpoint, b.endpoint)

    def _prompt(self, name: str | None) -> Prompt | None:
        return self.services.prompt(name, self.route.treatment.language)

    def _play(self, *paths: str, once: int = 0) -> None:
        if self.playback is None:
            assert self.a.endpoint is not None
            self.playback = self.services.media.play([self.a.endpoint], paths, loop=True, once=once)
