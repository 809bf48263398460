"""Reads back what the CDR file says: which calls have a line behind some place, and the record that a line tells.

Called by `jsonl.py`, after a crash. Reads one file from a place on, and the one that has its name by now where it was
rotated meanwhile, with those between; what is no whole line of ours tells nothing. Never writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from msgspec.structs import fields

from softswitch.interfaces import Cdr, Filed, FilePlace

# Members of FeeInfo and the field of Cdr that each tells; all other fields stand in a line under their own names.
_OF_FEE_INFO = {
    "direction": "direction",
    "appKey": "app_key",
    "bindNum": "x",
    "subscriptionId": "binding_id",
    "extendNum": "extension",
    "callerNum": "caller",
    "calleeNum": "callee",
    "fwdDisplayNum": "display",
    "fwdDstNum": "destination",
    "ulFailReason": "failure",
    "hostName": "host",
    "userData": "user_data",
}
_FIELDS = [field.name for field in fields(Cdr)]


ENDING = 256  # bytes that tell one file from another
TIMES = [name for name in _FIELDS if name.endswith("_at") or name in ("announcement_from", "announcement_to")]


def place_of(path: Path, file: str | Path, size: int | None = None) -> FilePlace:
    """The first `size` bytes (or all) of `file`, which goes by the name `path`; nothing of a pipe. Raises OSError."""
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):
        return FilePlace(str(path.absolute()))
    size = status.st_size if size is None else size
    ending = ""
    with suppress(PermissionError), open(file, "rb") as readable:  # it may be written but not read
        readable.seek(max(size - ENDING, 0))
        ending = f"{crc32(readable.read(min(size, ENDING))):08x}"
    return FilePlace(str(path.absolute()), f"{status.st_dev}:{status.st_ino}", size, ending)


def filed_since(place: FilePlace, wanted: Container[str]) -> Filed | None:
    """What stands behind `place`; None where that file is not in its folder any more, or may be written but not read.
    Raises OSError.
    """
    filed, path = Filed(set(), {}), Path(place.path)
    try:
        file = _found(place)
        if file is None:
            return None
        _look_through(file, place.size, filed, wanted)
        if file != path:
            for later in _later(path, file):
                _look_through(later, 0, filed, wanted)
    except PermissionError:
        return None
    return filed


def _later(path: Path, file: Path) -> list[Path]:
    """The files that came behind `file`: it, and they, were rotated, which lets a name begin as it did."""
    since = file.stat().st_mtime
    others = (one for one in _beside(path) if one.name.startswith(path.stem) and one.is_file())
    return [one for one in others if not one.samefile(file) and (one == path or one.stat().st_mtime >= since)]


def _beside(path: Path) -> Iterator[Path]:
    """What is in its folder, also in that which a link names."""
    for folder in {path.parent, path.resolve().parent}:
        yield from folder.iterdir()


def _found(place: FilePlace) -> Path | None:
    """The file under the name that it has by now. A file system may have another device number after a reboot."""
    path, inode = Path(place.path), place.file.rpartition(":")[2]
    for one in (path, *_beside(path)):
        try:
            status = one.stat()
            ours = str(status.st_ino) == inode and status.st_size >= place.size
            if ours and place_of(path, one, place.size).ending == place.ending:
                return one
        except OSError:  # gone meanwhile, or a link to nowhere
            continue
    return None


def _look_through(path: Path, begin: int, filed: Filed, wanted: Container[str]) -> None:
    with path.open("rb") as file:
        file.seek(begin)
        for line in file:
            try:
                call_id = _call_id(line).call_id
                filed.calls.add(call_id)
                if call_id in wanted:
                    filed.wanted[call_id] = cdr_of(line)
            except (msgspec.MsgspecError, UnicodeDecodeError):  # cut short by a full disk, or somebody else's
                continue


class _Line(msgspec.Struct):
    call_id: str


_call_id = msgspec.json.Decoder(_Line).decode


def cdr_of(line: bytes) -> Cdr:
    """The record that was written as `line`; raises MsgspecError where it is none."""
    told = msgspec.json.decode(line, type=dict[str, Any])
    known = {name: value for name, value in told.items() if name in _FIELDS}
    known |= {name: told[member] for member, name in _OF_FEE_INFO.items() if member in told}
    for name in TIMES:
        if isinstance(moment := known.get(name), str):
            known[name] = _epoch(moment)
    return msgspec.convert(known, Cdr)


def _epoch(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from error
