"""UDP on asyncio: the only sockets of SIP, and the one timer that the whole core needs.

RFC 3261 18. Called by the user agent. It moves datagrams and never looks into one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from softswitch.sip.addresses import Hop
from softswitch.sip.timing import NEVER

log = logging.getLogger(__name__)

LARGEST_DATAGRAM = 65535
DATAGRAMS_PER_WAKE = 64  # then timers and tasks get their turn
RECEIVE_BUFFER = 4 * 1024 * 1024  # a burst of calls must not be lost while the loop is busy

Receive = Callable[[bytes, Hop, int], None]


class Transport(Protocol):
    """What the user agent sends through. `addresses` are those really bound, in the order of the listeners."""

    addresses: list[tuple[str, int]]

    def send(self, data: bytes, destination: Hop, listener: int) -> None:
        """Send one datagram from a listener; raises OSError where the system refuses it."""

    def close(self) -> None:
        """Stop receiving and release the addresses."""


TransportFactory = Callable[[Sequence[tuple[str, int]], Receive], Awaitable[Transport]]


async def open_udp(listeners: Sequence[tuple[str, int]], receive: Receive) -> Transport:
    """Bind every listener (port 0: any free port); `receive(data, source, listener)` gets what arrives.

    Raises OSError where an address can't be bound.
    """
    transport = UdpTransport(receive)
    try:
        for host, port in listeners:
            transport.listen(host, port)
    except BaseException:
        transport.close()
        raise
    return transport


class UdpTransport:
    """UDP sockets read without blocking, many datagrams at a wake."""

    def __init__(self, receive: Receive) -> None:
        self.addresses: list[tuple[str, int]] = []
        self._receive = receive
        self._sockets: list[socket.socket] = []
        self._loop = asyncio.get_running_loop()

    def listen(self, host: str, port: int) -> None:
        """Bind one more address."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sockets.append(sock)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.bind((host, port))
        self.addresses.append(sock.getsockname()[:2])
        self._loop.add_reader(sock, self._read, sock, len(self._sockets) - 1)

    def send(self, data: bytes, destination: Hop, listener: int) -> None:
        """Send one datagram; a full socket buffer loses it, as any queue on the way may (retransmission repairs it)."""
        try:
            self._sockets[listener].sendto(data, (destination.host, destination.port))
        except BlockingIOError:
            log.warning("UDP send buffer of listener %d is full, datagram lost", listener)

    def close(self) -> None:
        """Stop receiving and close the sockets."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def _read(self, sock: socket.socket, listener: int) -> None:
        for _ in range(DATAGRAMS_PER_WAKE):
            try:
                data, address = sock.recvfrom(LARGEST_DATAGRAM)
            except OSError:  # nothing left, or the ICMP error of an earlier send
                return
            self._receive(data, Hop("udp", address[0], address[1]), listener)
            if not self._sockets:
                return  # closed by what it received


class Alarm:
    """One timer that can be set again and again; `ring` is called at the time set last, or a little before.

    A later time does not cancel the timer that runs: that one rings, and the core, finding nothing due, sets the next.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def set(self, at: float | None) -> None:
        """Ring at `at` (loop time); None leaves it as it is."""
        if at is None or at >= self._at:
            return
        self.cancel()
        self._at = at
        self._timer = self._loop.call_at(at, self._go)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._at = NEVER

    def _go(self) -> None:
        self._timer, self._at = None, NEVER
        self._ring()
