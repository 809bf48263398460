"""The session timer: how long a call lasts without a sign of life from the other side, and who gives it.

RFC 4028. Each session has one; sessions show it the requests and responses that refresh them and write the header
lines it gives. It is woken by the core, reads no clock and sends nothing.

    2xx            half time                             end
    |--------------| refresher: `due`, and again each eighth |  refresher: `expired`
    |------------------------------------------| other side: `expired`, 32 s or a third before the end
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from softswitch.sip.endpoint import Endpoint
from softswitch.sip.message import SipRequest, SipResponse
from softswitch.sip.timing import NEVER, Timing, near

TIMER = "timer"  # the option tag
MOST_RAISES = 5  # of our smallest interval between two that were agreed: proxies on the way may each want more
LARGEST = 86400  # seconds; a peer that wants more than a day between two signs of life is not followed
_DELTA = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*(?:;(.*))?", re.DOTALL)
_REFRESHER = re.compile(r"(?:^|;)[ \t]*refresher[ \t]*=[ \t]*(ua[cs])[ \t]*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Interval:
    """Session-Expires: `refresher` is "uac", "uas" or, left open, "" (RFC 4028 4)."""

    seconds: int
    refresher: str


def read_interval(message: SipRequest | SipResponse, name: str = "Session-Expires") -> Interval | None:
    """The header's value, None where there is none that can be read."""
    text = message.headers.get(name)
    match = None if text is None else _DELTA.fullmatch(text)
    if match is None:
        return None
    refresher = _REFRESHER.search(match.group(2) or "")
    return Interval(int(match.group(1)), refresher.group(1).lower() if refresher else "")


def knows_timer(message: SipRequest | SipResponse) -> bool:
    """Whether who sent it takes part in session timers."""
    tags = message.headers.all("Supported") + message.headers.all("Require")
    return bool(tags) and TIMER in [tag.lower() for tag in tags]


def is_too_small(request: SipRequest, timing: Timing) -> bool:
    """Whether it asks for an interval below our smallest and can be told so by 422 (RFC 4028 9)."""
    asked = read_interval(request)
    return asked is not None and asked.seconds < timing.min_se and knows_timer(request)


class SessionTimer:
    """One session's. Off, and its lines empty, where the core does not have the extension."""

    __slots__ = (
        "_core",
        "_due",
        "_ends_at",
        "_expired",
        "_interval",
        "_least",
        "_on",
        "_ours",
        "_raises",
        "_refresh_at",
        "armed",
        "deadline",
    )

    def __init__(self, core: Endpoint, due: Callable[[], None], expired: Callable[[], None]) -> None:
        """`due`: send a refresh; told again until one has succeeded. `expired`: there was none in time."""
        self.deadline = self.armed = NEVER
        self._core, self._due, self._expired = core, due, expired
        self._on = TIMER in core.extensions
        self._least, self._raises = core.timing.min_se, 0
        self._interval = core.timing.session_expires  # asked for, or agreed
        self._ours: bool | None = None  # whether we refresh; None: nothing is agreed
        self._ends_at = self._refresh_at = NEVER

    # As UAC

    @property
    def request_lines(self) -> str:
        """Session-Expires and Min-SE for our INVITE, re-INVITE or UPDATE, which leave the refresher who it is (7.4)."""
        if not self._on:
            return ""
        refresher = "" if self._ours is None else f";refresher={'uac' if self._ours else 'uas'}"
        least = f"Min-SE: {self._least}\r\n" if self._least > 90 else ""
        return f"Session-Expires: {max(self._interval, self._least)}{refresher}\r\n{least}"

    def refused(self, response: SipResponse) -> bool:
        """A 422: take the other's smallest interval for ours; False where asking again would not help (7.3)."""
        least = read_interval(response, "Min-SE")
        if not self._on or least is None or not self._least < least.seconds <= LARGEST or self._raises >= MOST_RAISES:
            return False
        self._least, self._raises = least.seconds, self._raises + 1
        return True

    def agreed(self, response: SipResponse) -> None:
        """A 2xx to our INVITE, re-INVITE or UPDATE: without Session-Expires nothing expires (7.2)."""
        agreed = read_interval(response)
        if agreed is None or not self._on:
            self.stop()
        else:
            self._start(agreed.seconds, ours=agreed.refresher != "uas")

    # As UAS

    def answer_lines(self, request: SipRequest) -> str:
        """Session-Expires for the 2xx to the other's INVITE, re-INVITE or UPDATE, which starts the time anew (9)."""
        if not self._on:
            return ""
        known, asked, least = knows_timer(request), read_interval(request), read_interval(request, "Min-SE")
        seconds = max(self._core.timing.session_expires, least.seconds if least else 0)
        if asked is not None:
            seconds = min(seconds, asked.seconds)
        refresher = asked.refresher if known and asked is not None and asked.refresher else "uas"
        self._start(seconds, ours=refresher == "uas")
        required = f"Require: {TIMER}\r\n" if known else ""
        return f"Session-Expires: {self._interval};refresher={refresher}\r\n{required}"

    # The clock

    def stop(self) -> None:
        """Nothing expires any more."""
        self._ours = None
        self.deadline = self._ends_at = self._refresh_at = NEVER

    def close(self) -> None:
        """The call is over: let go of whom to tell."""
        self.stop()
        self._due = self._expired = _nobody

    def wake(self, now: float) -> None:
        """Time to refresh, to try again, to give up, or only to look again."""
        if now >= self._ends_at:
            self.stop()
            self._expired()
        elif now < self._refresh_at:
            self._wait(now)
        else:
            self._refresh_at = now + self._interval / 8
            self._wait(now)
            self._due()

    def _start(self, seconds: int, *, ours: bool) -> None:
        """Never below our smallest, whatever a peer that ignores it says: each refresh costs both sides."""
        core = self._core
        self._interval = seconds = min(max(seconds, core.timing.min_se), LARGEST)
        self._ours, self._raises = ours, 0
        # The one who is not refreshed says BYE a little before the end, while proxies still know the call (10).
        self._ends_at = core.now + seconds - (0 if ours else min(32, seconds / 3))
        self._refresh_at = core.now + seconds / 2 if ours else NEVER
        self._wait(core.now)
        core.arm(self)

    def _wait(self, now: float) -> None:
        self.deadline = near(min(self._refresh_at, self._ends_at), now)


def _nobody() -> None:
    """Nobody is to be told any more."""
