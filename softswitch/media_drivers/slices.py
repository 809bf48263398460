"""Long lists of jobs, some at a time: what else the event loop has to do comes in between.

Used by server.py where a media server's crash or return concerns thousands of endpoints at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

import structlog

AT_ONCE = 25  # each may end a call, which takes a millisecond or so

log = structlog.get_logger(__name__)


class Slices:
    """Jobs in their order: the first ones at once, as many more whenever the event loop has been round."""

    def __init__(self) -> None:
        self._jobs: deque[Callable[[], None]] = deque()
        self._working = False
        self._next: asyncio.Handle | None = None

    @property
    def waiting(self) -> bool:
        """Whether jobs wait: what must not overtake them has to be put behind them."""
        return bool(self._jobs)

    def put(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Do `jobs`, behind those that wait."""
        self._jobs.extend(jobs)
        if self._next is None and not self._working:
            self._work()

    def clear(self) -> None:
        """Forget what waits."""
        self._jobs.clear()

    def _work(self) -> None:
        self._next, self._working = None, True
        for _ in range(AT_ONCE):
            if self._jobs:
                self._do(self._jobs.popleft())
        self._working = False
        if self._jobs:
            self._next = asyncio.get_running_loop().call_soon(self._work)

    def _do(self, job: Callable[[], None]) -> None:
        """What one call makes of it must not keep the others from theirs."""
        try:
            job()
        except Exception:
            log.exception("media_job_failed")
