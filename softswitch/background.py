"""Tasks that go on as long as the switch: one that a bug ends is told, in the log and to the health page.

Built and used by `app.py`. Starts none again: nobody knows in what state a bug has left it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Background:
    """The tasks of one switch, by name."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self.whole = True  # no bug has ended any

    def spawn(self, name: str, story: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let `story` go on beside the calls, until it ends or is cancelled."""
        task = asyncio.get_running_loop().create_task(story, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """End what is left; returns when it has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.whole = False
            log.critical("task_died", task=task.get_name(), error=str(error), exc_info=error)
