"""A store and a CDR file that outlive runs of a switch, for tests of what a crash must not cost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from softswitch.call.cdr import CdrWriter
from softswitch.cdr_sinks.jsonl import JsonLines
from softswitch.filing import Filing
from softswitch.interfaces import Cdr
from softswitch.stores.sqlite import SqliteStore, open_sqlite
from tests.cdr_sinks.test_fee_info import ANSWERED


class Machine:
    """What outlives a crash of the switch: the store's database and the CDR file."""

    def __init__(self, folder: Path) -> None:
        self.database, self.path = folder / "switch.db", folder / "cdr.jsonl"

    @asynccontextmanager
    async def switch(self, *, file: bool = True) -> AsyncIterator[Run]:
        """One run of the switch up to a crash (`kill -9`): what is not written by then never is."""
        store = open_sqlite(str(self.database))
        sink = JsonLines(str(self.path)) if file else None
        run = Run(store, sink)
        run.left_open = await run.filing.begin(await run.writer.left_open())
        try:
            yield run
        finally:
            store.close()
            if sink is not None:
                sink.close()

    def filed(self, *files: Path) -> list[str]:
        lines = [line for file in files or (self.path,) for line in file.read_text().splitlines()]
        return [json.loads(line)["call_id"] for line in lines if line.endswith("}")]


class Run:
    def __init__(self, store: SqliteStore, sink: JsonLines | None) -> None:
        self.store, self.sink = store, sink
        self.writer = CdrWriter(store, [] if sink is None else [sink])
        self.found_later: list[Cdr] = []
        self.filing = Filing(store, sink, self.writer, self.found_later.extend)
        self.left_open: list[Cdr] = []

    async def close(self, *calls: str) -> None:
        """The writer's way."""
        await self.writer._write([cdr(call) for call in calls])

    async def close_in_the_store_alone(self, *calls: str) -> None:
        """A crash comes before the lines."""
        await self.store.close_attempts([cdr(call) for call in calls])


def cdr(call_id: str) -> Cdr:
    return replace(ANSWERED, call_id=call_id)
