"""A transport on real loopback sockets, what came to it and what it lost: for tests on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from softswitch.sip.addresses import Hop, Listener, Path
from softswitch.sip.core import Datagram
from softswitch.sip.stream_transport import StreamLimits
from softswitch.sip.tls import Tls, TlsFiles
from softswitch.sip.transaction import CLIENT, Transaction, ignore
from softswitch.sip.transport import SocketTransport, open_transport

HOST = "127.0.0.1"
PATIENCE_S = 60.0  # a machine may be busy; what comes does not wait
MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"

Story = Callable[["Bench"], Coroutine[Any, Any, None]]
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Loop = Callable[[], asyncio.AbstractEventLoop]


class Bench:
    """One transport, what came to it, and what it lost."""

    def __init__(self, files: TlsFiles | None, limits: StreamLimits) -> None:
        self.tls = None if files is None else Tls(files)
        self.limits = limits
        self.unwelcome: set[str] = set()
        self.strangers: dict[str, float] = {}  # how much of the room may be in use where they come
        self.counts: Counter[str] = Counter()
        self.got: list[tuple[bytes, Path]] = []
        self.lost: list[Datagram] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._news = asyncio.Event()

    async def open(self, *listeners: Listener) -> SocketTransport:
        wanted = listeners or [Listener(HOST, 0, "tcp")]
        transport = await open_transport(
            wanted,
            self.receive,
            tls=self.tls,
            limits=self.limits,
            counts=self.counts,
            welcome=lambda source: source.host not in self.unwelcome,
            room_for=lambda source: self.strangers.get(source.host, 1.0),
        )
        assert isinstance(transport, SocketTransport)
        self.transport = transport
        self.transport.on_lost = self.lose
        self.addresses = transport.addresses
        return transport

    def receive(self, data: bytes, source: Hop, listener: int, connection: int = 0) -> None:
        self.got.append((data, Path(source, listener, connection)))
        self._news.set()

    def lose(self, datagram: Datagram) -> None:
        self.lost.append(datagram)
        self._news.set()

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self._news.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.01)

    def send(self, data: bytes, path: Path, sender: Transaction | None = None) -> None:
        self.transport.send(Datagram(data, path, sender))

    async def peer(self, **settings: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Somebody who connects to our first listener."""
        host, port = self.addresses[0]
        reader, writer = await asyncio.open_connection(HOST if host == "0.0.0.0" else host, port, **settings)
        self.writers.append(writer)
        return reader, writer


def play(story: Story, loop: Loop, files: TlsFiles | None = None, **limits: Any) -> None:
    async def whole() -> None:
        bench = Bench(files, StreamLimits(**limits))
        try:
            await story(bench)
        finally:
            bench.transport.close()
            for writer in bench.writers:
                writer.transport.abort()
            await asyncio.sleep(0.01)  # sockets close in a later turn

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(whole())


class Surroundings:
    """What a transaction needs; nothing is sent."""

    def send(self, *what: object, **how: object) -> None:
        """Not here."""

    arm = forget = send


def unanswered(path: Path) -> Transaction:
    """A client transaction that has had no answer yet."""
    return Transaction(CLIENT, Surroundings(), "key", path, method="OPTIONS", tell=ignore)  # type: ignore[arg-type]


def open_now(bench: Bench) -> int:
    return bench.transport.streams.open


async def gone(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes."""
    with suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    return True
