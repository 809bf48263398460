"""Whether a new call may come in at all: by the event loop's lag, the calls that are up, and what the core holds.

RFC 3261 21.5.4, RFC 5390, RFC 7415 (the idea of a rate that follows the load). Fed and asked by the user agent and its
entrance, with the time. It only judges: it measures and refuses nothing.

While the loop is late new calls are let in at a rate that falls step by step below the one that made it late; when it
is in time again the rate rises until it means nothing any more. What a call costs comes mostly after it was let in, so
an on and off without a rate would let in hundreds too many each time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

IN_A_ROW = 3  # measurements that must all be late: one long turn of the loop is no overload
FAR_TOO_LATE = 4  # times the limit: hardly anybody comes in, whatever the rate
WORKED = 0.25  # of its lag a loop that is late by its own load has worked, also where others use the machine too
CUT, CUT_EVERY_S = 0.9, 0.2  # of the rate, and how long each cut is given to show
GROWTH, ADDED = 0.5, 20.0  # of the rate, and calls a second on top of it, each second in time
MEMORY_S = 0.5  # over which the rate of those let in is measured
AHEAD = 1.5  # times that rate is as far as a rate that means something can have grown
FIRST_CUT = 100.0  # calls a second: where fewer came in, it says nothing of how many could
BURST_S = 0.05  # calls of so many seconds may come in at once
AT_ONCE = 200  # calls between two measurements: what came in one burst must not all come in before it is felt
LEAST_RATE = 10.0  # calls a second: however late it is, so few never made it so (a machine that stood still did)


@dataclass(frozen=True, slots=True)
class OverloadLimits:
    """Beyond any of these new calls are refused; 0 is no limit."""

    lag_s: float = 0.05  # how late the event loop comes to its timers
    calls: int = 0  # up at once
    sessions: int = 100_000  # legs, the ended ones that still wait for an ACK among them
    transactions: int = 200_000
    retry_after_s: int = 5


class Overload:
    """The state of the switch as far as new calls are concerned."""

    def __init__(self, limits: OverloadLimits | None = None, calls: Callable[[], int] = lambda: 0) -> None:
        self.lag_s = 0.0  # as believed now: the least of the latest few
        self.rate = math.inf  # calls a second that may come in
        self.retry_after = f"Retry-After: {(limits or OverloadLimits()).retry_after_s}\r\n"
        self._limits = limits or OverloadLimits()
        self._calls = calls
        self._lags: deque[float] = deque([0.0], maxlen=IN_A_ROW)
        self._late_in_a_row = 0  # measurements
        self._far_too_late = False
        self._measured_at = self._cut_at = self._taken_at = -math.inf
        self._let_in, self._let_in_rate = 0, 0.0
        self._tokens = 0.0

    def note_lag(self, lag_s: float, now: float, worked_s: float = math.inf, *, rested: bool = False) -> None:
        """A timer came so late; since the one before the loop has used the processor for `worked_s`.

        A loop that stood still without work (the machine paused, others had the processor, a disk) is not overloaded:
        it has what came meanwhile to make up for, and no more comes in than before. That is so where it was in time
        before, and as often as it has `rested` meanwhile (waited for something to do): one that has less of the
        processor than it needs works little too, but never rests.
        """
        limit, little = self._limits.lag_s, worked_s < WORKED * lag_s
        stood_still = little and (rested or not self._late_in_a_row)
        self._far_too_late = 0 < limit * FAR_TOO_LATE < lag_s and not stood_still
        self._late_in_a_row = 0 if lag_s <= limit or (little and rested) else self._late_in_a_row + 1
        self._lags.append(lag_s)
        self.lag_s = min(self._lags)
        passed = min(now - self._measured_at, MEMORY_S)
        self._measured_at = now
        let_in, self._let_in = self._let_in, 0
        if self._late:  # what few come in now says nothing of how many could
            self._cut(now)
        else:
            self._let_in_rate += (let_in / max(passed, 1e-3) - self._let_in_rate) * passed / MEMORY_S
            self.rate += (GROWTH * self.rate + ADDED) * passed

    def reason(self, sessions: int, transactions: int, now: float) -> str:
        """Why no new call may come in now: `lag`, `calls` or `memory`; empty where one may, which counts as let in."""
        limits = self._limits
        if limits.calls and self._calls() >= limits.calls:
            return "calls"
        full = limits.sessions and sessions >= limits.sessions
        if full or (limits.transactions and transactions >= limits.transactions):
            return "memory"
        if (self._far_too_late or self.rate < math.inf) and not self._take_token(now):
            return "lag"
        if self._let_in >= AT_ONCE and limits.lag_s:
            return "lag"
        self._let_in += 1
        return ""

    @property
    def _late(self) -> bool:
        return (self._limits.lag_s > 0 and self._late_in_a_row >= IN_A_ROW) or self._far_too_late

    def _cut(self, now: float) -> None:
        if now - self._cut_at >= CUT_EVERY_S:
            self._cut_at = now
            self.rate = max(LEAST_RATE, CUT * min(self.rate, max(FIRST_CUT, AHEAD * self._let_in_rate)))

    def _take_token(self, now: float) -> bool:
        rate = LEAST_RATE if self._far_too_late else self.rate
        size = max(1.0, rate * BURST_S)
        self._tokens = min(size, self._tokens + min(now - self._taken_at, 1.0) * rate)
        self._taken_at = now
        taken = self._tokens >= 1.0
        self._tokens -= taken
        return taken
