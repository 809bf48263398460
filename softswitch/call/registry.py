"""The calls that are up right now: for `softswitch calls`, for the gauges, and for an orderly stop.

Written by the story, read by `api` and `app.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from softswitch.call.cdr import CallRecord


class CallRegistry:
    """Live calls by call id."""

    def __init__(self) -> None:
        self._calls: dict[str, CallRecord] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[CallRecord]:
        return iter(tuple(self._calls.values()))

    @contextmanager
    def listed(self, record: CallRecord) -> Iterator[None]:
        """List the call for as long as the block lasts."""
        self._calls[record.call_id] = record
        self._empty.clear()
        try:
            yield
        finally:
            del self._calls[record.call_id]
            if not self._calls:
                self._empty.set()

    async def wait_empty(self) -> None:
        """Return when no call is up."""
        await self._empty.wait()
