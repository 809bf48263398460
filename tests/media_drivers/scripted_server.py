"""A media server that keeps what drivers tell it and says what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

from media import protocol
from softswitch.interfaces import MediaEndpoint
from softswitch.media_drivers.server import ServerDriver

Command = TypeVar("Command", bound=protocol.Message)


class ScriptedServer:
    """Welcomes every driver that connects."""

    def __init__(self, path: str, silence_s: float) -> None:
        self.commands: list[protocol.Command] = []
        self.well = True  # it answers pings
        self.welcome = protocol.Welcome(protocol.VERSION, "127.0.0.1", silence_s)
        self._path = path
        self._arrived = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    def stop(self) -> None:
        """Nobody can connect any more; whoever is connected is dropped."""
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """The connection breaks."""
        assert self._writer
        self._writer.close()

    def say(self, *events: protocol.Event) -> None:
        """Tell the driver."""
        assert self._writer
        for event in events:
            self._writer.write(protocol.encode(event))

    async def heard(self, kind: type[Command]) -> Command:
        """The first command of `kind`, as soon as it has come; it and those before are forgotten."""
        async with asyncio.timeout(60):
            while True:
                for index, command in enumerate(self.commands):
                    if isinstance(command, kind):
                        del self.commands[: index + 1]
                        return command
                self._arrived.clear()
                await self._arrived.wait()

    async def opened(self, driver: ServerDriver, port: int, call: str = "") -> MediaEndpoint:
        """An endpoint of `driver` on `port`."""
        opening = asyncio.create_task(driver.open_endpoint(call or f"call {port}"))
        command = await self.heard(protocol.OpenEndpoint)
        self.say(protocol.EndpointOpened(command.endpoint, "127.0.0.1", port))
        return await opening

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.say(self.welcome)
        frames = protocol.FrameBuffer()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for command in map(protocol.decode_command, frames.feed(data)):
                    if isinstance(command, protocol.Ping):
                        self.say(*[protocol.Pong()] * self.well)
                    else:
                        self.commands.append(command)
                self._arrived.set()
        writer.close()


@contextlib.asynccontextmanager
async def scripted(
    folder: Path, *, silence_s: float = 60.0, open_timeout_s: float = 60.0
) -> AsyncIterator[tuple[ScriptedServer, ServerDriver]]:
    """A scripted server and a driver connected to it."""
    server = ScriptedServer(str(folder / "scripted.sock"), silence_s)
    await server.start()
    driver = ServerDriver(str(folder / "scripted.sock"), open_timeout_s=open_timeout_s)
    try:
        await driver.start()
        yield server, driver
    finally:
        await driver.close()
        server.stop()
