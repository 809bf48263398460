"""The SIP endpoint as the call layer uses it: started, stopped, called, and told of calls, on asyncio.

RFC 3261 8. It drives the sans-IO core: what comes from the transport goes in, what comes out is sent and told, and one
timer is kept. It decides nothing about calls.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import lru_cache
from resource import RUSAGE_THREAD, getrusage
from time import thread_time
from typing import Any, Protocol

from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.client_session import ClientSession
from softswitch.sip.compose import header_lines
from softswitch.sip.core import (
    AddressesOf,
    AddressFailed,
    Authenticate,
    CountKey,
    Datagram,
    NewCall,
    SipCore,
    unheard,
    unknown,
)
from softswitch.sip.digest import Account
from softswitch.sip.entrance import Entrance
from softswitch.sip.grammar import escape
from softswitch.sip.lone_request import Series, send_lone
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.overload import Overload
from softswitch.sip.server_session import ServerSession
from softswitch.sip.session import Guard, InDialogRequest, LeakRefused, Session, SessionListener
from softswitch.sip.strangers import Strangers
from softswitch.sip.timing import Timing
from softswitch.sip.transport import Alarm, Transport, TransportFactory, open_transport
from softswitch.sip.uri import USER_SAFE

__all__ = [
    "Account",
    "ClientSession",
    "Guard",
    "Hop",
    "InDialogRequest",
    "LeakRefused",
    "Listener",
    "Series",
    "ServerSession",
    "Session",
    "SessionListener",
    "Tap",
    "Timing",
    "UserAgent",
]

log = logging.getLogger(__name__)

LAG_EVERY_S = 0.02  # how often the event loop's lag is measured

_way = lru_cache(1024)(Path)  # who sends has often sent before

OnInvite = Callable[[ServerSession], Coroutine[Any, Any, None]]


class Tap(Protocol):
    """Sees each message that is let in, and each as it is sent."""

    def __call__(self, data: bytes, peer: Hop, listener: int, *, received: bool) -> None:
        """Called within the event loop: keep it short."""


def _words() -> Iterator[str]:
    """Unguessable words; the system is asked for many at a time."""
    while True:
        page = secrets.token_hex(5000)
        yield from [page[start : start + 20] for start in range(0, len(page), 20)]


def _rests() -> int:
    """How often this thread has given the processor away of itself, as it does where the loop has nothing to do."""
    return getrusage(RUSAGE_THREAD).ru_nvcsw


def _accept(request: SipRequest, source: Hop) -> int:
    return 200


class UserAgent:
    """One SIP endpoint on one or more local addresses.

    `accept_source` is asked about the source of each request outside a dialog: True takes it, False answers 403, None
    drops it in silence. `authenticate` is then asked about each INVITE outside a dialog: see `core.Authenticate`.
    `addresses_of` tells what is known of a host name that a dialog is to go on at (see `core.AddressesOf`),
    `address_failed` hears of one that did not answer there.
    `waited` tells for how many seconds so far the loop's thread has stood still for its calls' sake (a store on a slow
    disk): that is no rest of a switch that has nothing to do, but takes from what it can carry as work does.
    `advertised_host` stands in Via and Contact of listeners that advertise nothing of their own.
    """

    def __init__(
        self,
        *,
        product: str = "softswitch",
        supported: Sequence[str] = (),
        advertised_host: str | None = None,
        timing: Timing | None = None,
        transport_factory: TransportFactory = open_transport,
        tokens: Callable[[], str] | None = None,
        drain_s: float = 5.0,
        strangers: Strangers | None = None,
        overload: Overload | None = None,
    ) -> None:
        """`drain_s` bounds how long `stop` waits for the answers to its BYEs.

        `strangers` bounds what sources may do that `accept_source` does not take; `overload` refuses new calls.
        """
        self.accept_source: Callable[[Hop], bool | None] = lambda source: True
        self.authenticate: Authenticate = lambda request, source, now: None
        self.addresses_of: AddressesOf = unknown
        self.address_failed: AddressFailed = unheard
        self.waited: Callable[[], float] = float
        self._product, self._supported, self._advertised_host = product, supported, advertised_host
        self._timing, self._transport_factory, self._drain_s = timing, transport_factory, drain_s
        self._tokens = tokens or _words().__next__
        self.tap: Tap | None = None
        self.entrance = Entrance(self._accepts, strangers=strangers, overload=overload)
        self._lag_timer: asyncio.TimerHandle | None = None
        self._core: SipCore | None = None
        self._transport: Transport | None = None
        self._alarm: Alarm | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_invite: OnInvite | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._dispatching = False
        self._dispatch_soon = False
        self._quiet: asyncio.Future[None] | None = None  # set by `stop`: no session is left

    async def start(
        self,
        listeners: Sequence[Listener | tuple[str, int]],
        on_invite: OnInvite,
        *,
        on_options: Callable[[SipRequest, Hop], int] = _accept,
    ) -> list[tuple[str, int]]:
        """Bind the listeners (port 0: any free one) and take calls, each in a task of its own; returns what was bound.

        A listener given as a pair is one of UDP.
        `on_options` gives the status for an OPTIONS outside a dialog. Raises OSError where an address can't be bound.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._on_invite = on_invite
        self._alarm = Alarm(self._wake)
        wanted = [Listener(*one) for one in listeners]
        self._transport = await self._transport_factory(wanted, self._receive)
        self._transport.on_lost = self._lost
        addresses = self._transport.addresses
        self._core = SipCore(
            [self._told(one, *address) for one, address in zip(wanted, addresses, strict=True)],
            self._tokens,
            clock=loop.time,
            new_response=loop.create_future,
            on_output=self._flush,
            product=self._product,
            supported=self._supported,
            timing=self._timing,
        )
        self._core.accept_source = self._accepts
        self._core.authenticate = self._authenticates
        self._core.on_options, self._core.doubt = on_options, self.entrance
        self._core.addresses_of, self._core.address_failed = self.addresses_of, self.address_failed
        if self.entrance.overload is not None:
            self._measure_lag(self.entrance.overload, loop.time(), self._worked_s(), _rests())
        return list(addresses)

    async def stop(self) -> None:
        """Refuse new calls, cancel the tasks of calls, hang up what they leave, wait for the BYEs' answers, close."""
        if self._core is None or self._transport is None or self._alarm is None:
            return
        core, transport, alarm = self._core, self._transport, self._alarm
        core.draining = True
        if self._lag_timer is not None:
            self._lag_timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in list(core.sessions.values()):
            session.hang_up(status=503)
        await self._wait_until_quiet(core)
        transport.close()
        alarm.cancel()
        self._core = self._transport = self._alarm = None

    def invite(
        self,
        destination: Hop,
        *,
        request_uri: str,
        from_: str,
        to: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        guard: Guard | None = None,
        listener: int | None = None,
        large_by_tcp: bool = False,
        account: Account | None = None,
    ) -> ClientSession:
        """Call `request_uri` at `destination`; `from_` and `to` are name-addrs without tag, `headers` further ones.

        Via, Contact, Call-ID, CSeq, Max-Forwards, Allow, Supported and User-Agent are written here. Set `listener` on
        the session at once: a message withheld by `guard` is told as `on_refused` with 500. `listener` None takes the
        first of the destination's transport and address family; `large_by_tcp` sends by TCP what is too long for UDP.
        `account` answers challenges to any request of the call.
        """
        return self.core.invite(
            destination,
            request_uri=request_uri,
            from_=from_,
            to=to,
            headers=headers,
            body=body,
            guard=guard,
            listener=listener,
            large_by_tcp=large_by_tcp,
            account=account,
        )

    async def request(
        self,
        destination: Hop,
        method: str,
        *,
        request_uri: str,
        from_: str,
        to: str,
        headers: Sequence[tuple[str, str]] = (),
        contact_user: str | None = None,
        series: Series | None = None,
        account: Account | None = None,
    ) -> SipResponse:
        """Send a request outside any dialog and return its final response (408 and 503 made here, as for a call).

        `contact_user`: add our Contact with this user. Requests of one `series` share Call-ID and count their CSeq;
        `account` answers challenges. Raises RuntimeError while not started.
        """
        core = self.core
        core.begin()
        listener = core.local.listener_for(destination) or 0
        more = header_lines([("User-Agent", self._product), *headers])
        if contact_user is not None:
            more += core.contact(listener).replace("<sip:", f"<sip:{escape(contact_user, USER_SAFE)}@", 1)
        answer = send_lone(
            core,
            Path(destination, listener),
            method,
            uri=request_uri,
            from_=from_,
            to=to,
            more=more,
            series=series or Series(),
            account=account,
        )
        core.finish()
        return await answer

    def is_at(self, host: str, port: int | None) -> bool:
        """Whether a URI with this host and port is ours: a Contact that we sent comes back in a registrar's list."""
        return self.core.local.has(host, port)

    @property
    def core(self) -> SipCore:
        """The core; raises RuntimeError while not started."""
        if self._core is None:
            raise RuntimeError("the user agent is not started")
        return self._core

    @property
    def counts(self) -> Mapping[CountKey, int]:
        """Messages by ("in" or "out", method, status or 0)."""
        return self.core.counts

    @property
    def retransmissions(self) -> Mapping[CountKey, int]:
        """Those of `counts` that were repetitions."""
        return self.core.retransmissions

    @property
    def held(self) -> Mapping[str, int]:
        """What calls hold now: `transactions`, `sessions`, and `tasks`, one for each call that came."""
        core = self.core
        return {"transactions": len(core.transactions), "sessions": len(core.sessions), "tasks": len(self._tasks)}

    def bans(self) -> list[tuple[str, str, float]]:
        """Sources that are banned now: the source, why, and for how many seconds more."""
        if self._loop is None or self.entrance.strangers is None:
            return []
        now = self._loop.time()
        return [(ban.source, ban.why, ban.until - now) for ban in self.entrance.strangers.bans(now)]

    def shut_out(self, source: str, why: str, seconds: float = 0.0) -> None:
        """Ban a source whoever it is; 0 seconds: for as long as any ban."""
        if self._loop is not None and self.entrance.strangers is not None:
            self.entrance.strangers.shut_out(source, why, self._loop.time(), seconds)

    def lift_ban(self, source: str) -> bool:
        """End the ban of a source; False where there is none."""
        return self.entrance.strangers is not None and self.entrance.strangers.lift(source)

    def welcome(self, source: Hop) -> bool:
        """Whether a connection of `source` is taken: not of those who are banned."""
        strangers = self.entrance.strangers
        if self._loop is None or strangers is None:
            return True
        now = self._loop.time()
        if not strangers.is_banned(source.host, now, connected=True):
            return True
        return bool(self.accept_source(source)) and not strangers.is_shut_out(source.host, now)

    def room_for(self, source: Hop) -> float:
        """How much of the room for connections may be in use where `source` gets one more: see the entrance."""
        return 1.0 if self._loop is None else self.entrance.room_for(source, self._loop.time())

    # Driving the core

    def _authenticates(self, request: SipRequest, source: Hop, now: float) -> tuple[int, Sequence[str]] | None:
        return self.authenticate(request, source, now)

    def _accepts(self, source: Hop) -> bool | None:
        return self.accept_source(source)

    def _measure_lag(self, overload: Overload, due: float, worked_s: float, rests: int) -> None:
        """Ring again and again, and see how late; `worked_s`, `rests`: how it stood the time before."""
        assert self._loop is not None
        now, worked, rested = self._loop.time(), self._worked_s(), _rests()
        overload.note_lag(now - due, now, worked - worked_s, rested=rested > rests)
        self._lag_timer = self._loop.call_later(
            LAG_EVERY_S, self._measure_lag, overload, now + LAG_EVERY_S, worked, rested
        )

    def _worked_s(self) -> float:
        """Time that calls have taken from this thread so far: of the processor, and waiting."""
        return thread_time() + self.waited()

    def _told(self, listener: Listener, host: str, port: int) -> Listener:
        """The listener as it was bound, with what peers are told."""
        advertised = listener.advertised_host or self._advertised_host or ""
        return listener._replace(host=host, port=port, advertised_host=advertised)

    def _receive(self, data: bytes, source: Hop, listener: int, connection: int = 0) -> None:
        core, loop = self._core, self._loop
        if core is not None and loop is not None:
            now = loop.time()
            if data < b" ":  # blank lines in front (7.5), or nothing: behind them no limit would see what begins here
                data = data.lstrip(b"\r\n")
            path = _way(source, listener, connection)
            if self.entrance.admits(data, path, now, core):
                if self.tap is not None:
                    self.tap(data, source, listener, received=True)
                core.receive(data, path, now)
            self._drain()

    def _lost(self, datagram: Datagram) -> None:
        core, loop = self._core, self._loop
        if core is not None and loop is not None:
            log.warning("can't send to %s", datagram.path.hop)
            core.transport_failed(datagram, loop.time())
            self._drain()

    def _wake(self) -> None:
        core, loop = self._core, self._loop
        if core is not None and loop is not None:
            core.handle_timers(loop.time())
            self._drain()

    def _drain(self) -> None:
        """Send all, tell all, set the timer."""
        self._dispatch_soon = False
        core = self._core
        if core is None:
            return
        if core.outgoing:
            self._send(core)
        if core.events:
            self._tell(core)
            self._send(core)
        self._settle(core)

    def _tell(self, core: SipCore) -> None:
        self._dispatching = True
        try:
            while core.events:
                event = core.events.popleft()
                if isinstance(event, NewCall):
                    self._begin_call(event.session)
                else:
                    event.session.deliver(event.name, event.argument)
        finally:
            self._dispatching = False

    def _flush(self) -> None:
        """The call layer has acted: send at once; tell what follows a turn of the loop later, never from within it."""
        core, loop = self._core, self._loop
        if core is None or loop is None:
            return
        if core.outgoing:
            self._send(core)
        if self._dispatching or self._dispatch_soon:
            return  # `_drain` does the rest
        if core.events:
            self._dispatch_soon = True
            loop.call_soon(self._drain)
        else:
            self._settle(core)

    def _send(self, core: SipCore) -> None:
        transport, loop = self._transport, self._loop
        assert transport is not None
        assert loop is not None
        while core.outgoing:
            for datagram in core.datagrams_to_send():
                if self.tap is not None:
                    self.tap(datagram.data, datagram.path.hop, datagram.path.listener, received=False)
                try:
                    transport.send(datagram)
                except OSError as error:
                    log.warning("can't send to %s: %s", datagram.path.hop, error)
                    core.transport_failed(datagram, loop.time())

    def _settle(self, core: SipCore) -> None:
        alarm = self._alarm
        assert alarm is not None
        if core.deadlines.soonest < alarm.at and (deadline := core.next_deadline()) is not None:
            alarm.set(deadline)
        if self._quiet is not None and not core.sessions and not self._quiet.done():
            self._quiet.set_result(None)

    # Calls

    def _begin_call(self, session: ServerSession) -> None:
        task = asyncio.get_running_loop().create_task(self._call(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, session: ServerSession) -> None:
        """One call's task. What it raises is logged, and the caller gets an answer."""
        assert self._on_invite is not None
        try:
            await self._on_invite(session)
        except asyncio.CancelledError:
            session.hang_up(status=503)
            raise
        except Exception:
            log.exception("the task of call %s failed", session.sip_call_id)
            session.hang_up(status=500)

    async def _wait_until_quiet(self, core: SipCore) -> None:
        self._quiet = asyncio.get_running_loop().create_future()
        self._flush()
        try:
            await asyncio.wait_for(self._quiet, self._drain_s)
        except TimeoutError:
            log.warning("%d sessions had not ended when the user agent stopped", len(core.sessions))
        self._quiet = None
