"""A media driver without media: made-up ports, prompts that last as long as their files on the loop's clock.

Used by the tests of the call layer under virtual time, which read `commands` and make things happen (`press`,
`fall_silent`, `die`). Never opens a socket, never writes a file, never waits.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

from media.prompts import PromptCache, PromptError
from media.recorder import WAV_HEADER_BYTES
from softswitch.errors import MediaError
from softswitch.interfaces import (
    EndpointStatistics,
    MediaEndpoint,
    PlayReport,
    RecordingReport,
    RtpRemote,
)

SRTP_SUITES = ("AEAD_AES_256_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
FRAME_S = 0.02
SAMPLES_PER_FRAME = 160
SILENCE_S = 60.0  # the silence time that `fall_silent` ends

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Command:
    """One command the driver was given: `verb` is the method's name, `at` the loop's time; the rest as it applies."""

    verb: str
    at: float
    endpoints: tuple[NullEndpoint, ...] = ()
    files: tuple[str, ...] = ()
    loop: bool = False
    mix: bool = False
    digits: bool = True
    stereo: bool = False
    path: str = ""
    remote: RtpRemote | None = None
    call_id: str = ""
    once: int = 0


@dataclass(eq=False, slots=True)
class NullEndpoint:
    """A made-up endpoint; tests act as its far end by `press`, `fall_silent` and `resume`."""

    driver: NullDriver
    call_id: str
    address: str
    port: int
    statistics: asyncio.Future[EndpointStatistics]
    on_digit: Callable[[str], None] | None = None
    on_silence: Callable[[bool], None] | None = None
    silent: bool = False
    silent_since: float = 0.0
    remote: RtpRemote | None = None
    peer: NullEndpoint | None = None
    playback: NullPlayback | None = None
    recordings: list[NullRecording] = field(default_factory=list)
    closed: bool = False
    told_statistics: EndpointStatistics = field(default_factory=EndpointStatistics)

    def configure(self, remote: RtpRemote) -> None:
        """Remember the far end."""
        if not self.closed:
            self.remote = remote
            self.driver.note("configure", self, remote=remote)

    def close(self) -> None:
        """End playing and recording here and resolve `statistics` with `told_statistics`."""
        if self.closed:
            return
        self.driver.note("close", self)
        self.closed = True
        if self.peer:
            self.peer.peer = None
            self.peer = None
        if self.playback:
            self.playback.leave(self)
        for recording in list(self.recordings):
            recording.close()
        self.driver.forget(self)
        _resolve(self.statistics, self.told_statistics)

    def press(self, digits: str) -> None:
        """The far end presses `digits` one after the other."""
        for digit in digits:
            if self.on_digit and not self.closed:
                self.on_digit(digit)

    def fall_silent(self) -> None:
        """The far end has sent nothing for the silence time."""
        self._tell_silence(True)

    def resume(self) -> None:
        """The far end sends again (or a server would have begun its silence time anew: `configure` alone does not)."""
        self._tell_silence(False)

    def _tell_silence(self, silent: bool) -> None:
        if self.closed:
            return
        self.silent, self.silent_since = silent, asyncio.get_running_loop().time() - SILENCE_S
        if self.on_silence:
            self.on_silence(silent)


class NullPlayback:
    """Prompts that end when their files' time is over; that time begins when the driver is up."""

    def __init__(
        self, driver: NullDriver, endpoints: tuple[NullEndpoint, ...], files: tuple[str, ...], *, loop: bool, mix: bool
    ) -> None:
        self.finished: asyncio.Future[tuple[PlayReport, ...]] = driver.loop.create_future()
        self.files = files
        self.endpoints = endpoints
        self.mix = mix
        self.loop = loop
        self._driver = driver
        self._duration_s = 0.0 if loop else driver.duration_of(files)
        self._started_at: float | None = None
        self._reports: dict[int, PlayReport] = {}
        self._timer: asyncio.TimerHandle | None = None
        if driver.up:
            self.begin()

    def begin(self) -> None:
        """The driver is there to play."""
        if self._started_at is None:
            self._started_at = self._driver.loop.time()
            if not self.loop:
                self._timer = self._driver.loop.call_later(self._duration_s, self._end, True)

    def stop(self) -> None:
        """Stop now; the reports tell it was not completed."""
        if not self.finished.done():
            self._driver.note("stop", *self.endpoints, files=self.files)
            self._end(False)

    def leave(self, endpoint: NullEndpoint) -> None:
        """`endpoint` was closed or is played something else."""
        self._report(endpoint, False)
        if len(self._reports) == len(self.endpoints):
            self._end(False)

    def _end(self, completed: bool) -> None:
        if self._timer:
            self._timer.cancel()
        for endpoint in self.endpoints:
            self._report(endpoint, completed)
        _resolve(self.finished, tuple(self._reports[endpoint.port] for endpoint in self.endpoints))

    def _report(self, endpoint: NullEndpoint, completed: bool) -> None:
        if endpoint.port in self._reports:
            return
        if endpoint.playback is self:
            endpoint.playback = None
        now = self._driver.loop.time()
        started_at = now if self._started_at is None else self._started_at
        played_s = self._duration_s if completed else now - started_at  # whenever the loop came to its end
        frames = round(played_s / FRAME_S)
        first = round(started_at / FRAME_S) * SAMPLES_PER_FRAME & 0xFFFFFFFF
        last = (first + max(frames - 1, 0) * SAMPLES_PER_FRAME) & 0xFFFFFFFF
        self._reports[endpoint.port] = PlayReport(frames, first, last, completed)


class NullRecording:
    """A recording that only keeps time."""

    def __init__(
        self, driver: NullDriver, path: str, sides: tuple[NullEndpoint, NullEndpoint], *, stereo: bool
    ) -> None:
        self.finished: asyncio.Future[RecordingReport] = driver.loop.create_future()
        self.path = path
        self.voices_from: float | None = None
        self._driver = driver
        self._sides = sides
        self._bytes_per_s = 16000 if stereo else 8000
        self._started_at = driver.loop.time()
        for side in sides:
            side.recordings.append(self)

    def voices(self) -> None:
        """Note the moment from which voices are recorded."""
        if not self.finished.done() and self.voices_from is None:
            self.voices_from = self._driver.loop.time()
            self._driver.note("voices", *self._sides, path=self.path)

    def close(self) -> None:
        """Resolve `finished` with a report of the time passed; truncated where the driver is dead."""
        if self.finished.done():
            return
        self._driver.note("close_recording", *self._sides, path=self.path)
        for side in self._sides:
            side.recordings.remove(self)
        duration = self._driver.loop.time() - self._started_at
        size = WAV_HEADER_BYTES + round(duration * self._bytes_per_s)
        sha256 = hashlib.sha256(self.path.encode()).hexdigest()
        _resolve(self.finished, RecordingReport(self.path, duration, size, sha256, truncated=not self._driver.up))


class NullDriver:
    """Implements MediaDriver in the process. `durations` (seconds by file) spares tests the WAV files.

    `commands` is everything it was told (nothing where `journal` is off: a switch that runs for long must not), `up`
    whether it answers.
    """

    def __init__(
        self,
        *,
        durations: Mapping[str, float] | None = None,
        address: str = "127.0.0.1",
        first_port: int = 20000,
        pairs: int = 5000,
        journal: bool = True,
    ) -> None:
        self.commands: list[Command] = []
        self.up = True
        self.ipv6 = False
        self.srtp: tuple[str, ...] = SRTP_SUITES
        self.codecs: tuple[str, ...] = ("G722", "opus")
        self._journal = journal
        self._open: dict[int, NullEndpoint] = {}  # by port
        self._durations = dict(durations or {})
        self._address = address
        self._free_ports = collections.deque(range(first_port, first_port + 2 * pairs, 2))
        self._prompts = PromptCache()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop whose clock counts."""
        return asyncio.get_running_loop()

    @property
    def endpoints(self) -> list[NullEndpoint]:
        """Those that are open, oldest first."""
        return list(self._open.values())

    async def open_endpoint(self, call_id: str, *, ipv6: bool = False) -> NullEndpoint:
        """A made-up port pair; raises MediaError when dead or when all pairs are open."""
        if not self.up:
            raise MediaError("media server is away")
        if not self._free_ports:
            raise MediaError("no free RTP port")
        port = self._free_ports.popleft()
        address = "::1" if ipv6 else self._address
        endpoint = NullEndpoint(self, call_id, address, port, self.loop.create_future())
        self._open[port] = endpoint
        self.note("open_endpoint", endpoint, call_id=call_id)
        return endpoint

    def forget(self, endpoint: NullEndpoint) -> None:
        """Its port is free again, to be taken when all others have been."""
        del self._open[endpoint.port]
        self._free_ports.append(endpoint.port)

    def connect(self, a: MediaEndpoint, b: MediaEndpoint, *, digits: bool = True) -> None:
        """Make the two each other's peers."""
        left, right = _own(a), _own(b)
        self.note("connect", left, right, digits=digits)
        if not (left.closed or right.closed):
            left.peer, right.peer = right, left

    def disconnect(self, a: MediaEndpoint, b: MediaEndpoint) -> None:
        """Part the two."""
        left, right = _own(a), _own(b)
        self.note("disconnect", left, right)
        if left.peer is right:
            left.peer = right.peer = None

    def play(
        self,
        endpoints: Sequence[MediaEndpoint],
        files: Sequence[str],
        *,
        loop: bool = False,
        mix: bool = False,
        once: int = 0,
    ) -> NullPlayback:
        """Play for the files' time, begun when the driver is up; a file that can't be played fails `finished`.

        What played there before ends.
        """
        listeners = tuple(_own(endpoint) for endpoint in endpoints)
        names = tuple(files)
        self.note("play", *listeners, files=names, loop=loop, mix=mix, once=once)
        try:
            playback = NullPlayback(self, listeners, names, loop=loop, mix=mix)
        except PromptError as error:
            return self._failed_playback(listeners, names, MediaError(str(error)))
        for endpoint in listeners:
            if endpoint.playback:
                endpoint.playback.leave(endpoint)
            endpoint.playback = playback
        if all(endpoint.closed for endpoint in listeners):
            playback.stop()
        return playback

    def record(self, path: str, left: MediaEndpoint, right: MediaEndpoint, *, stereo: bool = False) -> NullRecording:
        """Keep the time of a recording."""
        sides = (_own(left), _own(right))
        self.note("record", *sides, path=path, stereo=stereo)
        recording = NullRecording(self, path, sides, stereo=stereo)
        if sides[0].closed or sides[1].closed:
            recording.close()
        return recording

    def die(self) -> None:
        """The media server is gone: what plays, but for loops, ends incomplete; opening fails, until `revive`."""
        self.up = False
        for endpoint in self.endpoints:
            if endpoint.playback and not endpoint.playback.loop:
                endpoint.playback.leave(endpoint)

    def revive(self) -> None:
        """The media server is back with the endpoints that were open, and begins what it was told to play meanwhile."""
        self.up = True
        for endpoint in self.endpoints:
            if endpoint.playback:
                endpoint.playback.begin()

    def verbs(self) -> list[str]:
        """The verbs of `commands` in order, for short assertions."""
        return [command.verb for command in self.commands]

    def duration_of(self, files: Sequence[str]) -> float:
        """Seconds that `files` last; raises PromptError for one that is neither in `durations` nor playable."""
        return sum(
            self._durations[file] if file in self._durations else self._prompts.load(file).duration_s for file in files
        )

    def note(
        self,
        verb: str,
        *endpoints: NullEndpoint,
        files: tuple[str, ...] = (),
        loop: bool = False,
        mix: bool = False,
        digits: bool = True,
        stereo: bool = False,
        path: str = "",
        remote: RtpRemote | None = None,
        call_id: str = "",
        once: int = 0,
    ) -> None:
        """Append to `commands`."""
        if self._journal:
            now = self.loop.time()
            self.commands.append(
                Command(verb, now, endpoints, files, loop, mix, digits, stereo, path, remote, call_id, once),
            )

    def _failed_playback(
        self, listeners: tuple[NullEndpoint, ...], files: tuple[str, ...], error: MediaError
    ) -> NullPlayback:
        playback = NullPlayback(self, listeners, files, loop=True, mix=False)
        playback.finished.set_exception(error)
        playback.finished.exception()  # nobody has to look at it: no "never retrieved" complaint
        return playback


def _own(endpoint: MediaEndpoint) -> NullEndpoint:
    return cast(NullEndpoint, endpoint)


def _resolve(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)
