"""What SIGHUP asks for: files read again by a thread while calls go on, and taken over at once.

Called by app.py, which says what is read and what becomes of it. One reading goes on at a time; who asks meanwhile gets
another behind it. A disk that stands still holds up neither calls nor the end of the switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from media.disk import DiskThreads

SLOW_S = 10.0  # a reading that takes longer is told, once

Files = TypeVar("Files")

log = structlog.get_logger(__name__)


class Reloading(Generic[Files]):
    """`read` works in a thread of `disk`, `take` on the loop; `refuse` is told what either raises."""

    def __init__(
        self,
        disk: DiskThreads,
        read: Callable[[], Files],
        take: Callable[[Files], None],
        refuse: Callable[[Exception], None],
    ) -> None:
        self._disk = disk
        self._read, self._take, self._refuse = read, take, refuse
        self._may_begin = asyncio.Event()
        self._wanted = self._ended = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """From now on; what was asked for before is done now."""
        self._may_begin.set()

    def ask(self) -> asyncio.Task[None]:
        """Read again, also where a reading is under way: files may have changed behind it. What is done when all is."""
        self._wanted = not self._ended
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._reload(), name="reload")
        return self._task

    def end(self) -> None:
        """Take nothing over any more."""
        self._wanted, self._ended = False, True
        if self._task is not None:
            self._task.cancel()

    async def _reload(self) -> None:
        while self._wanted:
            await self._may_begin.wait()
            self._wanted = False  # from here on a file that changes may have been read
            slow = asyncio.get_running_loop().call_later(SLOW_S, log.warning, "reload_waits_for_files")
            try:
                self._take(await self._disk.do("reload", self._read))
            except Exception as error:  # no thread to be had, say: the next one may be better off
                self._refuse(error)
            finally:
                slow.cancel()
