"""The media server: controllers connect to a Unix socket, each with a session of endpoints, playbacks and recordings.

Called by media/__main__.py. A bad command is refused with an event and harms nobody; a controller that goes away leaves
its calls talking for the grace time, in which another one may take the ports over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from media import protocol
from media.engine import Engine, Settings
from media.tables import CommandRefused

READ_SIZE = 65536
STANDS_STILL_S = 3.0  # without a tick: a worker that merely waits for a processor gets one sooner
MOST_UNREAD = 8 << 20  # bytes that wait for a controller that stands still

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen, how long to keep an abandoned session's calls (seconds), and the engine's settings."""

    socket: str
    grace_s: float = 60.0
    engine: Settings = field(default_factory=Settings)


class ControllerSession:
    """One connected controller, or what is left of it during the grace time."""

    def __init__(self, engine: Engine, writer: asyncio.StreamWriter) -> None:
        self.orphaned = False
        self.greeted = False
        self._engine = engine
        self._writer = writer
        self._commands: dict[type[protocol.Message], Callable[[Any], None]] = {
            protocol.OpenEndpoint: lambda command: self.deliver(engine.open_endpoint(self, command)),
            protocol.ConfigureEndpoint: lambda command: engine.configure(self, command),
            protocol.CloseEndpoint: lambda command: engine.close_endpoint(self, command.endpoint),
            protocol.Connect: lambda command: engine.connect(self, command),
            protocol.Disconnect: lambda command: engine.disconnect(self, command),
            protocol.Play: lambda command: engine.play(self, command),
            protocol.StopPlay: lambda command: engine.stop_play(self, command.playback),
            protocol.Record: lambda command: engine.record(self, command),
            protocol.Voices: lambda command: engine.voices(self, command.recording),
            protocol.CloseRecording: lambda command: engine.close_recording(self, command.recording),
            protocol.Ping: lambda command: self._pong(),
        }

    def deliver(self, event: protocol.Event) -> None:
        """Send `event` if anybody listens."""
        if self.orphaned or self._writer.is_closing():
            return
        self._writer.write(protocol.encode(event))
        if self._writer.transport.get_write_buffer_size() > MOST_UNREAD:
            log.error("a controller does not read what it is told: parted with it")
            self._writer.transport.abort()

    def obey(self, body: bytes) -> None:
        """Carry out one command; what is wrong with it is told by Refused."""
        try:
            command = protocol.decode_command(body)
        except protocol.ProtocolError as error:
            self.deliver(protocol.Refused("", str(error)))
            return
        try:
            self._obey(command)
        except (CommandRefused, RuntimeError) as error:
            self.deliver(protocol.Refused(type(command).__name__, str(error)))
        except Exception as error:  # it must not part all calls of this controller from their media
            log.exception("%s failed", type(command).__name__)
            self.deliver(protocol.Refused(type(command).__name__, repr(error)))

    def _obey(self, command: protocol.Command) -> None:
        if isinstance(command, protocol.Hello):
            self._greet(command)
        elif not self.greeted:
            raise CommandRefused("expected Hello first")
        else:
            self._commands[type(command)](command)

    def _pong(self) -> None:
        if (lag_s := self._engine.lag_s) < STANDS_STILL_S:
            self.deliver(protocol.Pong())
        else:
            log.error("a worker stands still for %.1f s", lag_s)

    def _greet(self, hello: protocol.Hello) -> None:
        if hello.version != protocol.VERSION:
            raise CommandRefused(f"version {hello.version}, this server speaks {protocol.VERSION}")
        self.greeted = True
        settings = self._engine.settings
        handling = self._engine.io, settings.workers, settings.bind6, self._engine.srtp, self._engine.codecs
        self.deliver(protocol.Welcome(protocol.VERSION, settings.bind, settings.silence_s, *handling))


class MediaServer:
    """Listens on `settings.socket` between start() and stop()."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._engine = Engine(settings.engine)
        self._engine.on_totals = self._tell_totals
        self._sessions: dict[ControllerSession, asyncio.Task[None]] = {}
        self._grace: dict[ControllerSession, asyncio.TimerHandle] = {}
        self._server: asyncio.Server | None = None
        self._identity: tuple[int, int] | None = None  # of our socket's file

    async def start(self) -> None:
        """Listen; a socket file that an earlier server left is replaced. Raises OSError."""
        self._engine.start()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._settings.socket)
        self._server = await asyncio.start_unix_server(self._serve, self._settings.socket)
        os.chmod(self._settings.socket, 0o600)
        self._identity = _identity(self._settings.socket)

    async def stop(self) -> bool:
        """Part with the controllers, complete the recordings; False where the disk did not let us."""
        if self._server:
            self._remove_socket()
            self._server.close()
        for timer in self._grace.values():
            timer.cancel()
        tasks = list(self._sessions.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return await self._engine.stop()

    def _remove_socket(self) -> None:
        """Unless the next server has put its own there: this one may have waited for a disk."""
        with contextlib.suppress(FileNotFoundError):
            if _identity(self._settings.socket) == self._identity:
                os.unlink(self._settings.socket)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = ControllerSession(self._engine, writer)
        task = asyncio.current_task()
        assert task
        self._sessions[session] = task
        try:
            await self._read_commands(session, reader)
        except (OSError, protocol.ProtocolError) as error:
            session.deliver(protocol.Refused("", str(error)))
        except asyncio.CancelledError:
            pass  # stop(): asyncio's own callback would complain about a cancelled connection
        finally:
            del self._sessions[session]
            writer.close()
            self._abandon(session)

    async def _read_commands(self, session: ControllerSession, reader: asyncio.StreamReader) -> None:
        frames = protocol.FrameBuffer()
        while data := await reader.read(READ_SIZE):
            for body in frames.feed(data):
                session.obey(body)

    def _abandon(self, session: ControllerSession) -> None:
        session.orphaned = True
        loop = asyncio.get_running_loop()
        self._grace[session] = loop.call_later(self._settings.grace_s, self._bury, session)

    def _bury(self, session: ControllerSession) -> None:
        del self._grace[session]
        self._engine.close_session(session)

    def _tell_totals(self, totals: protocol.Totals) -> None:
        for session in self._sessions:
            if session.greeted:
                session.deliver(totals)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
