"""An in-memory datagram wire for user agents and scripted peers: seeded loss, duplication, delay and reordering.

    wire = Wire()
    switch = UserAgent(transport_factory=wire.open)      # started on [("10.0.0.1", 5060)]
    phone = Peer(wire, ("10.0.0.9", 5060))
    ...
    assert wire.summary() == ["10.0.0.9 -> 10.0.0.1 INVITE", "10.0.0.1 -> 10.0.0.9 100", ...]

Every datagram that was ever sent stands in `trace`, also the lost ones.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softswitch.sip.addresses import Hop, Listener
from softswitch.sip.core import Datagram
from softswitch.sip.transport import Receive

Address = tuple[str, int]


@dataclass(slots=True)
class Sent:
    """One datagram on the wire: when (loop time), from where to where, what, and how often it arrives (0: lost)."""

    at: float
    source: Address
    destination: Address
    data: bytes
    copies: int = 1

    @property
    def label(self) -> str:
        """The method of a request, the status of a response."""
        words = self.data.split(b" ", 2)
        return (words[1] if words[0].startswith(b"SIP/") else words[0]).decode("ascii", "replace")

    @property
    def text(self) -> str:
        """The datagram as text."""
        return self.data.decode("utf-8", "replace")

    def __str__(self) -> str:
        return f"{self.source[0]} -> {self.destination[0]} {self.label}{'' if self.copies else ' (lost)'}"


class Wire:
    """Carries datagrams between addresses on the running loop.

    `loss` and `duplication` are probabilities; `delay` is the range (seconds) that each copy's delay is drawn from, so
    a range reorders. Datagrams to nobody vanish. `lose(...)` and `hold(...)` script single accidents.
    """

    def __init__(
        self, *, seed: int = 0, loss: float = 0.0, duplication: float = 0.0, delay: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.loss = loss
        self.duplication = duplication
        self.delay = delay
        self.trace: list[Sent] = []
        self.refused: set[Address] = set()  # sending to these raises OSError at the sender
        self._random = random.Random(seed)
        self._receivers: dict[Address, Callable[[bytes, Address], None]] = {}
        self._to_lose: list[tuple[str, Address | None]] = []
        self._to_hold: list[tuple[str, float]] = []
        self._next_port = 20000
        self._serial = 0

    def attach(self, address: Address, receive: Callable[[bytes, Address], None]) -> Address:
        """Deliver what is sent to `address` (port 0: a free one) to `receive(data, source)`; returns the address."""
        host, port = address
        if port == 0:
            self._next_port += 1
            port = self._next_port
        if (host, port) in self._receivers:
            raise OSError(f"{host}:{port} is taken")
        self._receivers[host, port] = receive
        return host, port

    def detach(self, address: Address) -> None:
        """Nobody lives at `address` any more."""
        self._receivers.pop(address, None)

    def send(self, data: bytes, source: Address, destination: Address) -> None:
        """Carry one datagram; delivery is always a later turn of the loop."""
        if destination in self.refused:
            raise OSError("network is unreachable")
        loop = asyncio.get_running_loop()
        sent = Sent(loop.time(), source, destination, data)
        self.trace.append(sent)
        sent.copies = self._copies(sent)
        held = self._held(sent)
        for _ in range(sent.copies):
            delay = held + self._random.uniform(*self.delay)
            if delay:
                self._serial += 1  # timers of one moment would ring in any order
                loop.call_later(delay + self._serial * 1e-9, self._deliver, sent)
            else:
                loop.call_soon(self._deliver, sent)

    def lose(self, label: str, times: int = 1, *, source: Address | None = None) -> None:
        """Lose the next `times` datagrams with this method or status (from `source`, if given)."""
        self._to_lose += [(label, source)] * times

    def hold(self, label: str, seconds: float) -> None:
        """Deliver the next datagram with this method or status so much later."""
        self._to_hold.append((label, seconds))

    def labels(self) -> list[str]:
        """Methods and statuses in the order of sending, lost ones included."""
        return [sent.label for sent in self.trace]

    def summary(self) -> list[str]:
        """One line a datagram: `10.0.0.1 -> 10.0.0.2 INVITE`."""
        return [str(sent) for sent in self.trace]

    def sent(self, label: str, *, source: Address | None = None) -> list[Sent]:
        """The datagrams with this method or status (from `source`, if given)."""
        return [sent for sent in self.trace if sent.label == label and source in (None, sent.source)]

    async def open(self, listeners: Sequence[Listener], receive: Receive) -> WireTransport:
        """The transport factory for a UserAgent on this wire."""
        return WireTransport(self, listeners, receive)

    def _copies(self, sent: Sent) -> int:
        for scripted in self._to_lose:
            if scripted[0] == sent.label and scripted[1] in (None, sent.source):
                self._to_lose.remove(scripted)
                return 0
        if self.loss and self._random.random() < self.loss:
            return 0
        return 2 if self.duplication and self._random.random() < self.duplication else 1

    def _held(self, sent: Sent) -> float:
        for scripted in self._to_hold:
            if scripted[0] == sent.label:
                self._to_hold.remove(scripted)
                return scripted[1]
        return 0.0

    def _deliver(self, sent: Sent) -> None:
        receive = self._receivers.get(sent.destination)
        if receive is not None:
            receive(sent.data, sent.source)


class WireTransport:
    """The wire as a UserAgent's transport."""

    def __init__(self, wire: Wire, listeners: Sequence[Listener], receive: Receive) -> None:
        self.addresses: list[Address] = []
        self.on_lost: Callable[[Datagram], None] = lambda datagram: None
        self._wire = wire
        self._receive = receive
        for index, listener in enumerate(listeners):
            receiver = self._receiver(index, listener.transport)
            self.addresses.append(wire.attach((listener.host, listener.port), receiver))

    def send(self, datagram: Datagram) -> None:
        hop, listener = datagram.path[:2]
        self._wire.send(datagram.data, self.addresses[listener], (hop.host, hop.port))

    def close(self) -> None:
        for address in self.addresses:
            self._wire.detach(address)

    def _receiver(self, index: int, transport: str) -> Callable[[bytes, Address], None]:
        return lambda data, source: self._receive(data, Hop(transport, *source), index)
