"""The clock of an answered call: maximum duration, the warning before it, and the silence of both sides.

Call treatment, rows "60 s left", "maximum duration", "no media". Opened by `bridge.py`, watched through `hangup_scope`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from types import TracebackType

from softswitch.call.hangup import Ending
from softswitch.call.leg import Leg
from softswitch.errors import FAILURES, Failure

LOOK_AGAIN_S = 60.0
NO_MEDIA = Failure(7505, 200, 41, "no media from either side")


class Supervision(Ending):
    """Ends (`ended`) when the call's time is up or both sides have fallen silent, never while one is on hold.

    `answered_at` is the loop time of the callee's answer: the talk clock starts there and nothing stops it. `warn` is
    called `warning_s` before the maximum duration.
    """

    name = "switch"

    def __init__(
        self,
        a: Leg,
        b: Leg,
        *,
        answered_at: float,
        max_duration_s: float,
        warning_s: float,
        warn: Callable[[], None],
    ) -> None:
        super().__init__()
        assert a.endpoint is not None
        assert b.endpoint is not None
        self._legs, self._endpoints = (a, b), (a.endpoint, b.endpoint)
        self._answered_at, self._max_duration_s = answered_at, max_duration_s
        self._warning_s, self._warn = warning_s, warn
        self._timer: asyncio.TimerHandle | None = None
        self._next_look: asyncio.TimerHandle | None = None  # media tells of a silence once only

    def __enter__(self) -> Supervision:
        if self._max_duration_s > self._warning_s:
            warn_at = self._answered_at + self._max_duration_s - self._warning_s
            self._timer = asyncio.get_running_loop().call_at(warn_at, self._last_minute)
        elif self._max_duration_s > 0:
            self._limit()
        for endpoint in self._endpoints:
            endpoint.on_silence = self._on_silence
        self._look_for_media(held_before=False)  # media tells of a silence once, and may have done so already
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for timer in (self._timer, self._next_look):
            if timer is not None:
                timer.cancel()
        for endpoint in self._endpoints:
            endpoint.on_silence = None

    def _last_minute(self) -> None:
        self._limit()
        self._warn()

    def _limit(self) -> None:
        ends_at = self._answered_at + self._max_duration_s
        self._timer = asyncio.get_running_loop().call_at(ends_at, self.end, FAILURES[8010])

    def _on_silence(self, silent: bool) -> None:
        self._look_for_media(held_before=False)

    def _look_for_media(self, *, held_before: bool) -> None:
        """Both silent ends the call; a hold, and the time after it until the next look, excuses them."""
        if self._next_look is not None:
            self._next_look.cancel()
        a, b = self._endpoints
        if not (a.silent and b.silent):
            return
        held = any(leg.held for leg in self._legs)
        if held or held_before:
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(LOOK_AGAIN_S, functools.partial(self._look_for_media, held_before=held))
        else:
            self.end(NO_MEDIA)
