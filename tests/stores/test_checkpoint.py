"""The checkpoint beside the call path empties the log and ends when told."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from softswitch.stores.checkpoint import LAST_RESORT_PAGES, Checkpointer
from softswitch.stores.sqlite import open_sqlite
from tests.stores.contract import run
from tests.stores.test_sqlite import CDR


class WatchedEvent(threading.Event):
    """Counts the rounds of the thread that waits on it, so that a test can await one without sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.rounds.release()
        return super().wait(timeout)


def test_what_was_written_ahead_gets_into_the_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)")
        writer.execute("INSERT INTO t VALUES (1)")
        event = WatchedEvent()
        checkpointer = Checkpointer.__new__(Checkpointer)
        checkpointer._path, checkpointer._interval_s, checkpointer._closing = str(path), 0.0, event
        thread = threading.Thread(target=checkpointer._run)
        thread.start()
        for _ in range(2):  # the second wait begins when the first round is over
            assert event.rounds.acquire(timeout=60)
        event.set()
        thread.join()
        _busy, written, moved = writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert written == moved
        alone = tmp_path / "copy.db"  # the database file without its log
        alone.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(alone)) as reader:
            assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_closing_ends_the_thread_and_may_be_done_twice(tmp_path: Path) -> None:
    before = threading.active_count()
    checkpointer = Checkpointer(str(tmp_path / "a.db"), interval_s=60)
    checkpointer.close()
    checkpointer.close()
    assert threading.active_count() == before


def test_a_file_that_is_gone_ends_the_thread_quietly(tmp_path: Path) -> None:
    Checkpointer(str(tmp_path / "missing" / "a.db"), interval_s=60).close()


def test_a_store_leaves_only_a_last_resort_to_the_call_path(tmp_path: Path) -> None:
    store = open_sqlite(str(tmp_path / "a.db"))
    run(store.open_attempt(CDR))
    assert store._connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (LAST_RESORT_PAGES,)
    store.close()
