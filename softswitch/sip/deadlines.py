"""What is to be woken when: one heap of notes, each the time at which to look at a transaction, session or timer.

Called by the core (RFC 3261 17 timers, RFC 4028 session timers, Expires). A deadline that moves later, or away, leaves
its note where it is: most do, and looking too early costs little. But a session timer's would stay for a quarter of an
hour after its call; so notes that nobody needs are swept out whenever they may be half of all. It knows no clock.
"""

from __future__ import annotations

import heapq
from itertools import count

from softswitch.sip.timing import NEVER, Timed

SWEEP_FROM = 1024  # notes; fewer are not worth a look


class Deadlines:
    """Never more than twice the notes that are needed, and `SWEEP_FROM`."""

    __slots__ = ("_heap", "_serial", "_sweep_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._serial = count()
        self._sweep_at = SWEEP_FROM

    def __len__(self) -> int:
        """Notes, those that nobody needs included."""
        return len(self._heap)

    def arm(self, timed: Timed) -> None:
        """Note the deadline, unless an earlier note will look at it anyway."""
        if timed.deadline < timed.armed:
            timed.armed = timed.deadline
            heapq.heappush(self._heap, (timed.deadline, next(self._serial), timed))
            if len(self._heap) > self._sweep_at:
                self._sweep()

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

    def _sweep(self) -> None:
        """Keep the notes of those that still wait, each at its time."""
        needed = []
        for at, serial, timed in self._heap:
            if at == timed.armed:
                timed.armed = timed.deadline
                if timed.deadline < NEVER:
                    needed.append((timed.deadline, serial, timed))
        heapq.heapify(needed)
        self._heap[:] = needed  # in place: `wake` may be on its way through it
        self._sweep_at = max(2 * len(needed), SWEEP_FROM)
