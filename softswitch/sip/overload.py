"""Whether a new call may come in at all: by the event loop's lag, the calls that are up, and what the core holds.

RFC 3261 21.5.4, RFC 5390. Fed and asked by the user agent's entrance. It only judges: it measures and refuses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

IN_A_ROW = 3  # measurements that must all be late: one long turn of the loop is no overload


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
        self.retry_after = f"Retry-After: {(limits or OverloadLimits()).retry_after_s}\r\n"
        self._limits = limits or OverloadLimits()
        self._calls = calls
        self._lags: deque[float] = deque([0.0], maxlen=IN_A_ROW)

    def note_lag(self, lag_s: float) -> None:
        """A timer came so late. It counts when several did, and no longer when one comes in time."""
        self._lags.append(lag_s)
        self.lag_s = min(self._lags)

    def reason(self, sessions: int, transactions: int) -> str:
        """Why no new call may come in now: `lag`, `calls` or `memory`; empty where one may."""
        limits = self._limits
        if limits.lag_s and self.lag_s > limits.lag_s:
            return "lag"
        if limits.calls and self._calls() >= limits.calls:
            return "calls"
        full = limits.sessions and sessions >= limits.sessions
        return "memory" if full or (limits.transactions and transactions >= limits.transactions) else ""
