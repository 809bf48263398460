"""What is to be woken when: notes, each of a transaction, session or timer to look at, kept by their times.

Called by the core (RFC 3261 17 timers, RFC 4028 session timers, Expires). A deadline that moves later, or away, leaves
its note where it is: most do, and looking too early costs little. No deadline lies farther ahead than `timing.near`
allows, so no note stays for longer than a transaction would. It knows no clock.
"""

from __future__ import annotations

import heapq
from collections import deque

from softswitch.sip.timing import NEVER, Timed


class Deadlines:
    """All notes, earliest first; those of one time in the order in which they came.

    Nearly all that wait are calls that are over, and end at whole quarters of a second: so the heap is of times, few of
    them, and not of the hundred thousand notes.
    """

    __slots__ = ("_notes", "_times", "soonest")

    def __init__(self) -> None:
        self.soonest = NEVER  # no note is of an earlier time
        self._times: list[float] = []  # a heap
        self._notes: dict[float, deque[Timed]] = {}  # of each of them

    def __len__(self) -> int:
        """Notes, those that nobody needs included."""
        return sum(map(len, self._notes.values()))

    def arm(self, timed: Timed) -> None:
        """Note the deadline, unless an earlier note will look at it anyway."""
        at = timed.deadline
        if at < timed.armed:
            timed.armed = at
            notes = self._notes.get(at)
            if notes is not None:
                notes.append(timed)
                return
            self._notes[at] = deque((timed,))
            heapq.heappush(self._times, at)
            self.soonest = min(self.soonest, at)

    def next(self) -> float | None:
        """When to `wake`, or a little before; None where nothing waits."""
        while self._times:
            at = self._times[0]
            notes = self._notes[at]
            if not notes:
                self._drop(at)
            elif notes[0].armed == at and notes[0].deadline <= at:
                self.soonest = at
                return at
            else:
                self._move(notes.popleft(), at)
        self.soonest = NEVER
        return None

    def wake(self, now: float) -> None:
        """Wake everything whose deadline has come. Deadlines that moved since they were noted are noted anew."""
        while self._times and self._times[0] <= now:
            at = self._times[0]
            notes = self._notes[at]
            if not notes:
                self._drop(at)
            while notes:
                timed = notes.popleft()
                if at != timed.armed:
                    continue
                timed.armed = NEVER
                if timed.deadline <= now:
                    timed.wake(now)
                if timed.deadline < timed.armed:
                    self.arm(timed)

    def _move(self, timed: Timed, at: float) -> None:
        """Its deadline moved, or is noted elsewhere already: note it anew where it is now."""
        if at == timed.armed:
            timed.armed = NEVER
            self.arm(timed)

    def _drop(self, at: float) -> None:
        """The earliest time has no notes any more."""
        heapq.heappop(self._times)
        del self._notes[at]
