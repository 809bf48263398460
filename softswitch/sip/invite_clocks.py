"""The clocks of an INVITE that waits for its answer: how long its sender lets it, and when to say that we go on.

RFC 3261 13.3.1 and 20.19 (Expires), 13.3.1.1 (a provisional response every minute, or proxies on the way give up). Kept
by server sessions. A countdown is woken by the core, reads no clock and sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipRequest
from softswitch.sip.timing import NEVER, near

REMINDER_S = 60.0  # "MUST send a non-100 provisional response at every minute" (13.3.1.1)

_SECONDS = re.compile(r"[ \t]*([0-9]{1,10})[ \t]*")


def expires_s(invite: SipRequest) -> int:
    """The seconds of its Expires header; 0 where there is none that can be read."""
    match = _SECONDS.fullmatch(invite.headers.get("Expires") or "")
    return int(match.group(1)) if match else 0


class Countdown:
    """Calls `over` when so many seconds are over, once each time that it is started, unless it is stopped before."""

    __slots__ = ("_core", "_ends_at", "_over", "armed", "deadline")

    def __init__(self, core: Endpoint, seconds: float, over: Callable[[], object]) -> None:
        self.deadline = self.armed = NEVER
        self._core, self._over = core, over
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """From now on it is so many seconds."""
        now = self._core.now
        self._ends_at = now + seconds
        self.deadline = near(self._ends_at, now)
        self._core.arm(self)

    def stop(self) -> None:
        """The INVITE has its final response: let go of whoever waited."""
        self.deadline = NEVER
        self._over = _nobody

    def wake(self, now: float) -> None:
        """Time is over, or it is time to look again."""
        if now < self._ends_at:
            self.deadline = near(self._ends_at, now)
        else:
            self.deadline = NEVER
            self._over()


def _nobody() -> None:
    """Nobody waits any more."""
