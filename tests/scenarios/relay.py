"""Stands between a SIPp, which knows UDP and TCP only, and the switch: puts its calls on TLS, or lets connections fall.

RFC 3261 18.3 and 26.2, RFC 5626 3.5.1. Called by runner.py, one for each SIPp that needs one. It changes nothing in a
message but what SIPp writes of its own transport and port, by words of the same length.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from softswitch.sip.framing import Framer

Address = tuple[str, int]

PING, PONG = b"\r\n\r\n", b"\r\n"


@dataclass(frozen=True, slots=True)
class Way:
    """How a relay behaves. `context` None is TCP; `drop_after`: a method whose request the connection ends with."""

    context: ssl.SSLContext | None = None
    drop_after: str = ""
    ping: bool = False


class Relay:
    """One relay for one SIPp. `connections` and `pongs` tell what was seen of the switch, `refused` that it hung up."""

    def __init__(self, way: Way) -> None:
        self.connections = self.pongs = 0
        self.refused = False
        self._way = way
        self._server: asyncio.Server | None = None
        self._near: asyncio.StreamWriter | None = None  # to SIPp
        self._far: asyncio.StreamWriter | None = None  # to the switch
        self._datagrams: asyncio.DatagramTransport | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        over = "TLS" if way.context else "TCP"
        self._words = [("SIP/2.0/TCP", f"SIP/2.0/{over}")]
        self._drop = way.drop_after.encode() + b" " if way.drop_after else b""

    async def before_caller(self, at: Address, switch: Address) -> None:
        """Listen at `at` for the caller's SIPp and call `switch` for it, again where the connection has fallen."""

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._near = writer
            self._writers.append(writer)
            await self._call(at[0], switch)
            await self._from_sipp(reader, lambda: self._call(at[0], switch))

        self._server = await asyncio.start_server(met, *at)

    async def before_callee(self, at: Address, sipp: Address) -> None:
        """Listen at `at` for the switch and pass on to the callee's SIPp at `sipp`, by one connection for all."""

        self._words.append((f"{sipp[0]}:{sipp[1]}", f"{at[0]}:{at[1]}"))

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._near is None:
                from_sipp, self._near = await asyncio.open_connection(*sipp)
                self._writers.append(self._near)
                self._spawn(self._from_sipp(from_sipp))
            self._take(reader, writer)

        self._server = await asyncio.start_server(met, *at, ssl=self._way.context)

    async def to_datagrams(self, at: Address) -> None:
        """Listen at `at` by TCP for a SIPp that is there by UDP; it answers to where the call came from, by UDP."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (at[0], 0))
        self._datagrams = transport

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connections += 1
            self._writers.append(writer)
            framer = Framer()
            while data := await reader.read(65536):
                for message in framer.feed(data):
                    transport.sendto(message, at)

        self._server = await asyncio.start_server(met, *at)

    def close(self) -> None:
        """Close whatever is open."""
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _call(self, own: str, switch: Address) -> None:
        """Open a connection to the switch."""
        with contextlib.suppress(OSError):
            self._take(*await asyncio.open_connection(*switch, ssl=self._way.context, local_addr=(own, 0)))

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._far = writer
        self._writers.append(writer)
        if self._way.ping:
            writer.write(PING)
        self._spawn(self._from_switch(reader, writer))

    async def _from_sipp(
        self, reader: asyncio.StreamReader, again: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Pass messages on, each whole, with the transport that they really go by."""
        framer = Framer()
        while data := await reader.read(65536):
            for message in framer.feed(data):
                if self._far is None:
                    continue
                self._far.write(self._told(message))
                if self._falls(message):
                    await self._let_fall(self._far)
                    if again is not None:
                        await again()

    def _told(self, message: bytes) -> bytes:
        for own, told in self._words:
            message = message.replace(own.encode(), told.encode())
        return message

    async def _from_switch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer()
        try:
            while data := await reader.read(65536):
                if data.startswith(PONG):
                    self.pongs += 1
                    data = data.removeprefix(PONG)
                for message in framer.feed(data):
                    assert self._near is not None
                    self._near.write(message)
                    if self._falls(message):
                        await self._let_fall(writer)
                        return
        except OSError:  # also ssl.SSLError: a certificate was missing
            pass
        if self._far is writer:
            self._far, self.refused = None, True

    def _falls(self, message: bytes) -> bool:
        """Whether the connection ends with this message; the first one only."""
        if not self._drop or not message.startswith(self._drop):
            return False
        self._drop = b""
        return True

    async def _let_fall(self, writer: asyncio.StreamWriter) -> None:
        self._far = None
        with contextlib.suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def _spawn(self, story: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(story)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
