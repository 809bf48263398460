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
        self._legs = (a, b)
        self._answered_at, self._max_duration_s = answered_at, max_duration_s
        self._warning_s, self._warn = warning_s, warn
        self._timers: list[asyncio.TimerHandle] = []
        self._silent: dict[str, bool] = {}
        self._next_look: asyncio.TimerHandle | None = None  # media tells of a silence once only

    def __enter__(self) -> Supervision:
        loop = asyncio.get_running_loop()
        if self._max_duration_s > 0:
            self._timers.append(loop.call_at(self._answered_at + self._max_duration_s, self.end, FAILURES[8010]))
        if self._max_duration_s > self._warning_s:
            warn_at = self._answered_at + self._max_duration_s - self._warning_s
            self._timers.append(loop.call_at(warn_at, self._warn))
        for leg in self._legs:
            assert leg.endpoint is not None
            leg.endpoint.on_silence = lambda silent, leg=leg: self._on_silence(leg, silent)
            self._silent[leg.name] = leg.endpoint.silent  # media tells of a silence once, and may have done so already
        self._look_for_media(held_before=False)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        for timer in (*self._timers, self._next_look):
            if timer is not None:
                timer.cancel()
        for leg in self._legs:
            assert leg.endpoint is not None
            leg.endpoint.on_silence = None

    def _on_silence(self, leg: Leg, silent: bool) -> None:
        self._silent[leg.name] = silent
        self._look_for_media(held_before=False)

    def _look_for_media(self, *, held_before: bool) -> None:
        """Both silent ends the call; a hold, and the time after it until the next look, excuses them."""
        if self._next_look is not None:
            self._next_look.cancel()
        if not all(self._silent.values()):
            return
        held = any(leg.held for leg in self._legs)
        if held or held_before:
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(LOOK_AGAIN_S, functools.partial(self._look_for_media, held_before=held))
        else:
            self.end(NO_MEDIA)
