"""A SessionListener that writes down what it is told, and user agents on an in-memory wire ready for a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from softswitch.sip.addresses import Hop
from softswitch.sip.client_session import ClientSession
from softswitch.sip.digest import Account
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import Guard, InDialogRequest, Session
from softswitch.sip.user_agent import UserAgent
from tests.support.peer import OFFER, Peer
from tests.support.virtual_time import run
from tests.support.wire import Wire

SWITCH = ("10.0.0.1", 5060)
PHONE = ("10.0.0.9", 5060)


class Recorder:
    """`events` are words such as "180", "answered 200", "BYE", "INFO", "dead"; `got` are the messages themselves.

    `answer` (if set) is called with each in-dialog request; else they wait in `requests`.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.events: list[str] = []
        self.got: list[Any] = []
        self.requests: list[InDialogRequest] = []
        self.answer: Callable[[InDialogRequest], None] | None = None
        self._news = asyncio.Event()
        if session is not None:
            session.listener = self

    def on_provisional(self, response: SipResponse) -> None:
        self._note(str(response.status), response)

    def on_answered(self, response: SipResponse) -> None:
        self._note(f"answered {response.status}", response)

    def on_refused(self, response: SipResponse) -> None:
        self._note(f"refused {response.status}", response)

    def on_cancelled(self, request: SipRequest) -> None:
        self._note("cancelled", request)

    def on_acknowledged(self, request: SipRequest) -> None:
        self._note("ACK", request)

    def on_unacknowledged(self) -> None:
        self._note("unacknowledged", None)

    def on_bye(self, request: SipRequest) -> None:
        self._note("BYE", request)

    def on_request(self, request: InDialogRequest) -> None:
        self.requests.append(request)
        self._note(request.message.method, request)
        if self.answer is not None:
            self.answer(request)

    def on_dead(self, why: str) -> None:
        self._note("dead", why)

    async def until(self, event: str, patience: float = 70.0) -> Any:
        """Wait for an event (also one of the past); returns its message."""
        async with asyncio.timeout(patience):
            while event not in self.events:
                self._news.clear()
                await self._news.wait()
        return self.got[len(self.events) - 1 - self.events[::-1].index(event)]

    def on_refresh_due(self) -> None:
        self._note("refresh due", None)

    def on_expired(self) -> None:
        self._note("expired", None)

    def _note(self, event: str, what: object) -> None:
        self.events.append(event)
        self.got.append(what)
        self._news.set()


@dataclass
class Switch:
    """One user agent at `SWITCH` and what came to it."""

    agent: UserAgent
    wire: Wire
    calls: list[ServerSession] = field(default_factory=list)
    recorders: list[Recorder] = field(default_factory=list)
    queue: asyncio.Queue[tuple[ServerSession, Recorder]] = field(default_factory=asyncio.Queue)

    def call(
        self,
        *,
        guard: Guard | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = OFFER,
        account: Account | None = None,
    ) -> ClientSession:
        """Call the phone."""
        return self.agent.invite(
            Hop("udp", *PHONE),
            request_uri=f"sip:100@{PHONE[0]}",
            from_="<sip:x@10.0.0.1>",
            to=f"<sip:100@{PHONE[0]}>",
            headers=headers,
            body=body,
            guard=guard,
            account=account,
        )

    @property
    def sessions(self) -> list[Session]:
        """Those that are up."""
        return list(self.agent.core.sessions.values())

    async def arrived(self) -> tuple[ServerSession, Recorder]:
        """The next call that comes."""
        return await self.queue.get()

    def assert_quiet(self) -> None:
        """Nothing is left: no session, no transaction, no timer."""
        core = self.agent.core
        assert not core.sessions
        assert not core.transactions
        assert core.next_deadline() is None


def play(story: Callable[[Switch, Peer, Wire], Awaitable[None]], **settings: Any) -> None:
    """Run a story between a user agent and a scripted phone; afterwards nothing may be left (see `assert_quiet`)."""

    async def whole() -> None:
        wire = Wire()
        async with switch_on(wire, **settings) as switch:
            await story(switch, Peer(wire, PHONE), wire)

    run(whole())


@asynccontextmanager
async def switch_on(wire: Wire, **settings: Any) -> AsyncIterator[Switch]:
    """A started user agent at `SWITCH`; calls are only recorded. At the end all transactions must have died out."""
    agent = UserAgent(transport_factory=wire.open, **settings)
    switch = Switch(agent, wire)

    async def on_invite(session: ServerSession) -> None:
        switch.calls.append(session)
        switch.recorders.append(Recorder(session))
        switch.queue.put_nowait((session, switch.recorders[-1]))

    await agent.start([SWITCH], on_invite)
    try:
        yield switch
        await asyncio.sleep(130)
        switch.assert_quiet()
    finally:
        await agent.stop()


async def talk(switch: Switch, phone: Peer) -> tuple[ServerSession, Recorder]:
    """The phone called and the call is answered and acknowledged."""
    phone.send(phone.invite("sip:100@10.0.0.1", body=OFFER), to=SWITCH)
    session, recorder = await switch.arrived()
    session.accept(body=OFFER)
    phone.send(phone.ack(await phone.receive_response(200)))
    await recorder.until("ACK")
    return session, recorder


async def hang_up(phone: Peer) -> None:
    """The phone hangs up."""
    phone.send(phone.request("BYE"))
    await phone.receive(200)
