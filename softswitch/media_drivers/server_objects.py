"""Endpoint, playback and recording of the media server driver: each remembers what a restarted server must be told.

Built by media_drivers/server.py only. Never touches the socket itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import astuple
from typing import Protocol, TypeVar

import msgspec
import structlog

from media import protocol
from media.disk import DiskThreads
from media.recorder import WAV_HEADER_BYTES, hash_recording, mend_recording
from softswitch.errors import MediaError
from softswitch.interfaces import EndpointStatistics, PlayReport, RecordingReport, RtpRemote
from softswitch.media_drivers.grouped import Grouped

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Driver(Protocol):
    """What the objects need of their driver."""

    up: bool
    nat: bool
    silence_s: float
    endpoints: Grouped[ServerEndpoint]
    playbacks: Grouped[ServerPlayback]
    recordings: Grouped[ServerRecording]
    disk: DiskThreads

    def send(self, command: protocol.Command) -> None:
        """Write a command."""

    def forget_connections(self, name: int) -> None:
        """An endpoint is connected to nobody any more."""


class ServerEndpoint:
    """One port pair of the media server; implements MediaEndpoint."""

    def __init__(self, driver: Driver, name: int, call_id: str, address: str, port: int, *, ipv6: bool = False) -> None:
        self.name = name
        self.call_id = call_id
        self.address = address
        self.port = port
        self.on_digit: Callable[[str], None] | None = None
        self.on_silence: Callable[[bool], None] | None = None
        self.silent = False
        self.silent_since = 0.0
        self.statistics: asyncio.Future[EndpointStatistics] = asyncio.get_running_loop().create_future()
        self.configuration: protocol.ConfigureEndpoint | None = None
        self.closed = False
        self.lost = False
        self.away_since: float | None = None  # by the loop's clock: no server has its ports
        self._ipv6 = ipv6
        self._driver = driver

    def reopening(self) -> protocol.OpenEndpoint:
        """What a restarted server is told: the same ports again."""
        return protocol.OpenEndpoint(self.name, self.port, self.call_id, self._ipv6)

    def configure(self, remote: RtpRemote) -> None:
        """Set the far end, now and after every restart of the server."""
        if self.closed:
            return
        self.configuration = protocol.ConfigureEndpoint(
            self.name,
            remote.address,
            remote.port,
            remote.payload_type,
            remote.telephone_event,
            remote.telephone_event_in,
            remote.sending,
            remote.receiving,
            remote.nat or self._driver.nat,
            remote.ptime_ms,
            remote.rtcp_port,
            remote.rtcp_mux,
            remote.signalling,
            *(("", b"", b"") if remote.srtp is None else (remote.srtp.suite, remote.srtp.send, remote.srtp.receive)),
            None if remote.coding is None else protocol.Coding(*astuple(remote.coding)),
        )
        self._driver.send(self.configuration)

    def close(self) -> None:
        """Release the ports; `statistics` resolves with the server's answer."""
        if self.closed:
            return
        self.closed = True
        self._driver.forget_connections(self.name)
        if not self.lost:
            self._driver.send(protocol.CloseEndpoint(self.name))
        for recording in self._driver.recordings.of(self.name):
            recording.close()
        if self.lost or not self._driver.up:
            self.server_gone()

    def fall_away(self, now: float) -> None:
        """The server went, perhaps a restarted one before it had the ports."""
        if self.away_since is None:
            self.away_since = now

    def come_back(self) -> None:
        """A restarted server has the ports."""
        self.lost, self.away_since = False, None

    def lose(self) -> float:
        """A restarted server could not have the ports: since when nothing is heard, by the loop's clock."""
        self.lost = True
        since = asyncio.get_running_loop().time() if self.away_since is None else self.away_since
        self.tell_silence(True, since)
        self.server_gone()
        return since

    def server_gone(self) -> None:
        """Nobody is left to answer a close."""
        if self.closed:
            self._driver.endpoints.pop(self.name, None)
            _resolve(self.statistics, EndpointStatistics())
            for playback in self._driver.playbacks.of(self.name):
                playback.stop_unheard()

    def report(self, event: protocol.EndpointClosed) -> None:
        """The server's final figures."""
        self.closed = True
        self._driver.forget_connections(self.name)
        statistics = EndpointStatistics(
            event.packets_received,
            event.packets_sent,
            event.packets_lost,
            event.packets_dropped,
            event.jitter_ms,
            event.remote_lost,
            event.remote_jitter_ms,
            event.round_trip_ms,
            event.strangers,
            event.excess,
            event.reported,
            event.forged,
            event.replayed,
        )
        _resolve(self.statistics, statistics)

    def tell_digit(self, digit: str) -> None:
        """A key was pressed."""
        if self.on_digit and not self.closed:
            self.on_digit(digit)

    def tell_silence(self, silent: bool, since: float | None = None) -> None:
        """The far end fell silent or is back: kept also where nobody listens yet. `since` the silence time, or then."""
        if self.closed:
            return
        told_late = asyncio.get_running_loop().time() - self._driver.silence_s
        self.silent, self.silent_since = silent, told_late if since is None else since
        if self.on_silence:
            self.on_silence(silent)


class ServerPlayback:
    """Prompts playing at the media server; implements Playback."""

    def __init__(self, driver: Driver, command: protocol.Play) -> None:
        self.finished: asyncio.Future[tuple[PlayReport, ...]] = asyncio.get_running_loop().create_future()
        self.command = command
        self._driver = driver
        self._stopped = False

    def stop(self) -> None:
        """Stop now; `finished` resolves with the server's reports."""
        if self._stopped or self.finished.done():
            return
        self._stopped = True
        self._driver.send(protocol.StopPlay(self.command.playback))
        if not self._driver.up:
            self.server_gone()

    def stop_unheard(self) -> None:
        """Stop where none of its endpoints is left."""
        if not any(name in self._driver.endpoints for name in self.command.endpoints):
            self.stop()

    def server_gone(self) -> None:
        """A loop goes on when the server is back; whatever else was playing is over, incomplete."""
        if self.command.loop and not self._stopped and self.command.playback in self._driver.playbacks:
            return
        self._driver.playbacks.pop(self.command.playback, None)
        _resolve(self.finished, (PlayReport(0, 0, 0, False),) * len(self.command.endpoints))

    def report(self, event: protocol.Played) -> None:
        """The playback is over."""
        if self.finished.done():
            return
        if event.error:
            self.finished.set_exception(MediaError(event.error))
            self.finished.exception()  # nobody has to look at it: no "never retrieved" complaint
            return
        reports = (
            PlayReport(
                report.frames, report.first_timestamp, report.last_timestamp, report.completed, report.remote_lost
            )
            for report in event.reports
        )
        self.finished.set_result(tuple(reports))


class ServerRecording:
    """A recording at the media server; implements Recording."""

    def __init__(self, driver: Driver, command: protocol.Record) -> None:
        loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[RecordingReport] = loop.create_future()
        self.command = command
        self._driver = driver
        self._started_at = loop.time()
        self._closed = self._resumed = False
        self._reading: asyncio.Task[None] | None = None

    def voices(self) -> None:
        """Record the parties' voices from now on, also after a restart of the server."""
        if not self._closed and not self.command.voices:
            self.command = msgspec.structs.replace(self.command, voices=True)
            self._driver.send(protocol.Voices(self.command.recording))

    def close(self) -> None:
        """Finalise the file; `finished` resolves with the server's report."""
        if self._closed:
            return
        self._closed = True
        self._driver.send(protocol.CloseRecording(self.command.recording))
        if not self._driver.up:
            self.server_gone()

    def move(self, path: str) -> None:
        """Its file has another name than was wanted."""
        self.command = msgspec.structs.replace(self.command, path=path)

    def resumption(self) -> protocol.Record:
        """What a restarted server is told: go on in the same file, at the place of now."""
        self._resumed = True
        elapsed = asyncio.get_running_loop().time() - self._started_at
        return msgspec.structs.replace(self.command, elapsed_s=elapsed)

    def server_gone(self) -> None:
        """A closed recording is what the file holds; an open one waits for the server."""
        if self._closed:
            self._driver.recordings.pop(self.command.recording, None)
            self._read()

    def _read(self) -> None:
        if not self._reading:
            self._reading = asyncio.create_task(self._read_remains())

    async def _read_remains(self) -> None:
        try:
            channels = 2 if self.command.stereo else 1
            report = await self._driver.disk.do("remains", lambda: _read_remains(self.command.path, channels))
        except (OSError, RuntimeError) as error:  # no file, or no thread that could read it
            report = self._failure(str(error))
        _resolve(self.finished, report)

    def report(self, event: protocol.Recorded) -> None:
        """The file is complete, or could not be written: then it is what an earlier server left, if one did."""
        self._closed = True
        if event.error and self._resumed:
            log.error("recording_broke_off", path=self.command.path, error=event.error)
            self._read()
            return
        if event.error:
            report = self._failure(event.error)
        else:
            report = RecordingReport(
                self.command.path, event.duration_s, event.bytes, event.sha256, truncated=event.truncated
            )
        _resolve(self.finished, report)

    def _failure(self, error: str) -> RecordingReport:
        log.error("recording_failed", path=self.command.path, error=error)
        return RecordingReport("", 0.0, 0, "", truncated=True)


def _read_remains(path: str, channels: int) -> RecordingReport:
    """The report of a file whose server died: as long as what is in it. Raises OSError where there is no file."""
    with contextlib.suppress(OSError):  # a server that only we have lost may still write it
        mend_recording(path)
    size = os.stat(path).st_size
    duration_s = max(size - WAV_HEADER_BYTES, 0) / (8000 * channels)
    return RecordingReport(path, duration_s, size, hash_recording(path), truncated=True)


def _resolve(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)
