"""Sends traced messages to Homer as HEP3 over UDP, off the path of the messages themselves.

HEP3 specification, revision 12 (chunks of the generic vendor 0x0000). Built by `app.py` where `trace.hep` is set.
Messages wait in a bounded queue; what finds it full is dropped and counted. It never holds up a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import Counter, deque

from softswitch.tracing.pcapng import addresses
from softswitch.tracing.trace import Address, TracedMessage

AT_MOST_WAITING = 2000  # messages
A_TURN = 50  # messages encoded before others get the loop
OPEN_AGAIN_S = 30.0
LONGEST = 65507  # bytes of a UDP datagram's payload over IPv4

FAMILY, PROTOCOL, SOURCE_4, DESTINATION_4, SOURCE_6, DESTINATION_6, SOURCE_PORT, DESTINATION_PORT = range(1, 9)
SECONDS, MICROSECONDS, KIND, AGENT, KEY, PAYLOAD, CORRELATION = 9, 10, 11, 12, 14, 15, 17
IPV4, IPV6 = 2, 10  # AF_INET and AF_INET6 of Linux
SIP = 1
IP_PROTOCOLS = {"udp": 17, "tcp": 6, "tls": 6}

log = logging.getLogger(__name__)


def encode(message: TracedMessage, agent: int, key: str = "", correlation: str = "") -> bytes:
    """One HEP3 packet; `agent` is the capture id, `correlation` ties the legs of a call."""
    source, destination = addresses(message.source[0], message.destination[0])
    ipv4 = source.version == 4
    microseconds = round(message.at * 1_000_000)
    chunks = [
        (FAMILY, struct.pack(">B", IPV4 if ipv4 else IPV6)),
        (PROTOCOL, struct.pack(">B", IP_PROTOCOLS[message.transport])),
        (SOURCE_4 if ipv4 else SOURCE_6, source.packed),
        (DESTINATION_4 if ipv4 else DESTINATION_6, destination.packed),
        (SOURCE_PORT, struct.pack(">H", message.source[1])),
        (DESTINATION_PORT, struct.pack(">H", message.destination[1])),
        (SECONDS, struct.pack(">I", microseconds // 1_000_000)),
        (MICROSECONDS, struct.pack(">I", microseconds % 1_000_000)),
        (KIND, struct.pack(">B", SIP)),
        (AGENT, struct.pack(">I", agent)),
        *([(KEY, key.encode())] if key else []),
        *([(CORRELATION, correlation.encode())] if correlation else []),
        (PAYLOAD, message.data),
    ]
    body = b"".join(struct.pack(">HHH", 0, kind, (len(value) + 6) & 0xFFFF) + value for kind, value in chunks)
    return b"HEP3" + struct.pack(">H", (len(body) + 6) & 0xFFFF) + body


class _Socket(asyncio.DatagramProtocol):
    """Sends only; that nobody listens at the other end is counted."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def error_received(self, exc: Exception) -> None:
        self._counts["failed"] += 1


class HepExport:
    """Sends to one collector. `counts`: `sent`, `dropped` (queue full or too long), `failed` (as the network says)."""

    def __init__(self, collector: Address, agent: int, key: str = "") -> None:
        self.counts: Counter[str] = Counter()
        self._collector, self._agent, self._key = collector, agent, key
        self._waiting: deque[tuple[TracedMessage, str]] = deque()
        self._some = asyncio.Event()

    def offer(self, message: TracedMessage, correlation: str = "") -> None:
        """Queue a message."""
        if len(self._waiting) >= AT_MOST_WAITING:
            self.counts["dropped"] += 1
            return
        self._waiting.append((message, correlation))
        self._some.set()

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        transport = await self._open()
        with contextlib.closing(transport):
            while True:
                await self._some.wait()
                self._send_some(transport)
                await asyncio.sleep(0)

    async def _open(self) -> asyncio.DatagramTransport:
        """A socket towards the collector, however long its name can't be resolved."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: _Socket(self.counts), remote_addr=self._collector
                )
            except (OSError, UnicodeError) as error:  # the latter of a name that IDNA does not know
                log.warning("no way to the HEP collector %s:%d: %s", *self._collector, error)
                await asyncio.sleep(OPEN_AGAIN_S)
            else:
                return transport

    def _send_some(self, transport: asyncio.DatagramTransport) -> None:
        for _ in range(min(A_TURN, len(self._waiting))):
            packet = encode(*self._next())
            if len(packet) > LONGEST:
                self.counts["dropped"] += 1
            else:
                transport.sendto(packet)
                self.counts["sent"] += 1
        if not self._waiting:
            self._some.clear()

    def _next(self) -> tuple[TracedMessage, int, str, str]:
        message, correlation = self._waiting.popleft()
        return message, self._agent, self._key, correlation
