"""The media driver that talks to a media server over its Unix socket (media/protocol.py).

Built by app.py, used by the call layer through interfaces.MediaDriver. Commands are written at once and never wait;
when the server goes away the driver connects again with back-off and re-opens what is alive on the same ports.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, cast

import structlog

from media import protocol
from media.disk import DiskThreads
from softswitch.errors import MediaError
from softswitch.interfaces import MediaEndpoint
from softswitch.media_drivers.grouped import Grouped
from softswitch.media_drivers.server_objects import ServerEndpoint, ServerPlayback, ServerRecording
from softswitch.media_drivers.slices import Slices
from softswitch.media_drivers.watch import Watch

FIRST_BACK_OFF_S = 0.05
LONGEST_BACK_OFF_S = 2.0
READ_SIZE = 2048  # some tens of events: each may end a call

log = structlog.get_logger(__name__)


class ServerDriver:
    """Implements MediaDriver with the media server at `socket`.

    `up` tells whether the server answers, `totals` its last counters; `nat` lets endpoints latch on the first sender
    where otherwise only the address counts that SDP named; `advertised` and `advertised6` stand in session descriptions
    in place of the address that ports are bound to. `io`: how the server reads sockets; `workers`: its threads;
    `srtp`: the suites that its endpoints can have; `codecs`: what they speak beside G.711. Where the server has not
    answered for `hung_s` (0: never) the driver calls `on_hung` and parts with it.
    """

    def __init__(
        self,
        socket: str,
        *,
        advertised: str = "",
        advertised6: str = "",
        open_timeout_s: float = 5.0,
        nat: bool = False,
        hung_s: float = 10.0,
        on_hung: Callable[[], None] = lambda: None,
    ) -> None:
        self.up = self.ipv6 = False
        self.io, self.workers = "", 0
        self.srtp: tuple[str, ...] = ()
        self.codecs: tuple[str, ...] = ()
        self.totals = protocol.Totals()
        self.nat = nat
        self.endpoints: Grouped[ServerEndpoint] = Grouped(lambda one: (one.call_id,))
        self.playbacks: Grouped[ServerPlayback] = Grouped(lambda one: one.command.endpoints)
        self.recordings: Grouped[ServerRecording] = Grouped(lambda one: (one.command.left, one.command.right))
        self.disk = DiskThreads()
        self.connections: dict[int, protocol.Connect] = {}  # by either of the two endpoints
        self._socket = socket
        self._advertised = {False: advertised, True: advertised6}
        self._open_timeout_s = open_timeout_s
        self._ids = itertools.count(1)
        self._hung_s, self._on_hung = hung_s, on_hung
        self._watch = Watch(hung_s, self._ask, self._give_up)
        self._opening: dict[int, asyncio.Future[protocol.EndpointOpened]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._welcomed = asyncio.Event()
        self._closing = False
        self._slices = Slices()  # of what all are told, or the server of all; later commands come behind it
        self.silence_s = 60.0
        self._silence_timer: asyncio.TimerHandle | None = None
        self._dispatch: dict[type[protocol.Message], Callable[[Any], None]] = {
            protocol.Welcome: self._on_welcome,
            protocol.EndpointOpened: self._on_opened,
            protocol.EndpointFailed: self._on_failed,
            protocol.EndpointClosed: self._on_closed,
            protocol.Digit: self._on_digit,
            protocol.Silence: self._on_silence,
            protocol.Played: self._on_played,
            protocol.Recorded: self._on_recorded,
            protocol.RecordingMoved: self._on_moved,
            protocol.Truncated: self._on_truncated,
            protocol.Totals: self._on_totals,
            protocol.Pong: lambda event: self._watch.heard(),
            protocol.Refused: self._on_refused,
        }

    @property
    def ways(self) -> tuple[str, int, tuple[str, ...], tuple[str, ...]]:
        """How the server works: io, workers, srtp, codecs."""
        return self.io, self.workers, self.srtp, self.codecs

    async def start(self, *, timeout_s: float = 10.0) -> None:
        """Connect, and stay connected until close(); raises MediaError where no server answers in time."""
        self._task = asyncio.create_task(self._stay_connected(), name="media driver")
        try:
            async with asyncio.timeout(timeout_s):
                await self._welcomed.wait()
        except TimeoutError:
            await self.close()
            raise MediaError(f"no media server answers at {self._socket}") from None

    async def close(self) -> None:
        """Part with the server; everything still open resolves as if the server were away."""
        self._closing = True
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._silence_timer:
            self._silence_timer.cancel()
        self._slices.clear()
        for endpoint in list(self.endpoints.values()):
            endpoint.close()
        for recording in list(self.recordings.values()):
            recording.close()

    # The MediaDriver Protocol

    async def open_endpoint(self, call_id: str, *, ipv6: bool = False) -> MediaEndpoint:
        """A new port pair; raises MediaError where none is free or the server is away."""
        if not self.up:
            raise MediaError("media server is away")
        name = next(self._ids)
        opened = self._opening[name] = asyncio.get_running_loop().create_future()
        self.send(protocol.OpenEndpoint(name, call=call_id, ipv6=ipv6))
        try:
            async with asyncio.timeout(self._open_timeout_s):
                event = await opened
        except TimeoutError:
            self.send(protocol.CloseEndpoint(name))
            raise MediaError("media server does not answer") from None
        except asyncio.CancelledError:
            self.send(protocol.CloseEndpoint(name))
            raise
        finally:
            self._opening.pop(name, None)
        address = self._advertised[ipv6] or event.address
        endpoint = ServerEndpoint(self, name, call_id, address, event.port, ipv6=ipv6)
        self.endpoints[name] = endpoint
        if self._is_parted(call_id):
            endpoint.tell_silence(True, asyncio.get_running_loop().time())
        return endpoint

    def connect(self, a: MediaEndpoint, b: MediaEndpoint, *, digits: bool = True) -> None:
        """Relay between the two from now on; each leaves whom it was connected to."""
        left, right = _own(a), _own(b)
        if left.closed or right.closed:
            return
        self.forget_connections(left.name)
        self.forget_connections(right.name)
        connect = protocol.Connect(left.name, right.name, digits)
        self.connections[left.name] = self.connections[right.name] = connect
        self.send(connect)

    def disconnect(self, a: MediaEndpoint, b: MediaEndpoint) -> None:
        """Stop relaying between the two."""
        left, right = _own(a), _own(b)
        connect = self.connections.get(left.name)
        if connect is not None and connect is self.connections.get(right.name):
            self.forget_connections(left.name)
            self.send(protocol.Disconnect(left.name, right.name))

    def play(
        self,
        endpoints: Sequence[MediaEndpoint],
        files: Sequence[str],
        *,
        loop: bool = False,
        mix: bool = False,
        once: int = 0,
    ) -> ServerPlayback:
        """Play `files`; one that can't be played fails `finished`. Begins when the server is back where it is away."""
        names = tuple(_own(endpoint).name for endpoint in endpoints)
        playback = ServerPlayback(self, protocol.Play(next(self._ids), names, tuple(files), loop, mix, once))
        self.playbacks[playback.command.playback] = playback
        self.send(playback.command)
        return playback

    def record(self, path: str, left: MediaEndpoint, right: MediaEndpoint, *, stereo: bool = False) -> ServerRecording:
        """Record the two; begins when the server is back where it is away."""
        sides = _own(left).name, _own(right).name
        recording = ServerRecording(self, protocol.Record(next(self._ids), path, *sides, stereo=stereo))
        self.recordings[recording.command.recording] = recording
        self.send(recording.command)
        return recording

    # For the objects

    def send(self, command: protocol.Command) -> None:
        """Write `command`; nothing happens while the server is away (it is told all that matters when it is back).

        Never raises, for clean-up calls it: a transport of uvloop that has closed would, before we hear of it.
        """
        if self._slices.waiting:
            self._slices.put([functools.partial(self._write, command)])
        else:
            self._write(command)

    def _write(self, command: protocol.Command) -> None:
        if self.up and self._writer and not self._writer.is_closing():
            self._writer.write(protocol.encode(command))

    def forget_connections(self, name: int) -> None:
        """Endpoint `name` is connected to nobody any more."""
        connect = self.connections.get(name)
        if connect is not None:
            for end in {connect.a, connect.b}:
                del self.connections[end]

    # Connection

    async def _stay_connected(self) -> None:
        back_off = FIRST_BACK_OFF_S
        while True:
            with contextlib.suppress(OSError, protocol.ProtocolError):
                reader, self._writer = await asyncio.open_unix_connection(self._socket)
                try:
                    await self._converse(reader, self._writer)
                finally:
                    back_off = FIRST_BACK_OFF_S if self.up else back_off
                    self._writer.close()
                    self._lost()
            await asyncio.sleep(back_off)
            back_off = min(2 * back_off, LONGEST_BACK_OFF_S)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.encode(protocol.Hello()))
        frames = protocol.FrameBuffer()
        self._watch.begin()
        try:
            while data := await reader.read(READ_SIZE):
                for body in frames.feed(data):
                    self._hear(protocol.decode_event(body))
                await asyncio.sleep(0)  # where much has come, a read does not wait
        finally:
            self._watch.end()

    def _ask(self) -> None:
        self.send(protocol.Ping())

    def _give_up(self) -> None:
        """It takes commands and does nothing: whoever started it may start another, and its calls come back there."""
        log.error("media_server_hangs", socket=self._socket, unanswered_s=self._hung_s, endpoints=len(self.endpoints))
        self._on_hung()
        if self._writer:
            self._writer.transport.abort()

    def _hear(self, event: protocol.Event) -> None:
        """What one call makes of its event must not part all others from their media."""
        try:
            self._dispatch[type(event)](event)
        except Exception:
            log.exception("media_event_failed", kind=type(event).__name__)

    def _lost(self) -> None:
        if not self.up:
            return
        self.up = False
        now = asyncio.get_running_loop().time()
        self._writer = None
        self._slices.clear()
        self._welcomed.clear()
        if not self._closing:
            log.warning("media_server_lost", socket=self._socket, endpoints=len(self.endpoints))
        for opening in list(self._opening.values()):
            if not opening.done():
                opening.set_exception(MediaError("media server went away"))
        for playback in list(self.playbacks.values()):
            playback.server_gone()
        for endpoint in list(self.endpoints.values()):
            endpoint.fall_away(now)
            endpoint.server_gone()
        for playback in list(self.playbacks.values()):
            playback.stop_unheard()
        for recording in list(self.recordings.values()):
            recording.server_gone()
        self._tell_silences()

    def _tell_silences(self) -> None:
        """Nothing is heard while no server has an endpoint's ports, however often one comes and goes meanwhile."""
        loop = asyncio.get_running_loop()
        away = [
            (one, one.away_since) for one in self.endpoints.values() if not one.silent and one.away_since is not None
        ]
        due = loop.time() - self.silence_s
        self._slices.put(functools.partial(one.tell_silence, True, since) for one, since in away if since <= due)
        if later := [since for _, since in away if since > due]:
            self._silence_timer = loop.call_at(min(later) + self.silence_s, self._tell_silences)

    def _on_welcome(self, welcome: protocol.Welcome) -> None:
        self.up = True
        self._watch.heard()  # before it could not be asked
        self.silence_s = welcome.silence_s
        self.io, self.workers, self.ipv6 = welcome.io, welcome.workers, bool(welcome.address6)
        self.srtp = welcome.srtp
        self.codecs = welcome.codecs
        self._welcomed.set()
        if self._silence_timer:
            self._silence_timer.cancel()
            self._silence_timer = None
        self._reopen_all()

    def _reopen_all(self) -> None:
        """Tell the server of all that lives: a long list, behind which the commands of now have to wait."""
        lacking = {name: lack for name, endpoint in self.endpoints.items() if (lack := self._lacks(endpoint))}
        for name in lacking:
            self.forget_connections(name)
        connections = [one for name, one in self.connections.items() if name == one.a]
        commands: list[protocol.Command] = [*connections, *(playback.command for playback in self.playbacks.values())]
        self._slices.clear()
        self._slices.put(
            [
                *(functools.partial(self._reopen, one) for name, one in self.endpoints.items() if name not in lacking),
                *(functools.partial(self._write, command) for command in commands),
                *(functools.partial(self._resume, recording) for recording in self.recordings.values()),
                *(functools.partial(self._lose_lacking, self.endpoints[name], lack) for name, lack in lacking.items()),
            ]
        )

    def _reopen(self, endpoint: ServerEndpoint) -> None:
        self._write(endpoint.reopening())
        if endpoint.configuration:
            self._write(endpoint.configuration)
        if endpoint.silent:  # a new server begins to wait anew
            endpoint.tell_silence(False)

    def _resume(self, recording: ServerRecording) -> None:
        self._write(recording.resumption())

    def _lose_lacking(self, endpoint: ServerEndpoint, lack: str) -> None:
        self._lose(endpoint, f"the server that is back has no {lack}")

    def _lacks(self, endpoint: ServerEndpoint) -> str:
        """What the endpoint needs and the server has not. In clear goes nothing that was to be protected."""
        remote = endpoint.configuration
        needed = (remote.srtp_suite, remote.coding.codec if remote.coding else "") if remote else ()
        return next((one for one in needed if one and one not in (*self.srtp, *self.codecs)), "")

    def _lose(self, endpoint: ServerEndpoint, reason: str) -> None:
        """A server that is back can't have it."""
        log.error("endpoint_lost", reason=reason, call_id=endpoint.call_id)
        self._part(endpoint.call_id, endpoint.lose())

    def _part(self, call_id: str, since: float) -> None:
        """A side of the call is gone: nobody else in it is heard any more."""
        for other in self.endpoints.of(call_id):
            if not other.lost:
                other.tell_silence(True, since)

    def _is_parted(self, call_id: str) -> bool:
        """Whether a side of the call was lost: who comes to it later is not heard either."""
        return any(one.lost for one in self.endpoints.of(call_id))

    # Events

    def _on_opened(self, event: protocol.EndpointOpened) -> None:
        opening = self._opening.get(event.endpoint)
        if opening and not opening.done():
            opening.set_result(event)
        elif event.endpoint in self.endpoints:
            self.endpoints[event.endpoint].come_back()

    def _on_failed(self, event: protocol.EndpointFailed) -> None:
        opening = self._opening.get(event.endpoint)
        if opening and not opening.done():
            opening.set_exception(MediaError(event.reason))
        elif event.endpoint in self.endpoints:
            self._lose(self.endpoints[event.endpoint], event.reason)

    def _on_closed(self, event: protocol.EndpointClosed) -> None:
        endpoint = self.endpoints.pop(event.endpoint, None)
        if endpoint is None:
            return
        if not endpoint.closed:
            log.error("endpoint_lost", reason="the server has closed it", call_id=endpoint.call_id)
            endpoint.tell_silence(True, asyncio.get_running_loop().time())
            self._part(endpoint.call_id, endpoint.silent_since)
        endpoint.report(event)

    def _on_digit(self, event: protocol.Digit) -> None:
        endpoint = self.endpoints.get(event.endpoint)
        if endpoint:
            endpoint.tell_digit(event.digit)

    def _on_silence(self, event: protocol.Silence) -> None:
        endpoint = self.endpoints.get(event.endpoint)
        if endpoint and not self._is_parted(endpoint.call_id):
            endpoint.tell_silence(event.silent)

    def _on_played(self, event: protocol.Played) -> None:
        playback = self.playbacks.pop(event.playback, None)
        if playback:
            playback.report(event)

    def _on_recorded(self, event: protocol.Recorded) -> None:
        recording = self.recordings.pop(event.recording, None)
        if recording:
            recording.report(event)

    def _on_moved(self, event: protocol.RecordingMoved) -> None:
        recording = self.recordings.get(event.recording)
        if recording:
            log.warning("recording_moved", wanted=recording.command.path, path=event.path)
            recording.move(event.path)

    def _on_truncated(self, event: protocol.Truncated) -> None:
        recording = self.recordings.get(event.recording)
        if recording:
            log.error("recording_has_hole", path=recording.command.path, reason=event.reason)

    def _on_totals(self, event: protocol.Totals) -> None:
        self.totals = event

    def _on_refused(self, event: protocol.Refused) -> None:
        log.error("media_command_refused", command=event.command, reason=event.reason)


def _own(endpoint: MediaEndpoint) -> ServerEndpoint:
    return cast(ServerEndpoint, endpoint)
