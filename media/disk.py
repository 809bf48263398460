"""Threads for work that may stand at a disk: what is asked for in one line is done in turn, no line waits for another.

Called by the engine on the event loop's thread, which is told the outcomes. A thread that stands still is waited for by
nobody: it ends with the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

MOST_WAITING = 1024  # in one line

Work = Callable[[], Any]
Told = Callable[[Any], None]


class DiskStandsStill(Exception):
    """So much waits already that one more would not come to its turn."""


class Disk(Protocol):
    """Who does the work."""

    def ask(self, line: str, work: Work, told: Told) -> None:
        """Do `work` when those asked for before in `line` are done; `told` gets what it returned or raised."""


class DiskThreads:
    """A thread for each line, as long as anything waits there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, deque[tuple[Work, Told]]] = {}

    def ask(self, line: str, work: Work, told: Told) -> None:
        """As Disk says; at most MOST_WAITING, more are told DiskStandsStill. Needs a running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            waiting = self._lines.setdefault(line, deque())
            crowded = len(waiting) >= MOST_WAITING
            if not crowded:
                waiting.append((work, told))
            idle = len(waiting) == 1
        if crowded:
            loop.call_soon(told, DiskStandsStill(f"{len(waiting)} files wait for a disk that stands still"))
        elif idle:
            threading.Thread(target=self._serve, args=(loop, line, waiting), name=f"disk {line}", daemon=True).start()

    def _serve(self, loop: asyncio.AbstractEventLoop, line: str, waiting: deque[tuple[Work, Told]]) -> None:
        left = True
        while left:
            work, told = waiting[0]
            outcome = _outcome(work)
            try:
                loop.call_soon_threadsafe(told, outcome)
            except RuntimeError:  # the loop is closed: so will be the process
                return
            with self._lock:
                waiting.popleft()
                left = bool(waiting)
                if not left:
                    del self._lines[line]


def _outcome(work: Work) -> Any:
    try:
        return work()
    except Exception as error:
        return error
