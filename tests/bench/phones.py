"""Callers and callees of bench_recorded.py: signalling by the project's own user agent, RTP left to rtp_load.c.

Each phone has a fixed RTP port; what it learns is where the switch wants its RTP.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable

from softswitch.sdp.offer_answer import local_offer
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.user_agent import ClientSession, Hop, InDialogRequest, ServerSession, UserAgent

LOOPBACK = "127.0.0.1"
_AUDIO = re.compile(rb"^m=audio (\d+) ", re.M)


class PhoneFailed(Exception):
    """A call did not come about or did not stay up."""


class Phone:
    """One side of one call: the listener of its session."""

    def __init__(self, rtp_port: int) -> None:
        self.rtp_port = rtp_port
        self.target = 0  # RTP port of the switch
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def sdp(self) -> bytes:
        """What this phone offers and answers."""
        return local_offer(LOOPBACK, self.rtp_port, session_id=self.rtp_port, version=1, codecs=("PCMA",))

    def learn(self, body: bytes) -> None:
        """Take the switch's RTP port from its SDP."""
        audio = _AUDIO.search(body)
        self.target = int(audio[1]) if audio else self.target

    def on_provisional(self, response: SipResponse) -> None:
        """Ringing is of no interest."""

    def on_answered(self, response: SipResponse) -> None:
        """The call is up."""
        self.learn(response.body)
        if not self.answered.done():
            self.answered.set_result(None)

    def on_refused(self, response: SipResponse) -> None:
        """The call did not come about."""
        self._end(f"refused with {response.status}")

    def on_cancelled(self, request: SipRequest) -> None:
        """The switch gave up."""
        self._end("cancelled")

    def on_acknowledged(self, request: SipRequest) -> None:
        """The call is up for the callee too."""
        if not self.answered.done():
            self.answered.set_result(None)

    def on_unacknowledged(self) -> None:
        """The switch lost interest."""
        self._end("no ACK")

    def on_bye(self, request: SipRequest) -> None:
        """Over."""
        self._end("BYE")

    def on_request(self, request: InDialogRequest) -> None:
        """Nothing is expected within a call."""
        request.respond(488)

    def on_dead(self, why: str) -> None:
        """Over, and badly."""
        self._end(why)

    def on_refresh_due(self) -> None:
        """No session timer here."""

    def on_expired(self) -> None:
        """No session timer here."""

    def _end(self, why: str) -> None:
        if not self.ended.done():
            self.ended.set_result(why)
        if not self.answered.done():
            self.answered.set_exception(PhoneFailed(why))


class Exchange:
    """All phones of a bench: callers on one SIP port, callees on another; RTP ports from `first_port` on, in twos."""

    def __init__(self, callee_port: int, first_port: int) -> None:
        self.callee_port, self.first_port = callee_port, first_port
        self.callers: list[Phone] = []
        self.callees: list[Phone] = []
        self._sessions: list[ClientSession] = []
        self._agents = (UserAgent(product="bench"), UserAgent(product="bench"))

    async def start(self) -> None:
        """Open both SIP ports."""
        caller, callee = self._agents
        await caller.start([(LOOPBACK, 0)], self._take_call)
        await callee.start([(LOOPBACK, self.callee_port)], self._take_call)

    async def stop(self) -> None:
        """Close them, hanging up what is left."""
        for agent in self._agents:
            await agent.stop()

    async def call(self, switch: Hop, caller: str, dialled: str) -> None:
        """Place one call and return when it is up; raises PhoneFailed."""
        phone = Phone(self._next_port())
        self.callers.append(phone)
        session = self._agents[0].invite(
            switch,
            request_uri=f"sip:{dialled}@{switch.host}:{switch.port}",
            from_=f"<sip:{caller}@{LOOPBACK}>",
            to=f"<sip:{dialled}@{switch.host}>",
            headers=(("Content-Type", "application/sdp"),),
            body=phone.sdp(),
        )
        session.listener = phone
        await _within(phone.answered, 10)
        session.acknowledge()
        self._sessions.append(session)

    async def hang_up(self, gap_s: float) -> None:
        """End all calls, one each `gap_s`."""
        for session in self._sessions:
            session.hang_up()
            await asyncio.sleep(gap_s)
        await asyncio.gather(*(_within(phone.ended, 10) for phone in self.callees))

    def streams(self) -> list[tuple[int, int]]:
        """(local port, port of the switch) of every phone."""
        return [(phone.rtp_port, phone.target) for phone in (*self.callers, *self.callees)]

    def cut_off(self) -> int:
        """Calls that have ended though nobody hung up yet."""
        return sum(phone.ended.done() for phone in (*self.callers, *self.callees))

    async def _take_call(self, session: ServerSession) -> None:
        phone = Phone(self._next_port())
        self.callees.append(phone)
        session.listener = phone
        phone.learn(session.invite.body)
        session.progress(180)
        session.accept(headers=(("Content-Type", "application/sdp"),), body=phone.sdp())
        await phone.ended

    def _next_port(self) -> int:
        return self.first_port + 2 * (len(self.callers) + len(self.callees))


async def _within(outcome: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(outcome, seconds)
    except TimeoutError:
        raise PhoneFailed(f"nothing for {seconds:g} s") from None
