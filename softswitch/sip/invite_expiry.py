"""How long a caller lets its INVITE wait for an answer: its Expires header, looked after for it.

RFC 3261 13.3.1 and 20.19. Made by a server session whose INVITE has one. It is woken by the core, reads no clock and
sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipRequest
from softswitch.sip.timing import NEVER

_SECONDS = re.compile(r"[ \t]*([0-9]{1,10})[ \t]*")


def expires_s(invite: SipRequest) -> int:
    """The seconds of its Expires header; 0 where there is none that can be read."""
    match = _SECONDS.fullmatch(invite.headers.get("Expires") or "")
    return int(match.group(1)) if match else 0


class InviteExpiry:
    """Calls `expired` once, when so many seconds are over, unless it is stopped before."""

    __slots__ = ("_expired", "armed", "deadline")

    def __init__(self, core: Endpoint, seconds: int, expired: Callable[[], object]) -> None:
        self.armed = NEVER
        self.deadline = core.now + seconds
        self._expired = expired
        core.arm(self)

    def stop(self) -> None:
        """The INVITE has its final response: let go of whoever waited."""
        self.deadline = NEVER
        self._expired = _nobody

    def wake(self, now: float) -> None:
        """Time is over."""
        expired = self._expired
        self.stop()
        expired()


def _nobody() -> None:
    """Nobody waits any more."""
