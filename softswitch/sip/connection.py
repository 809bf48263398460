"""One TCP or TLS connection: bytes in, messages out, and what is to be known of it while it lives.

RFC 3261 18, RFC 5626 3.5.1. Made by the stream transport, driven by asyncio. It decides nothing about others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple, Protocol, cast

from softswitch.sip.addresses import Hop
from softswitch.sip.core import Datagram
from softswitch.sip.framing import PING, PONG, Framer, FramingError
from softswitch.sip.timing import NEVER
from softswitch.sip.tls import subject_names

QUEUE_LIMIT = 256  # messages that wait for a connection to open
SENT_LIMIT = 32  # requests remembered in case the connection breaks under them
WRITE_LIMIT = 1024 * 1024  # bytes that a peer may leave unread
PINGS_A_SECOND = 16  # keep-alives that are answered; whoever means them sends one in a minute or two (RFC 5626 4.4.1)


class Outgoing(NamedTuple):
    """A message, and whether it was lost with another connection before."""

    datagram: Datagram
    again: bool


class Owner(Protocol):
    """What a connection tells."""

    def received(self, connection: Connection, message: bytes) -> None:
        """A message has come."""

    def opened(self, connection: Connection) -> bool:
        """It is open; False: it is not wanted."""

    def ended(self, connection: Connection, why: str) -> None:
        """It is closed, in whatever way."""

    def count(self, what: str, told: str = "") -> None:
        """Something worth counting has happened; `told` may go to the log."""


class Connection(asyncio.Protocol):
    """An accepted connection, or one of ours, which takes messages already while it is being opened."""

    def __init__(self, owner: Owner, identity: int, hop: Hop, listener: int, *, accepted: bool) -> None:
        """`hop` is whom it is opened to or comes from."""
        self.identity, self.hop, self.listener, self.accepted = identity, hop, listener, accepted
        self.admitted = ""  # whose place it has within the limits; empty: it has none
        self.source = hop  # where its messages come from
        self.queue: list[Outgoing] = []
        self.sent: deque[Outgoing] = deque(maxlen=SENT_LIMIT)
        self.last_used = 0.0
        self.pinged = 0.0  # when our latest keep-alive went
        self.unanswered = False  # nothing has come since
        self._answers_pings = False
        self._pings, self._pings_since = 0, 0.0  # of the peer, within a second and with no message between them
        self.begun = NEVER  # when the message began that has not ended yet
        self.closing = False
        self._owner = owner
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._why = ""
        self._loop = asyncio.get_running_loop()

    # For the stream transport

    def send(self, datagram: Datagram, *, again: bool = False) -> None:
        """Send a message, now or when it is open; raises OSError where too many wait."""
        if self._transport is None:
            if len(self.queue) >= QUEUE_LIMIT:
                raise OSError(f"{len(self.queue)} messages wait for the connection to open")
            self.queue.append(Outgoing(datagram, again))
            return
        if datagram.sender is not None and datagram.sender.waiting:
            self.sent.append(Outgoing(datagram, again))
        self.last_used = self._loop.time()
        self._transport.write(datagram.data)

    def close(self, why: str, *, at_once: bool = False) -> None:
        """Close it, when all is written or at once."""
        self.closing, self._why = True, self._why or why
        if self._transport is not None and at_once:
            self._transport.abort()
        elif self._transport is not None:
            self._transport.close()

    def ping(self, now: float) -> None:
        """A keep-alive of ours (RFC 5626 3.5.1), so that a dead connection is found before a call needs it."""
        if self._transport is not None:
            self._transport.write(PING)
            self.pinged, self.unanswered = now, True

    def is_dead(self, now: float, patience_s: float) -> bool:
        """Whether a peer that answers keep-alives has left one unanswered; not everybody does (RFC 5626 4.4.1)."""
        return self._answers_pings and self.unanswered and now - self.pinged > patience_s

    @property
    def usable(self) -> bool:
        """Whether messages may go by it, now or when it is open."""
        return not self.closing and (self._transport is None or not self._transport.is_closing())

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""
        return self.hop.transport == "tls"

    def certificate_names(self) -> frozenset[str] | None:
        """Whom the other end's certificate names; None where it has shown none."""
        return None if self._transport is None else subject_names(self._transport.get_extra_info("peercert"))

    # For asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open: what waited goes out."""
        host, port = (transport.get_extra_info("peername") or (self.hop.host, self.hop.port))[:2]
        self._transport = cast(asyncio.Transport, transport)
        self.source = self.hop._replace(host=host, port=port)
        self.last_used = now = self._loop.time()
        if self.closing or not self._owner.opened(self):
            self.close("not wanted", at_once=True)
            return
        self._transport.set_write_buffer_limits(high=WRITE_LIMIT)
        if self.accepted:
            self.begun = now  # who connects has something to say
        queue, self.queue = self.queue, []
        for one in queue:
            self.send(one.datagram, again=one.again)

    def data_received(self, data: bytes) -> None:
        """Cut messages out of the stream and pass them on."""
        assert self._transport is not None
        self.last_used = self._loop.time()
        if self.unanswered:
            data = self._answered(data)
        try:
            for message in self._framer.feed(data):
                self.begun = NEVER
                if message == PING:
                    self._pong()
                else:
                    self._pings = 0  # blank lines before a message are none of a flood (RFC 3261 7.5)
                    self._owner.received(self, message)
                if self.closing:
                    return
        except FramingError as error:
            self._lose_track(error)
            return
        if not self._framer.unfinished:
            return
        self.begun = min(self.begun, self.last_used)

    def _pong(self) -> None:
        """Answer a keep-alive, unless they are a flood: a few bytes each, they would keep the loop from all else."""
        assert self._transport is not None
        if self.last_used - self._pings_since >= 1.0:
            self._pings, self._pings_since = 0, self.last_used
        self._pings += 1
        if self._pings <= PINGS_A_SECOND:
            self._transport.write(PONG)
        else:
            self._owner.count("flood", f"{self.source.host} floods us with keep-alives")
            self.close("too many keep-alives", at_once=True)

    def _answered(self, data: bytes) -> bytes:
        """Whatever has come shows that the peer lives; the answer to our keep-alive is taken off."""
        self.unanswered = False
        if not data.startswith(PONG) or data.startswith(PING):
            return data
        self._answers_pings = True
        return data[len(PONG) :]

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._owner.count("unread", f"{self.source.host} leaves {WRITE_LIMIT} bytes unread")
        self.close(f"{WRITE_LIMIT} bytes were not read", at_once=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.closing = True
        self._owner.ended(self, self._why or (str(exc) if exc else "closed by the peer"))

    def _lose_track(self, error: FramingError) -> None:
        """Nothing behind this can be understood; the last request may still be refused."""
        self._owner.count("malformed", f"closing the connection of {self.source.host}: {error}")
        if error.head:
            self._owner.received(self, error.head)
        self.close("malformed")
