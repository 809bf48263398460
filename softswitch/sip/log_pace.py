"""How often a flood may be told: one log line for each reason and ten seconds, which says how many there were.

No RFC. Asked by the entrance and the stream transport with the time; whoever floods us must not flood the log. It never
writes a line itself.
"""

from __future__ import annotations

LOG_EVERY_S = 10.0  # one line for each reason


class LogPace:
    """When each reason was told last (a bounded set of reasons), and how often there had been cause by then."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}

    def since(self, reason: str, count: int, now: float) -> int:
        """How many of `count` in all are new since the last line; 0 where it is too soon for another one."""
        at, before = self._told.get(reason, (now - LOG_EVERY_S, 0))
        if now - at < LOG_EVERY_S:
            return 0
        self._told[reason] = now, count
        return count - before
