"""The embedded store on the call path: SQLite, straight through the stdlib driver in the calling thread.

An indexed look-up is so short that handing it to a worker thread, or an ORM, would cost more (docs/decisions.md).
So the coroutines of `BindingStore` and `CdrStore` never suspend here. `app.py` opens one `SqliteStore` a process;
provisioning.py writes bindings into the same file. All SQL of the call path stands in `CALL_PATH_SQL`, each statement
a primary-key or index look-up. Its connection is never used from a second thread, and no transaction on it outlasts an
operation.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Container, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import msgspec
import structlog

from softswitch.errors import StoreError
from softswitch.interfaces import App, Binding, CallbackRecord, Cdr, FilePlace, Mode, PrivateNumber, TemporaryCallee
from softswitch.stores.alone import StoreLock
from softswitch.stores.checkpoint import LAST_RESORT_PAGES, Checkpointer
from softswitch.stores.schema import REVISION

# A writer that holds the lock longer than this fails the operation rather than the clocks of all calls, and those
# behind it at once.
BUSY_TIMEOUT_MS = 1000

Observe = Callable[[str, float], None]
T = TypeVar("T")

_BINDING = """SELECT id, app_key, mode, bindings.x, a, b, extension, call_direction, created_at, expires_at,
    max_duration_s, last_minute_tone, record, announcement, caller_ringback, callee_ringback, turned_on, callback_tone,
    callback_number, callback_lifetime_s, user_data FROM """
_ALIVE = "(expires_at IS NULL OR expires_at > ?)"
_CDR_COLUMNS = "(call_id, started_at, x, caller, callee, mode, app, failure, finished, record{})"

CALL_PATH_SQL = {
    "private_number": """SELECT x, area_code, city, key, mode, extension_digits, recording
        FROM numbers JOIN apps ON apps.key = numbers.app_key WHERE x = ?""",
    "axb_binding": f"""{_BINDING} binding_parties JOIN bindings USING (seq)
        WHERE binding_parties.x = ? AND party = ? AND {_ALIVE}""",
    "ax_binding": f"{_BINDING} bindings WHERE x = ? AND mode = 'AX' AND {_ALIVE}",
    "axe_binding": f"{_BINDING} bindings WHERE x = ? AND extension = ? AND {_ALIVE}",
    # A may have several extensions on one X: a handful of rows to sort.
    "axe_binding_of": f"""{_BINDING} bindings WHERE x = ? AND a = ? AND mode = 'AXE' AND {_ALIVE}
        ORDER BY created_at DESC, seq DESC LIMIT 1""",
    "latest_caller": "SELECT x, a, caller, at FROM callback_records WHERE x = ? AND a = ?",
    "remember_caller": """INSERT INTO callback_records (x, a, caller, at) VALUES (?, ?, ?, ?)
        ON CONFLICT (x, a) DO UPDATE SET caller = excluded.caller, at = excluded.at""",
    "temporary_callee": """SELECT binding_id, callee, expires_at, user_data FROM temporary_callees
        WHERE binding_id = ? AND expires_at > ?""",
    "consume_temporary_callee": "DELETE FROM temporary_callees WHERE binding_id = ? AND callee = ?",
    # An attempt that was opened, as nearly all: what it was opened with stays, and so do those indexes.
    "finish_attempt": """UPDATE cdrs SET caller = ?, callee = ?, mode = ?, app = ?, failure = ?, finished = 1,
        record = ?, ordinal = ? WHERE call_id = ? AND started_at = ? AND x = ?""",
    # A late "opened" never takes a finished record back.
    "open_attempt": f"""INSERT INTO cdrs {_CDR_COLUMNS.format("")} VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)
        ON CONFLICT (call_id) DO UPDATE SET record = excluded.record WHERE finished = 0""",
    "close_attempt": f"""INSERT INTO cdrs {_CDR_COLUMNS.format(", ordinal")} VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
        ON CONFLICT (call_id) DO UPDATE SET started_at = excluded.started_at, x = excluded.x, caller = excluded.caller,
        callee = excluded.callee, mode = excluded.mode, app = excluded.app, failure = excluded.failure, finished = 1,
        record = excluded.record, ordinal = excluded.ordinal""",
    # As it is in the file: sqlite3 gives up all rows for one whose text is no UTF-8.
    "unfinished_attempts": "SELECT call_id, CAST(record AS BLOB) FROM cdrs WHERE finished = 0",
    "last_ordinal": "SELECT ordinal FROM cdrs WHERE ordinal > 0 ORDER BY ordinal DESC LIMIT 1",
    "filed": "SELECT ordinal, path, file, size, ending FROM cdr_file WHERE id = 1",
    "mark_filed": """INSERT INTO cdr_file (id, ordinal, path, file, size, ending) VALUES (1, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET ordinal = excluded.ordinal, path = excluded.path, file = excluded.file,
        size = excluded.size, ending = excluded.ending""",
    "finished_since": """SELECT call_id, CAST(record AS BLOB) FROM cdrs WHERE ordinal > ? AND ordinal <= ?
        ORDER BY ordinal""",
}

WRITES = frozenset({"open_attempt", "close_attempts", "remember_caller", "consume_temporary_callee", "mark_filed"})

CACHE_MB = 64

log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Cdr).decode


def open_sqlite(
    path: str, *, observe: Observe | None = None, cache_mb: int = CACHE_MB, alone: bool = False
) -> SqliteStore:
    """Open the database file `path`, creating or migrating it first where needed.

    `observe` is told the name and the seconds of every operation; `cache_mb` is the most memory that pages of the file
    take; `alone`: the caller holds its StoreLock. Raises StoreError, also where the file's schema is newer than this
    code, or older and a switch works with it.
    """
    ensure_schema(path, alone=alone)
    return SqliteStore(path, observe=observe, cache_mb=cache_mb)


def ensure_schema(path: str, *, alone: bool = False) -> None:
    """Create or migrate `path` unless it is as it should be; raises StoreError.

    Tables that a running switch may work with are changed by nobody who is not `alone` with them.
    """
    revision = schema_revision(path)
    if revision == REVISION:
        return
    # Alembic takes half a second to import: only where there is something to do.
    from sqlalchemy import URL  # noqa: PLC0415

    from softswitch.stores import migrations  # noqa: PLC0415

    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    earlier = revision in migrations.known_revisions()  # else it is made, or refused
    shared, told = earlier and not alone, earlier and alone  # a command's output is its own
    if told:
        log.warning("store_migrates", path=path, found=revision, wanted=REVISION)
    with closing(StoreLock(path)) if shared else nullcontext():
        migrations.upgrade(URL.create("sqlite", database=path))
    if told:
        log.info("store_migrated", path=path)


def is_there(path: str) -> bool:
    """Whether there is such a file; raises StoreError where this user may not even look."""
    try:
        return Path(path).exists()
    except OSError as error:
        raise StoreError(f"{path} can't be looked for by this user: {error.strerror}") from error


def schema_revision(path: str) -> str | None:
    """The schema revision of an existing file, None where it has none; raises StoreError for what is no database."""
    if not is_there(path):
        return None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        if "no such table" in str(error):
            return None
        raise StoreError(f"{path}: {error}") from error
    finally:
        connection.close()
    return None if row is None else str(row[0])


def app_keys(path: str) -> list[str]:
    """Every app of an existing file; raises StoreError. Reads a whole table: not for the thread that serves calls."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
            return [key for (key,) in connection.execute("SELECT key FROM apps ORDER BY key")]
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


class SqliteStore:
    """Implements `interfaces.BindingStore`, `CdrStore` and `FiledStore` over one connection of the calling thread."""

    def __init__(self, path: str, *, observe: Observe | None = None, cache_mb: int = CACHE_MB) -> None:
        self._path = path
        self._observe = observe
        self._refuses = self._replaced = False
        self._locked = False  # it refused for another writer's lock
        try:
            self._connection = _connect(path, cache_mb)
            self._identity = _identity(path)
            newest = self._execute("last_ordinal", ())
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error
        self.last_ordinal: int = newest[0][0] if newest else 0
        self._checkpointer = Checkpointer(path)

    def close(self) -> None:
        """Release the file; idempotent."""
        self._checkpointer.close()
        self._connection.close()

    def healthy(self) -> bool:
        """Whether the file answers, has its name still, and took what was written last: on a full disk it may be read
        and no more. Where another writer was in the way it is well when that has gone, also before a call writes: else
        whoever sends calls to the healthy alone would send none.
        """
        if self._has_lost_its_name() or (self._refuses and not self._is_free()):
            return False
        try:
            self._connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error:
            return False
        return True

    def _is_free(self) -> bool:
        """Whether the other writer, if it was that, has given the lock back; asked without waiting."""
        if not self._locked:
            return False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def _has_lost_its_name(self) -> bool:
        """Removed, or replaced by another file: what is written to it is gone when the switch stops. Told once."""
        lost = _identity(self._path) != self._identity
        if lost and not self._replaced:
            log.error("store_file_replaced", path=self._path, until="the switch is started again")
        self._replaced = lost
        return lost

    # interfaces.BindingStore

    async def private_number(self, x: str) -> PrivateNumber | None:
        """The pool entry of `x`, or None where no app owns it."""
        row = self._row("private_number", (x,))
        if row is None:
            return None
        app = App(key=row[3], mode=Mode(row[4]), extension_digits=row[5], recording=bool(row[6]))
        return PrivateNumber(x=row[0], app=app, area_code=row[1], city=row[2])

    async def axb_binding(self, x: str, party: str, now: float) -> Binding | None:
        """The AXB binding on `x` in which `party` is A or B."""
        return _binding(self._row("axb_binding", (x, party, now)))

    async def ax_binding(self, x: str, now: float) -> Binding | None:
        """The AX binding of `x`."""
        return _binding(self._row("ax_binding", (x, now)))

    async def axe_binding(self, x: str, extension: str, now: float) -> Binding | None:
        """The AXE binding of (`x`, `extension`)."""
        return _binding(self._row("axe_binding", (x, extension, now)))

    async def axe_binding_of(self, x: str, a: str, now: float) -> Binding | None:
        """The newest AXE binding on `x` whose A is `a`."""
        return _binding(self._row("axe_binding_of", (x, a, now)))

    async def latest_caller(self, x: str, a: str) -> CallbackRecord | None:
        """The newest call-back record of (`x`, `a`), whatever its age."""
        row = self._row("latest_caller", (x, a))
        return None if row is None else CallbackRecord(*row)

    async def remember_caller(self, record: CallbackRecord) -> None:
        """Replace the call-back record of (x, a)."""
        self._row("remember_caller", (record.x, record.a, record.caller, record.at))

    async def temporary_callee(self, binding_id: str, now: float) -> TemporaryCallee | None:
        """The unexpired temporary callee of an AX binding."""
        row = self._row("temporary_callee", (binding_id, now))
        return None if row is None else TemporaryCallee(*row)

    async def consume_temporary_callee(self, binding_id: str, callee: str) -> None:
        """`callee` was reached: it is used up, unless another one has been set meanwhile."""
        self._row("consume_temporary_callee", (binding_id, callee))

    # interfaces.CdrStore

    async def open_attempt(self, cdr: Cdr) -> None:
        """Remember an attempt that has begun."""
        self._row("open_attempt", _cdr_row(cdr))

    async def close_attempts(self, cdrs: Sequence[Cdr]) -> None:
        """Keep the final records of attempts; doing it again changes nothing."""
        self._observed("close_attempts", self._close_all, [_cdr_row(cdr) for cdr in cdrs])

    def _close_all(self, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._connection as connection:  # commits, or takes all back
            connection.execute("BEGIN IMMEDIATE")
            for ordinal, row in enumerate(rows, self.last_ordinal + 1):
                finish = CALL_PATH_SQL["finish_attempt"], (*row[3:], ordinal, *row[:3])
                if not connection.execute(*finish).rowcount:
                    self._execute("close_attempt", (*row, ordinal))
        self.last_ordinal += len(rows)

    async def unfinished_attempts(self) -> list[Cdr]:
        """Attempts that were opened and not closed: those of an earlier run, when called before the first of this.

        What can't be read as one stays open, and the log tells of it: it must not keep the switch from starting.
        """
        rows = self._observed("unfinished_attempts", self._execute, "unfinished_attempts", ())
        return [cdr for row in rows if (cdr := _readable(*row)) is not None]

    # How far the CDR file has what is finished

    def filed(self) -> tuple[int, FilePlace] | None:
        """What `mark_filed` was told last; None where it never was."""
        row = self._row("filed", ())
        return None if row is None else (row[0], FilePlace(*row[1:]))

    def mark_filed(self, ordinal: int, place: FilePlace) -> None:
        """The CDR file has all up to `ordinal`, and lines of later ones only behind `place`."""
        self._row("mark_filed", (ordinal, place.path, place.file, place.size, place.ending))

    def finished_since(self, after: int, upto: int, *, without: Container[str]) -> list[Cdr]:
        """Records finished after ordinal `after`, but for the calls `without`, in their order.

        By a connection of its own, so any thread may ask.
        """
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_MS / 1000)) as connection:
                rows = connection.execute(CALL_PATH_SQL["finished_since"], (after, upto))
                found = (_readable(*row) for row in rows if row[0] not in without)
                return [cdr for cdr in found if cdr is not None]
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _row(self, operation: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        rows = self._observed(operation, self._execute, operation, parameters)
        return rows[0] if rows else None

    def _execute(self, operation: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run one statement of the call path. sqlite3 keeps it prepared, by its text."""
        return self._connection.execute(CALL_PATH_SQL[operation], parameters).fetchall()

    def _observed(self, operation: str, work: Callable[..., T], *arguments: Any) -> T:
        """Do `work` under the name of `operation`; raises StoreError."""
        started = perf_counter()
        try:
            done = work(*arguments)
            if self._refuses and operation in WRITES:
                self._refusing(False)
            return done
        except sqlite3.Error as error:
            if operation in WRITES:
                self._locked = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not self._refuses:
                    self._refusing(True)
            raise StoreError(f"{operation}: {error}") from error
        finally:
            if self._observe is not None:
                self._observe(operation, perf_counter() - started)

    def _refusing(self, refuses: bool) -> None:
        """Who has waited for another writer in vain does not wait again with every call: all would stand still."""
        self._refuses = refuses
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute(f"PRAGMA busy_timeout = {0 if refuses else BUSY_TIMEOUT_MS}")


def decode_cdr(record: str | bytes) -> Cdr:
    """The CDR in a `record` column; raises StoreError where it is none."""
    try:
        return _decode(record)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreError(f"a stored CDR can't be read: {error}") from error


def _readable(call_id: str, record: bytes) -> Cdr | None:
    try:
        return decode_cdr(record)
    except StoreError as error:
        log.error("cdr_unreadable", call_id=call_id, error=str(error))
        return None


def _connect(path: str, cache_mb: int) -> sqlite3.Connection:
    """A connection that commits each statement by itself, in a file that readers and one writer share (WAL)."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000)
    # NORMAL: a power cut may lose the last commits but never corrupts, and a commit waits for no disk.
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        f"PRAGMA cache_size = {-1024 * cache_mb}; PRAGMA wal_autocheckpoint = {LAST_RESORT_PAGES};"
    )
    return connection


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _binding(row: tuple[Any, ...] | None) -> Binding | None:
    if row is None:
        return None
    values = list(row)
    values[2], values[12], values[16] = Mode(row[2]), bool(row[12]), bool(row[16])
    return Binding(*values)


def _cdr_row(cdr: Cdr) -> tuple[Any, ...]:
    return (
        cdr.call_id,
        cdr.call_in_at,
        cdr.x,
        cdr.caller,
        cdr.callee,
        "" if cdr.mode is None else str(cdr.mode),
        cdr.app_key,
        cdr.failure,
        _encode(cdr).decode(),
    )
