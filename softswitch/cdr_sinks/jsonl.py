"""CDRs in a file, one JSON object a line: FeeInfo members (provisioning interface 6.2) and our own in snake_case.

Opened by app.py, written by the call layer when a call is over, read again by `filing.py` after a crash. Log rotation
may move or remove the file at any time: the next line goes to a new one. Never rewrites what is written, never waits
for the disk but where its methods say so.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict, fields

from softswitch.cdr_sinks.fee_info import fee_info
from softswitch.cdr_sinks.look_back import TIMES, filed_since, place_of
from softswitch.errors import StoreError
from softswitch.interfaces import Cdr, Filed, FilePlace
from softswitch.moments import to_millisecond

# Members of Cdr that FeeInfo tells word for word; `sip_status` and all times come again, with more in them.
_IN_FEE_INFO = {
    "direction",
    "app_key",
    "x",
    "binding_id",
    "extension",
    "caller",
    "callee",
    "display",
    "destination",
    "failure",
    "user_data",
    "host",
}
# A pipe that nobody reads, or too slowly, is an error at once: it must hold up no call.
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
UNREAD = "a pipe that nobody reads"
_OWN = [field.name for field in fields(Cdr) if field.name not in _IN_FEE_INFO]
_own = attrgetter(*_OWN)
_encode = msgspec.json.Encoder().encode


class JsonLines:
    """Implements `interfaces.CdrFile`. One `write` of the kernel a line, so that several switches may share a file."""

    def __init__(self, path: str) -> None:
        """Open `path`, making its directory where needed; raises StoreError."""
        self._path = Path(path)
        self._name = str(self._path)  # asked for with each line
        self._file: int | None = None
        self._identity: tuple[int, int] | None = None
        self._moved: list[int] = []  # files that rotation has moved away, not yet synced
        self._torn = False  # its last line was cut short
        try:
            self._open()
        except OSError as error:
            raise self._error(error) from error

    def write(self, cdr: Cdr) -> None:
        """Append one record; raises StoreError."""
        line = _encode(record(cdr)) + b"\n"
        try:
            if self._file is None or self._rotated():
                self._open()
            assert self._file is not None
            if self._torn:
                line = b"\n" + line
            written = os.write(self._file, line)
        except OSError as error:
            raise self._error(error) from error
        self._torn = written < len(line)
        if self._torn:
            raise StoreError(f"{self._path}: the disk is full, CDR {cdr.call_id} is cut short")

    def place(self) -> FilePlace:
        """Where the next line goes; raises StoreError."""
        try:
            if self._file is None:
                self._open()
            assert self._file is not None
            return place_of(self._path, f"/proc/self/fd/{self._file}")
        except OSError as error:
            raise self._error(error) from error

    def to_be_synced(self) -> Callable[[], None]:
        """What has the disk take all that was written by now, where log rotation has moved a file that one too.

        What is never called (no thread is to be had) leaves that to the next.
        """
        return partial(_sync, self._file, self._moved)

    def filed_since(self, place: FilePlace, wanted: Container[str]) -> Filed | None:
        """What stands behind `place`, None where that file is gone; raises StoreError."""
        try:
            return filed_since(place, wanted)
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Release the file; idempotent."""
        if self._file is not None:
            self._moved.append(self._file)
            self._file = None
        for file in _taken(self._moved):
            os.close(file)

    def _rotated(self) -> bool:
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self._identity

    def _open(self) -> None:
        if self._file is not None:
            self._moved.append(self._file)
            self._file = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, FLAGS, 0o640)
        status = os.fstat(self._file)
        self._identity = (status.st_dev, status.st_ino)
        self._torn = stat.S_ISREG(status.st_mode) and self._ends_within_a_line(status.st_size)

    def _ends_within_a_line(self, size: int) -> bool:
        """An earlier run may have found the disk full."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(size - 1, 0))
                return file.read(1) not in (b"", b"\n")
        except OSError:  # it may be written but not read: then nothing is known
            return False

    def _error(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: {UNREAD if error.errno == errno.ENXIO else error.strerror}")


def _sync(open_still: int | None, moved: list[int]) -> None:
    """Have the disk take what was written, and close the files that were moved away.

    What it does not take (a pipe, a disk that fails) it would not take at a second try either. Where `open_still` was
    closed meanwhile its number may be another file's, which a sync does no harm.
    """
    for file in _taken(moved):
        with suppress(OSError):
            os.fsync(file)
        os.close(file)
    if open_still is not None:
        with suppress(OSError):
            os.fsync(open_still)


def _taken(files: list[int]) -> Iterator[int]:
    """Each once, whoever else takes some at the same time: none is closed twice."""
    with suppress(IndexError):
        while True:
            yield files.pop(0)


def record(cdr: Cdr) -> dict[str, Any]:
    """What one line says."""
    line = fee_info(cdr)
    line.update(zip(_OWN, _own(cdr), strict=True))
    line["a"], line["b"] = asdict(cdr.a), asdict(cdr.b)  # with what is at its default, unlike the store's
    for name in TIMES:
        if (moment := line[name]) is not None:
            line[name] = to_millisecond(moment)
    return line
