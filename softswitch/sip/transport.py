"""All of SIP's transports as one: UDP here, TCP and TLS by the stream transport; and the one timer of the whole core.

RFC 3261 18. Called by the user agent. It moves messages and looks into one only to tell what begins a new call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from softswitch.sip._mailbox import Mailbox
from softswitch.sip.addresses import Hop, Listener
from softswitch.sip.core import Datagram
from softswitch.sip.glance import begins_call
from softswitch.sip.stream_transport import StreamLimits, StreamTransport
from softswitch.sip.timing import NEVER
from softswitch.sip.tls import Tls

log = logging.getLogger(__name__)

# Then timers and tasks get their turn. More than a socket holds: what waits there can't be put in order, and the event
# loop's lag, by which new calls are refused, would not tell of it: at ten times the load nothing would be completed.
DATAGRAMS_PER_WAKE = 4096
SO_RCVBUFFORCE = 33  # of Linux; the socket module does not name it
RECEIVE_BUFFER = 4 * 1024 * 1024  # a burst of calls must not be lost while the loop is busy
# What one turn of the loop sends goes out together, at the latest when it is so much: who is woken by the first message
# reads the others too. On one machine each wake-up is booked on the sender (an interrupt to another processor).
SENT_AT_ONCE = 32


class Receive(Protocol):
    """Gets what arrives."""

    def __call__(self, data: bytes, source: Hop, listener: int, connection: int = 0, /) -> None:
        """A message from `source` at a listener, by a connection (0: a datagram)."""


class Transport(Protocol):
    """What the user agent sends through. `addresses` are those really bound, in the order of the listeners.

    `on_lost` is called, never from within `send`, with what turned out later to be impossible to send.
    """

    addresses: list[tuple[str, int]]
    on_lost: Callable[[Datagram], None]

    def send(self, datagram: Datagram) -> None:
        """Send one message by its path, within this turn of the loop; raises OSError where it never can be sent."""

    def close(self) -> None:
        """Stop receiving and release the addresses."""


_by_udp = functools.partial(Hop, "udp")

TransportFactory = Callable[[Sequence[Listener], Receive], Awaitable[Transport]]


async def open_transport(
    listeners: Sequence[Listener],
    receive: Receive,
    *,
    tls: Tls | None = None,
    limits: StreamLimits | None = None,
    counts: Counter[str] | None = None,
    welcome: Callable[[Hop], bool] = lambda source: True,
    room_for: Callable[[Hop], float] = lambda source: 1.0,
) -> Transport:
    """Bind every listener (port 0: any free port); `receive(data, source, listener, connection)` gets what arrives.

    `counts` is filled with what happens to connections; `welcome` and `room_for` tell whose are taken: see
    `StreamTransport`. Raises OSError where an address can't be bound.
    """
    streams = functools.partial(
        StreamTransport, tls=tls, limits=limits, counts=counts, welcome=welcome, room_for=room_for
    )
    transport = SocketTransport(receive, streams)
    try:
        for listener in listeners:
            transport.listen(listener)
    except BaseException:
        transport.close()
        raise
    return transport


class SocketTransport:
    """UDP sockets, read many datagrams at a wake and written to a turn's worth at once; streams apart."""

    def __init__(
        self,
        receive: Receive,
        streams: Callable[[Receive, Callable[[Datagram], None]], StreamTransport] = StreamTransport,
    ) -> None:
        self.addresses: list[tuple[str, int]] = []
        self.on_lost: Callable[[Datagram], None] = lambda datagram: None
        self.streams = streams(receive, self._lost)
        self._receive = receive
        self._sockets: dict[int, socket.socket] = {}  # by listener
        self._outgoing: list[Datagram] = []  # by UDP, in this turn of the loop
        self._loop = asyncio.get_running_loop()

    def listen(self, listener: Listener) -> None:
        """Bind one more address."""
        index = len(self.addresses)
        if listener.transport == "udp":
            self.addresses.append(self._bind(index, listener.host, listener.port))
        else:
            self.addresses.append(self.streams.listen(index, listener))

    def _bind(self, index: int, host: str, port: int) -> tuple[str, int]:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._sockets[index] = sock
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)  # at most net.core.rmem_max
        with contextlib.suppress(OSError):  # else CAP_NET_ADMIN is missing
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has listeners of its own
        sock.bind((host, port))
        self._loop.add_reader(sock, self._read, Mailbox(sock.fileno(), _by_udp), index)
        address = sock.getsockname()
        return address[0], address[1]

    def send(self, datagram: Datagram) -> None:
        """Send a message; what the system refuses is told by `on_lost`.

        A full UDP buffer loses it, as any queue on the way may (retransmission repairs it).
        """
        hop, listener = datagram.path.hop, datagram.path.listener
        if hop.transport != "udp":
            self.streams.send(datagram)
            return
        if listener not in self._sockets:
            raise OSError(f"listener {listener} is not UDP")
        if not self._outgoing:
            self._loop.call_soon(self._send_all)
        self._outgoing.append(datagram)
        if len(self._outgoing) >= SENT_AT_ONCE:
            self._send_all()

    def _send_all(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        for datagram in outgoing:
            hop, listener, _, _ = datagram.path
            try:
                self._sockets[listener].sendto(datagram.data, (hop.host, hop.port))
            except BlockingIOError:
                log.warning("UDP send buffer of listener %d is full, datagram lost", listener)
            except OSError:
                self._loop.call_soon(self._lost, datagram)

    def close(self) -> None:
        """Stop receiving, send what still is to go, and close the sockets."""
        self._send_all()
        for sock in self._sockets.values():
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()
        self.streams.close()

    def _lost(self, datagram: Datagram) -> None:
        self.on_lost(datagram)

    def _read(self, mailbox: Mailbox, listener: int) -> None:
        """Pass on what has come: first what belongs to calls that are there, then what begins new ones."""
        arrived = mailbox.take(DATAGRAMS_PER_WAKE)
        if len(arrived) > 1:
            arrived.sort(key=_begins_call)  # stable: else as they came
        for data, source in arrived:
            if not self._sockets:
                return  # closed by what it received
            self._receive(data, source, listener)


def _begins_call(arrived: tuple[bytes, Hop]) -> bool:
    return begins_call(arrived[0])


class Alarm:
    """One timer that can be set again and again; `ring` is called at the time set last, or a little before.

    A later time does not cancel the timer that runs: that one rings, and the core, finding nothing due, sets the next.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self.at = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def set(self, at: float) -> None:
        """Ring at `at` (loop time), unless it will ring before."""
        if at >= self.at:
            return
        self.cancel()
        self.at = at
        self._timer = self._loop.call_at(at, self._go)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.at = NEVER

    def _go(self) -> None:
        self._timer, self.at = None, NEVER
        self._ring()
