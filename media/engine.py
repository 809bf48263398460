"""The engine: gives the controllers' ids their native handles, files and ports, and turns native events into messages.

Called by media/server.py on the event loop's thread. Never sees a packet: those stay in the native core (media/native).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from media import _native, protocol
from media.disk import Disk, DiskThreads
from media.playing import Playing
from media.ports import PortPool, PortsExhausted, SocketOptions
from media.recorder import RecordingFile, hash_recording, open_recording
from media.tables import CommandRefused, Groups, Owned, Session, Table
from media.workers import Workers

log = logging.getLogger(__name__)

RETRY_S = 0.02  # a command ring that is full
MOST_OPENING = 1024  # files of new recordings that wait for one directory


@dataclass(frozen=True, slots=True)
class Settings:
    """What the engine is started with. Times in seconds; `io`: auto, epoll or uring; `realtime`: before other work.

    `bind6`: the IPv6 address of ports, empty for none. `workers`: threads that handle packets, each with calls of its
    own. `packets_per_s`: the most that an endpoint takes of its far end. `kernel_relay`: ordinary streams are
    passed on inside the kernel, where it can. `flush_s`: how long stop() waits for the disk.
    """

    bind: str = "127.0.0.1"
    first_port: int = 20000
    last_port: int = 29999
    silence_s: float = 60.0
    io: str = "auto"
    realtime: bool = False
    bind6: str = ""
    workers: int = 1
    packets_per_s: int = 500
    sockets: SocketOptions = field(default_factory=SocketOptions)
    flush_s: float = 4.0
    kernel_relay: bool = False


@dataclass(slots=True)
class _Endpoint(Owned):
    port: int = 0
    ipv6: bool = False
    resumed: bool = False  # by a controller that was away


@dataclass(slots=True)
class _Recording(Owned):
    path: str = ""
    left: int = 0
    right: int = 0
    truncated: bool = False
    error: str = ""  # why there is no file
    after: list[Callable[[], None]] = field(default_factory=list)  # what waits for the file


class Engine:
    """Everything the server can do; raises CommandRefused for what it can't."""

    srtp = _native.SRTP_SUITES  # that an endpoint can have; none where the build lacks libsrtp2

    def __init__(self, settings: Settings, disk: Disk | None = None) -> None:
        self.settings = settings
        self._disk = disk or DiskThreads()
        self._pools = {
            ":" in address: PortPool(address, settings.first_port, settings.last_port, settings.sockets)
            for address in (settings.bind, settings.bind6)
            if address
        }
        self.ports_exhausted = 0
        pairs = sum(pool.pairs for pool in self._pools.values())
        self._core = Workers(
            settings.workers, pairs, settings.silence_s, settings.io, settings.packets_per_s, settings.kernel_relay
        )
        if settings.realtime:
            self._core.take_precedence()
        self._endpoints: Table[_Endpoint] = Table("endpoint")
        self._by_port: dict[tuple[int | None, bool], _Endpoint] = {}  # after a crash all want theirs at once
        self._playing = Playing(self._core, self._disk, self._endpoints)
        self._recordings: Table[_Recording] = Table("recording")
        self._by_endpoint: Groups[int, _Recording] = Groups()  # of its two
        self._by_path: Groups[str, _Recording] = Groups()
        self._waiting: dict[tuple[Session, int], list[Callable[[], None]]] = {}  # recordings; for the file of another
        self._recordings_truncated = 0
        self._opening: dict[int, _Recording] = {}  # by handle: their files are not open yet
        self._all_open = asyncio.Event()
        self._stopped = False
        self.on_totals: Callable[[protocol.Totals], None] = lambda totals: None
        self._dispatch: dict[int, Callable[..., None]] = {
            _native.CLOSED: self._closed,
            _native.DIGIT: self._digit,
            _native.SILENCE: self._silence,
            _native.PLAYED: self._playing.played,
            _native.RECORDED: self._recorded,
            _native.TRUNCATED: self._truncated,
            _native.TOTALS: self._totals,
        }

    def start(self) -> None:
        """Read events from the running loop on."""
        for descriptor in self._core.descriptors:
            asyncio.get_running_loop().add_reader(descriptor, self._read_events)

    async def stop(self) -> bool:
        """End the threads. False: not all recordings could be completed within `flush_s`."""
        for descriptor in self._core.descriptors:
            asyncio.get_running_loop().remove_reader(descriptor)
        until = time.monotonic() + self.settings.flush_s
        await self._wait_for_files(self.settings.flush_s / 2)
        self._stopped = True
        whole = await asyncio.to_thread(self._core.stop, until - time.monotonic()) and not self._opening
        if not whole:
            paths = ", ".join(recording.path for recording in self._recordings)
            log.error("the disk stands still: recordings end before their calls did: %s", paths)
        return whole

    async def _wait_for_files(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._opening:
                    self._all_open.clear()
                    await self._all_open.wait()

    @property
    def lag_s(self) -> float:
        """How long the worker that is farthest behind has not come to its tick."""
        return self._core.lag_s

    @property
    def io(self) -> str:
        """How sockets are read and written: "uring" or "epoll"."""
        return self._core.io

    @property
    def codecs(self) -> tuple[str, ...]:
        """What this build speaks beside G.711."""
        return _native.CODECS

    # Endpoints

    def open_endpoint(self, session: Session, command: protocol.OpenEndpoint) -> protocol.Event:
        """Bind a pair, or take over the wanted one from a session without a controller."""
        self._endpoints.check_new(session, command.endpoint)
        there = self._by_port.get((command.port, command.ipv6))
        if there and there.session.orphaned:
            return self._take_over(session, command.endpoint, there)
        try:
            pool = self._pools[command.ipv6]
            port, rtp, rtcp = pool.bind(command.port)
        except KeyError:
            return protocol.EndpointFailed(command.endpoint, f"no ports of IPv{6 if command.ipv6 else 4}")
        except PortsExhausted as error:
            self.ports_exhausted += 1
            return protocol.EndpointFailed(command.endpoint, str(error))
        try:
            handle = self._open_native(command.call, rtp, rtcp)
        except RuntimeError as error:  # more ports than a worker has room for, or its ring is full
            pool.give_back(port)
            return protocol.EndpointFailed(command.endpoint, str(error))
        endpoint = self._by_port[port, command.ipv6] = _Endpoint(session, command.endpoint, handle, port, command.ipv6)
        self._endpoints.add(endpoint)
        return protocol.EndpointOpened(command.endpoint, pool.address, port)

    def _open_native(self, call: str, rtp: socket.socket, rtcp: socket.socket) -> int:
        random = secrets.randbits
        numbers = random(32) | 1, random(15), random(31), random(64)
        with rtp, rtcp:  # closed where the core refuses, else the core's
            handle = self._core.open(call, rtp.fileno(), rtcp.fileno(), *numbers)
            rtp.detach()
            rtcp.detach()
        return handle

    def _take_over(self, session: Session, name: int, endpoint: _Endpoint) -> protocol.Event:
        """With its ports and numbering only: who is back says anew what is to be heard, for it may have changed."""
        self._playing.silence(endpoint.session)
        self._core.disconnect(endpoint.handle, endpoint.handle)
        for recording in self._by_endpoint.of(endpoint.handle):
            self._core.close_recording(recording.handle)
        self._endpoints.remove(endpoint.handle)
        endpoint.session, endpoint.id, endpoint.resumed = session, name, True
        self._endpoints.add(endpoint)
        address = self._pools[endpoint.ipv6].address
        return protocol.EndpointOpened(name, address, endpoint.port, resumed=True)

    def configure(self, session: Session, command: protocol.ConfigureEndpoint) -> None:
        """Set the far end."""
        event_out, event_in = command.telephone_event, command.telephone_event_in
        if event_in is None:
            event_in = event_out
        try:
            self._core.configure(
                self._endpoints.handle(session, command.endpoint),
                command.address,
                command.port,
                command.payload_type,
                -1 if event_out is None else event_out,
                -1 if event_in is None else event_in,
                command.ptime_ms,
                command.rtcp_port,
                command.sending,
                command.receiving,
                command.nat,
                command.rtcp_mux,
                command.signalling,
                command.srtp_suite,
                command.srtp_send,
                command.srtp_receive,
                *(() if command.coding is None else msgspec.structs.astuple(command.coding)),
            )
        except (ValueError, OverflowError) as error:
            raise CommandRefused(str(error)) from error

    def close_endpoint(self, session: Session, name: int) -> None:
        """Release; EndpointClosed follows."""
        self._core.close(self._endpoints.handle(session, name))

    def connect(self, session: Session, command: protocol.Connect) -> None:
        """Relay between two."""
        a, b = (self._endpoints.handle(session, name) for name in (command.a, command.b))
        self._core.connect(a, b, command.digits)

    def disconnect(self, session: Session, command: protocol.Disconnect) -> None:
        """Stop relaying between two."""
        a, b = (self._endpoints.handle(session, name) for name in (command.a, command.b))
        self._core.disconnect(a, b)

    # Playing

    def play(self, session: Session, command: protocol.Play) -> None:
        """Start the files; Played follows, with the error where they can't be played."""
        self._playing.play(session, command)

    def stop_play(self, session: Session, name: int) -> None:
        """End a playback; one that is over already is left alone."""
        self._playing.stop(session, name)

    # Recording

    def record(self, session: Session, command: protocol.Record) -> None:
        """Start recording; one that resumes a file waits until whoever still writes it has ended."""
        self._recordings.check_new(session, command.recording)
        self._record(session, command, lost=command.elapsed_s > 0 and not self._was_here(session, command))

    def _was_here(self, session: Session, command: protocol.Record) -> bool:
        """Whether it is this very server that had the parties before: what it recorded of them is in the file."""
        handles = (self._endpoints.handle_or_none(session, name) for name in (command.left, command.right))
        endpoints = (self._endpoints.find(handle) for handle in handles)
        return any(endpoint.resumed for endpoint in endpoints if endpoint)

    def _record(self, session: Session, command: protocol.Record, *, lost: bool) -> None:
        earlier = next(iter(self._by_path.of(command.path)), None) if command.elapsed_s else None
        if earlier is None:
            self._record_now(session, command, lost=lost)
            return
        self._core.close_recording(earlier.handle)
        earlier.after.append(partial(self._go_on, session, command, earlier))
        self._waiting[session, command.recording] = earlier.after

    def _go_on(self, session: Session, command: protocol.Record, earlier: _Recording) -> None:
        """In the file that the `earlier` one came to."""
        if earlier.path != command.path:
            session.deliver(protocol.RecordingMoved(command.recording, earlier.path))
        self._record(session, msgspec.structs.replace(command, path=earlier.path), lost=False)

    def _record_now(self, session: Session, command: protocol.Record, *, lost: bool) -> None:
        """`lost`: an earlier server's, which took with it what it had not written."""
        self._waiting.pop((session, command.recording), None)
        left, right = (self._endpoints.handle_or_none(session, name) for name in (command.left, command.right))
        elapsed = round(command.elapsed_s * 1e9)
        try:
            handle = self._core.record(left, right, command.stereo, command.voices, elapsed)
        except RuntimeError as error:
            session.deliver(protocol.Recorded(command.recording, truncated=True, error=str(error)))
            return
        recording = _Recording(session, command.recording, handle, command.path, left, right)
        self._recordings.add(recording)
        self._by_path.add(recording.path, recording)
        for side in (left, right):
            self._by_endpoint.add(side, recording)
        if lost:
            self._hole(recording, "the media server was started anew")
        self._opening[handle] = recording
        resume = command.elapsed_s > 0
        work = partial(open_recording, command.path, stereo=command.stereo, resume=resume)
        most = None if resume else MOST_OPENING  # after a crash all of them come at once
        self._disk.ask(f"open {os.path.dirname(command.path)}", work, partial(self._opened, recording), most)

    def _opened(self, recording: _Recording, outcome: RecordingFile | Exception) -> None:
        """Its file is open or can't be, however long after it began, or ended."""
        if isinstance(outcome, Exception):
            recording.error = f"{recording.path}: {outcome}"
            self._hand_over(recording, None)
            return
        if outcome.path != recording.path:
            log.warning("%s is there already: recording to %s", recording.path, outcome.path)
            self._by_path.discard(recording.path, recording)
            recording.path = outcome.path
            if self._recordings.find(recording.handle):
                self._by_path.add(recording.path, recording)
            recording.session.deliver(protocol.RecordingMoved(recording.id, outcome.path))
        self._hand_over(recording, outcome)

    def _hand_over(self, recording: _Recording, file: RecordingFile | None) -> None:
        if self._stopped:
            if file:
                file.discard()
            return
        try:
            self._core.file(recording.handle, *((file.descriptor, file.written) if file else (-1, 0)))
        except RuntimeError:  # the ring is full
            asyncio.get_running_loop().call_later(RETRY_S, self._hand_over, recording, file)
            return
        del self._opening[recording.handle]
        self._all_open.set()

    def voices(self, session: Session, name: int) -> None:
        """Record the parties' own voices from now on."""
        self._when_begun(session, name, self._core.voices)

    def close_recording(self, session: Session, name: int) -> None:
        """Finalise; Recorded follows."""
        self._when_begun(session, name, self._core.close_recording)

    def _when_begun(self, session: Session, name: int, tell: Callable[[int], None]) -> None:
        """Tell the core of a recording; where that waits for an earlier one, as soon as it has begun."""
        waiting = self._waiting.get((session, name))
        if waiting is None:
            tell(self._recordings.handle_or_none(session, name))
        else:
            waiting.append(lambda: self._when_begun(session, name, tell))

    def close_session(self, session: Session) -> None:
        """Release everything that is still `session`'s."""
        for recording in self._recordings:
            if recording.session is session:
                self._core.close_recording(recording.handle)
        for endpoint in self._endpoints:
            if endpoint.session is session:
                self._core.close(endpoint.handle)

    # Events

    def _read_events(self) -> None:
        for kind, *rest in self._core.events():
            try:
                self._dispatch[kind](*rest)
            except Exception:  # those behind it free ports
                log.exception("event %d of the core came to nothing", kind)

    def _closed(self, handle: int, *figures: Any) -> None:
        endpoint = self._endpoints.remove(handle)
        del self._by_port[endpoint.port, endpoint.ipv6]
        self._pools[endpoint.ipv6].give_back(endpoint.port)
        endpoint.session.deliver(protocol.EndpointClosed(endpoint.id, *figures))

    def _digit(self, handle: int, digit: str) -> None:
        endpoint = self._endpoints[handle]
        endpoint.session.deliver(protocol.Digit(endpoint.id, digit))

    def _silence(self, handle: int, silent: bool) -> None:
        endpoint = self._endpoints[handle]
        endpoint.session.deliver(protocol.Silence(endpoint.id, silent))

    def _truncated(self, handle: int, error: int) -> None:
        recording = self._recordings.find(handle)  # its end may have come by the writer's ring before
        if recording:
            self._hole(recording, os.strerror(error) if error else "the disk does not keep up")

    def _hole(self, recording: _Recording, reason: str) -> None:
        """Told once of each recording."""
        if not recording.truncated:
            recording.truncated = True
            self._recordings_truncated += 1
            log.error("recording has a hole: %s: %s", recording.path, reason)
            recording.session.deliver(protocol.Truncated(recording.id, reason))

    def _recorded(self, handle: int, samples: int, size: int, truncated: bool) -> None:
        recording = self._recordings.remove(handle)
        self._by_path.discard(recording.path, recording)
        for side in (recording.left, recording.right):
            self._by_endpoint.discard(side, recording)
        truncated = truncated or recording.truncated
        if recording.after:  # the file goes on under another recording
            recording.session.deliver(protocol.Recorded(recording.id, samples / 8000, size, truncated=truncated))
            for action in recording.after:
                action()
            return
        if recording.error:
            recording.session.deliver(protocol.Recorded(recording.id, truncated=True, error=recording.error))
            return
        told = partial(self._hashed, recording, samples, size, truncated)
        self._disk.ask(f"hash {os.path.dirname(recording.path)}", partial(hash_recording, recording.path), told)

    def _hashed(self, recording: _Recording, samples: int, size: int, truncated: bool, sha256: str | Exception) -> None:
        """`sha256`: empty where the file is gone."""
        event = protocol.Recorded(recording.id, samples / 8000, size, "", truncated)
        if isinstance(sha256, Exception):
            log.error("recording has no hash: %s: %s", recording.path, sha256)
        elif sha256:
            event = msgspec.structs.replace(event, sha256=sha256)
        else:
            event = protocol.Recorded(recording.id, truncated=True, error=f"{recording.path} is not there any more")
        recording.session.deliver(event)

    def _totals(self, _: int, *counters: int) -> None:
        totals = protocol.Totals(*counters)
        changes = {
            "recordings_truncated": self._recordings_truncated,
            "ports_free": sum(pool.free for pool in self._pools.values()),
            "ports_exhausted": self.ports_exhausted,
        }
        self.on_totals(msgspec.structs.replace(totals, **changes))
