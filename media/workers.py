"""The native workers: one thread of the core each, and every call pinned to one of them by its name.

Called by media/engine.py. A handle is the worker's number above the worker's own 32 bits. Never looks into a packet.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from media import _native

log = logging.getLogger(__name__)

SHIFT = 32
OWN = (1 << SHIFT) - 1
MOST_ENDPOINTS = 32768  # of one worker


def _kernel_relay(streams: int, workers: int) -> _native.KernelRelay | None:
    """Room for so many streams in the kernel; None, with a warning, where it takes none."""
    try:
        return _native.KernelRelay(streams, workers)
    except OSError as error:
        log.warning("the kernel relays no streams, all go by sockets: %s", error)
        return None


class OnSeveralWorkers(RuntimeError):
    """What shall be joined belongs to different calls."""


class Workers:
    """`count` workers with room for `capacity` endpoints each; the verbs are those of `_native.Core`."""

    def __init__(
        self, count: int, capacity: int, silence_s: float, io: str, packets_per_s: int, kernel_relay: bool = False
    ) -> None:
        room = min(capacity, MOST_ENDPOINTS)
        self._relay = _kernel_relay(room * count, count) if kernel_relay else None
        self._cores = [
            _native.Core(room, silence_s, io, packets_per_s, self._relay, number * room) for number in range(count)
        ]
        self._totals: list[tuple[int, ...]] = [()] * count

    @property
    def io(self) -> str:
        """How sockets are read and written: "uring" or "epoll"."""
        return self._cores[0].io()

    @property
    def lag_s(self) -> float:
        """How long the worker that is farthest behind has not come to its tick."""
        return max(core.lag() for core in self._cores)

    def take_precedence(self) -> None:
        """RTP before all other work, where the system lets us."""
        granted = [core.take_precedence() for core in self._cores]
        if not all(granted):
            log.warning("real-time scheduling is refused (it needs CAP_SYS_NICE): RTP waits its turn like other work")

    @property
    def descriptors(self) -> list[int]:
        """Readable while events wait."""
        return [core.fileno() for core in self._cores]

    def events(self) -> Iterator[tuple[Any, ...]]:
        """What has happened: tuples that begin with type and handle; totals are those of all workers."""
        for number, core in enumerate(self._cores):
            for event in core.events():
                yield self._event(number, *event)

    def stop(self, seconds: float) -> bool:
        """End the threads; whether all recordings were complete within `seconds`."""
        with ThreadPoolExecutor(len(self._cores)) as threads:
            whole = all(list(threads.map(lambda core: core.stop(max(seconds, 0.0)), self._cores)))
        if self._relay:
            self._relay.detach()
        return whole

    # Endpoints

    def open(self, call: str, rtp: int, rtcp: int, ssrc: int, sequence: int, timestamp: int, cname: int) -> int:
        """The handle of a new endpoint, on the worker that has all of the call named `call`."""
        number = zlib.crc32(call.encode()) % len(self._cores)
        return number << SHIFT | self._cores[number].open(rtp, rtcp, ssrc, sequence, timestamp, cname)

    def configure(self, endpoint: int, *remote: Any) -> None:
        """Set the far end; raises ValueError."""
        self._core(endpoint).configure(endpoint & OWN, *remote)

    def connect(self, a: int, b: int, digits: bool) -> None:
        """Relay between two of one call."""
        self._one(a, b).connect(a & OWN, b & OWN, digits)

    def disconnect(self, a: int, b: int) -> None:
        """Stop relaying between two of one call; from itself: between an endpoint and whomever it has."""
        self._one(a, b).disconnect(a & OWN, b & OWN)

    def close(self, endpoint: int) -> None:
        """Release an endpoint."""
        self._core(endpoint).close(endpoint & OWN)

    # Playing and recording

    def play(self, endpoints: tuple[int, ...], *what: Any) -> int:
        """The handle of a new playback; those of `endpoints` that are gone are 0."""
        core = self._one(*endpoints)
        return self._number(*endpoints) << SHIFT | core.play(tuple(one & OWN for one in endpoints), *what)

    def stop_play(self, playback: int) -> None:
        """End a playback."""
        self._core(playback).stop_play(playback & OWN)

    def record(self, left: int, right: int, *how: Any) -> int:
        """The handle of a new recording, whose file comes later."""
        core = self._one(left, right)
        return self._number(left, right) << SHIFT | core.record(left & OWN, right & OWN, *how)

    def file(self, recording: int, descriptor: int, written: int) -> None:
        """Once of each recording: its open file with the bytes of audio in it, or -1: it is over without one."""
        self._core(recording).file(recording & OWN, descriptor, written)

    def voices(self, recording: int) -> None:
        """Record voices from now on."""
        self._core(recording).voices(recording & OWN)

    def close_recording(self, recording: int) -> None:
        """Finalise a recording."""
        self._core(recording).close_recording(recording & OWN)

    # Which worker

    def _core(self, handle: int) -> _native.Core:
        return self._cores[handle >> SHIFT]

    def _number(self, *handles: int) -> int:
        """The worker of all that are not gone (0); raises OnSeveralWorkers."""
        numbers = {handle >> SHIFT for handle in handles if handle} or {0}
        if len(numbers) > 1:
            raise OnSeveralWorkers("endpoints of different calls can't be joined")
        return numbers.pop()

    def _one(self, *handles: int) -> _native.Core:
        return self._cores[self._number(*handles)]

    def _event(self, number: int, kind: Any, handle: Any, *rest: Any) -> tuple[Any, ...]:
        if kind != _native.TOTALS:
            return kind, number << SHIFT | handle, *rest
        self._totals[number] = rest
        told = [totals for totals in self._totals if totals]
        return kind, handle, *map(sum, zip(*told, strict=True))
