"""What is to be woken when: one heap of notes, each the time at which to look at a transaction, session or timer.

Called by the core (RFC 3261 17 timers, RFC 4028 session timers, Expires). A deadline that moves later, or away, leaves
its note where it is: most do, and looking too early costs little. No deadline lies farther ahead than `timing.near`
allows, so no note stays for longer than a transaction would. It knows no clock.
"""

from __future__ import annotations

import heapq
from itertools import count

from softswitch.sip.timing import NEVER, Timed


class Deadlines:
    """All notes, earliest first."""

    __slots__ = ("_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._serial = count()

    def __len__(self) -> int:
        """Notes, those that nobody needs included."""
        return len(self._heap)

    def arm(self, timed: Timed) -> None:
        """Note the deadline, unless an earlier note will look at it anyway."""
        if timed.deadline < timed.armed:
            timed.armed = timed.deadline
            heapq.heappush(self._heap, (timed.deadline, next(self._serial), timed))

    def next(self) -> float | None:
        """When to `wake`, or a little before; None where nothing waits."""
        heap = self._heap
        while heap:
            at, _, timed = heap[0]
            if at == timed.armed and timed.deadline <= at:
                return at
            heapq.heappop(heap)  # it moved: note it anew where it is now
            if at == timed.armed:
                timed.armed = NEVER
                self.arm(timed)
        return None

    def wake(self, now: float) -> None:
        """Wake everything whose deadline has come. Deadlines that moved since they were noted are noted anew."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, timed = heapq.heappop(heap)
            if at != timed.armed:
                continue
            timed.armed = NEVER
            if timed.deadline <= now:
                timed.wake(now)
            if timed.deadline < timed.armed:
                self.arm(timed)
