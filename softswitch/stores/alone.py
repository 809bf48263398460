"""One switch a store: a lock beside the database file, held from start to stop; the kernel lifts it after a crash.

A second switch would take the first's live calls for what a crash left open, and close their CDRs. Taken by `app.py`
before it opens the store, and by sqlite.py while it migrates one; the command line's work on the same store is not
held up else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from softswitch.errors import StoreError

SUFFIX = ".lock"


class StoreLock:
    """Held from its making until `close()`."""

    def __init__(self, path: str) -> None:
        """Lock the store of the database file `path`; raises StoreError where another switch works with it."""
        place = path + SUFFIX
        try:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StoreError(f"{place}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode(errors="replace").strip()
            self.close()
            raise StoreError(f"{path}: another switch works with it (pid {holder or 'unknown'})") from None
        except OSError as error:
            self.close()
            raise StoreError(f"{place}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a full disk: nobody can be told who holds it, but it is held
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def close(self) -> None:
        """Let go; idempotent. The file stays: who removed it could remove the next holder's."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
