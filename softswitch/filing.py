"""Sees to it that the CDR file has one line of each finished record, whatever crash or full disk came between.

Call treatment, "The CDR". The store numbers records as they are finished, and is told every few seconds how far the
file has them (on the disk, so that a power cut changes nothing) and where its end was. What is finished behind that
number and has no line behind that place is written again: at the start, or when the file had refused something. Built
and called by `app.py`; adds no statement to a call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Container, Iterator, Sequence
from functools import partial
from itertools import pairwise

import structlog

from media.disk import DiskThreads
from softswitch.call.cdr import CdrWriter
from softswitch.errors import StoreError
from softswitch.interfaces import Cdr, CdrFile, Filed, FiledStore, FilePlace

MARK_EVERY_S, LONGEST_PAUSE_S = 5.0, 300.0  # the longer, the longer the file has refused what is missing
AT_ONCE = 100  # records filed late before calls get the loop
NAMED = 20  # calls in one line of the log
LINE = "cdr file"  # of the disk's threads

log = structlog.get_logger(__name__)


class Filing:
    """Between a store and a CDR file; without a file it notes that none of what is finished is missing there."""

    def __init__(
        self, store: FiledStore, file: CdrFile | None, writer: CdrWriter, crashed: Callable[[list[Cdr]], object]
    ) -> None:
        """`crashed` is told of calls left open that have no line, where that came out only after `begin`."""
        self._store, self._file, self._writer = store, file, writer
        self._crashed, self._unsure = crashed, list[Cdr]()  # left open, whether with a line or not
        self._disk = DiskThreads()  # which the end of the process does not wait for
        self._begun = False
        self._first = 0  # the last ordinal of earlier runs
        self._behind = True  # lines may be missing
        self._refused = 0  # lines that the file had refused when none was missing
        self._marked: tuple[int, str] | None = None  # ordinal and file
        self._pause_s = MARK_EVERY_S

    async def begin(self, left_open: Sequence[Cdr]) -> list[Cdr]:
        """Before the first call: file what an earlier run has not; returns those `left_open` that have no line.

        A record has its line and is open in the store where that refused it up to the end: it is closed with what the
        line says. As long as the file can't be read nobody knows: they stay open until then.
        """
        crashed: list[Cdr] = []
        self._unsure = list(left_open)
        with self._told():
            self._first = self._store.last_ordinal
            crashed = await self._look_through(self._first)
        self._begun = True  # not where a stop cuts this short: then the lines of `left_open` are still to be found
        if not self._behind:
            with self._told():
                await self._mark()
        return crashed

    async def run(self) -> None:
        """Mark every few seconds how far all is filed, until cancelled."""
        while True:
            await asyncio.sleep(self._pause_s)
            await self.mark()

    async def mark(self) -> None:
        """Mark how far all is filed, after what is missing was; to be called also behind the last record."""
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        with self._told():
            await self._mark()
            self._pause_s = MARK_EVERY_S

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # also that no thread is to be had: the next mark may be better off
            trouble = {} if isinstance(error, StoreError) else {"exc_info": error}
            log.error("cdr_file_behind", error=str(error), **trouble)

    async def _mark(self) -> None:
        if not self._begun or not self._writer.settled:  # after a crash the lines of what the store refuses are needed
            return
        ordinal, refused = self._store.last_ordinal, self._writer.refused["sink"]
        place = FilePlace() if self._file is None else self._file.place()
        if self._behind or refused != self._refused:
            if crashed := await self._look_through(ordinal):
                self._crashed(crashed)
            self._refused = refused
        if (ordinal, place.file) != self._marked and self._writer.settled:
            if self._file is not None:
                await self._disk.do(LINE, self._file.to_be_synced())
            self._store.mark_filed(ordinal, place)
            self._marked = ordinal, place.file

    async def _look_through(self, upto: int) -> list[Cdr]:
        """File what is missing of the records up to `upto`; returns what was left open and has no line."""
        filed = await self._catch_up(upto, {cdr.call_id for cdr in self._unsure})
        crashed = [cdr for cdr in self._unsure if cdr.call_id not in filed]
        self._behind, self._unsure = False, []
        self._writer.store_filed(list(filed.values()))
        return crashed

    async def _catch_up(self, upto: int, wanted: Container[str]) -> dict[str, Cdr]:
        """File what is missing of the records up to `upto`; returns those `wanted` that have a line. Raises StoreError.

        Whether an earlier run had written what a file that is gone (or a pipe) had to tell nobody knows, and none shall
        have two lines; of its own records this run knows which it could not write.
        """
        marked = self._store.filed()
        if self._file is None or marked is None or marked[1].path != self._file.place().path:
            return {}
        after, place = marked
        filed = await self._disk.do(LINE, partial(self._file.filed_since, place, wanted))
        known = Filed(set(), {}) if filed is None else filed
        late: list[str] = []
        unknown: list[str] = []
        for begin, end in pairwise(_steps(after, self._first, upto)):
            missing = partial(self._store.finished_since, begin, end, without=known.calls)
            for cdr in await self._disk.do(LINE, missing):
                if filed is None and cdr.call_id not in self._writer.unfiled:
                    if begin < self._first or not self._writer.knows_unfiled:
                        unknown.append(cdr.call_id)
                    continue
                self._file.write(cdr)
                self._writer.unfiled.discard(cdr.call_id)
                late.append(cdr.call_id)
        for event, calls in (("cdrs_filed_late", late), ("cdrs_perhaps_not_filed", unknown)):
            if calls:
                log.warning(event, count=len(calls), calls=calls[:NAMED])
        return known.wanted


def _steps(after: int, first: int, upto: int) -> list[int]:
    """From `after` to `upto`, not too far at once; `first` is one of them where it lies between."""
    return sorted({*range(after, upto, AT_ONCE), upto, min(max(first, after), upto)})
