"""CDRs in a file, one JSON object a line: FeeInfo members (provisioning interface 6.2) and our own in snake_case.

Opened by app.py, written by the call layer when a call is over. Log rotation may move or remove the file at any time:
the next line goes to a new one. Never rewrites what is written, never waits for the disk.
"""

from __future__ import annotations

import os
import stat
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import fields

from softswitch.cdr_sinks.fee_info import fee_info
from softswitch.errors import StoreError
from softswitch.interfaces import Cdr
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
    "record",
    "user_data",
    "host",
}
_OWN = [field.name for field in fields(Cdr) if field.name not in _IN_FEE_INFO]
_own = attrgetter(*_OWN)
_TIMES = [name for name in _OWN if name.endswith("_at") or name in ("announcement_from", "announcement_to")]


class JsonLines:
    """Implements `interfaces.CdrSink`. One `write` of the kernel a line, so that several switches may share a file."""

    def __init__(self, path: str) -> None:
        """Open `path`, making its directory where needed; raises StoreError."""
        self._path = Path(path)
        self._file: int | None = None
        self._identity: tuple[int, int] | None = None
        self._torn = False  # its last line was cut short
        try:
            self._open()
        except OSError as error:
            raise self._error(error) from error

    def write(self, cdr: Cdr) -> None:
        """Append one record; raises StoreError."""
        line = msgspec.json.encode(record(cdr)) + b"\n"
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

    def close(self) -> None:
        """Release the file; idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _rotated(self) -> bool:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self._identity

    def _open(self) -> None:
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
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
        return StoreError(f"{self._path}: {error.strerror}")


def record(cdr: Cdr) -> dict[str, Any]:
    """What one line says."""
    line: dict[str, Any] = dict(fee_info(cdr))
    line.update(zip(_OWN, _own(cdr), strict=True))
    for name in _TIMES:
        if (moment := line[name]) is not None:
            line[name] = to_millisecond(moment)
    return line
