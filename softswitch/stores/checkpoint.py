"""Moves what SQLite has written ahead (WAL) into the database file, beside the thread that has calls to serve.

SQLite's own checkpoint runs inside every thousandth commit and waits for the disk there: some milliseconds in which no
call would be served. https://sqlite.org/wal.html section 3.1. Started by SqliteStore; touches nothing but the file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading

INTERVAL_S = 1.0

# Left to the committing thread as a last resort: under writes without a pause no checkpoint beside them gets to the
# end of the log, and only then can it begin anew.
LAST_RESORT_PAGES = 8000


class Checkpointer:
    """A thread with a connection of its own; `close()` ends it."""

    def __init__(self, path: str, interval_s: float = INTERVAL_S) -> None:
        self._path = path
        self._interval_s = interval_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sqlite-checkpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and wait for it; idempotent."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        # Whatever fails here fails on the call path as well, where it is told.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._path)) as connection:
            while not self._closing.wait(self._interval_s):
                with contextlib.suppress(sqlite3.OperationalError):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
