"""Threads for work that may stand at a disk: what is asked for in one line is done in turn, no line waits for another.

Called by the engine, and by the switch for files of its own, on the event loop's thread, which is told the outcomes. A
thread that stands still is waited for by nobody: it ends with the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
Work = Callable[[], Any]
Told = Callable[[Any], None]


class DiskStandsStill(Exception):
    """So much waits already that one more would not come to its turn."""


class Disk(Protocol):
    """Who does the work."""

    def ask(self, line: str, work: Work, told: Told, most: int | None = None) -> None:
        """Do `work` when those asked for before in `line` are done; `told` gets what it returned or raised, or
        DiskStandsStill where `most` of those that may be refused so wait there already.
        """


@dataclass(slots=True)
class _Line:
    """What waits, and whether it may be refused; how many of those there are."""

    waiting: deque[tuple[Work, Told, bool]] = field(default_factory=deque)
    refusable: int = 0


class DiskThreads:
    """A thread for each line, as long as anything waits there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, _Line] = {}

    def ask(self, line: str, work: Work, told: Told, most: int | None = None) -> None:
        """As Disk says; RuntimeError is told where the system has no more threads. Needs a running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            there = self._lines.setdefault(line, _Line())
            crowded = most is not None and there.refusable >= most
            if not crowded:
                there.waiting.append((work, told, most is not None))
                there.refusable += most is not None
            idle = len(there.waiting) == 1
        if crowded:
            loop.call_soon(told, DiskStandsStill(f"{there.refusable} files wait for a disk that stands still"))
        elif idle:
            self._begin(loop, line, there)

    async def do(self, line: str, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, done as `ask` says."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def told(outcome: Any) -> None:
            if not done.done():
                done.set_result(outcome)

        self.ask(line, work, told)
        outcome = await done
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    async def settle(self, seconds: float) -> None:
        """Return when all is done that was asked for, or after `seconds`."""
        if ends := [asyncio.ensure_future(self.do(line, lambda: None)) for line in list(self._lines)]:
            _, late = await asyncio.wait(ends, timeout=seconds)
            for end in late:
                end.cancel()
        await asyncio.sleep(0)  # what was done before is told by now, also of a line that is no more

    def _begin(self, loop: asyncio.AbstractEventLoop, line: str, there: _Line) -> None:
        thread = threading.Thread(target=self._serve, args=(loop, line, there), name=f"disk {line}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            with self._lock:
                del self._lines[line]
            loop.call_soon(there.waiting[0][1], error)

    def _serve(self, loop: asyncio.AbstractEventLoop, line: str, there: _Line) -> None:
        left = True
        while left:
            work, told, refusable = there.waiting[0]
            outcome = _outcome(work)
            try:
                loop.call_soon_threadsafe(told, outcome)
            except RuntimeError:  # the loop is closed: so will be the process
                return
            with self._lock:
                there.waiting.popleft()
                there.refusable -= refusable
                left = bool(there.waiting)
                if not left:
                    del self._lines[line]


def _outcome(work: Work) -> Any:
    try:
        return work()
    except Exception as error:
        return error
