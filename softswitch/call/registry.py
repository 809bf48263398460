"""The calls that are up right now: for `softswitch calls`, for the gauges, and for an orderly stop.

Written by the story, read by `api` and `app.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import TracebackType

from softswitch.call.cdr import CallRecord


class Listed:
    """One call, for as long as the block lasts."""

    __slots__ = ("_record", "_registry")

    def __init__(self, registry: CallRegistry, record: CallRecord) -> None:
        self._registry, self._record = registry, record

    def __enter__(self) -> None:
        self._registry.add(self._record)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._registry.remove(self._record)


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

    def listed(self, record: CallRecord) -> Listed:
        """Lists the call for as long as the block lasts."""
        return Listed(self, record)

    # For `Listed`

    def add(self, record: CallRecord) -> None:
        """The call is up."""
        if not self._calls:
            self._empty.clear()
        self._calls[record.call_id] = record

    def remove(self, record: CallRecord) -> None:
        """It is over."""
        del self._calls[record.call_id]
        if not self._calls:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Return when no call is up."""
        await self._empty.wait()
