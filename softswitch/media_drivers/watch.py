"""Whether the media server still lives: it is asked every second, and given up when it has not answered for too long.

Used by server.py for as long as it is connected. It ends no process itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_S = 1.0


class Watch:
    """Calls `ask` every second from `begin` to `end`, and `hung` once when nothing is heard for `hung_s` (0: never).

    What counts is how often this loop has asked, not the clock: after a pause of the whole machine the answer comes
    first.
    """

    def __init__(self, hung_s: float, ask: Callable[[], None], hung: Callable[[], None]) -> None:
        self._hung_s, self._ask, self._hung = hung_s, ask, hung
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """From now on."""
        self.heard()
        if self._hung_s:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._look)

    def heard(self) -> None:
        """It lives."""
        self._unanswered = 0

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._unanswered * EVERY_S >= self._hung_s:
            self._hung()
            return
        self._unanswered += 1
        self._ask()
        self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._look)
