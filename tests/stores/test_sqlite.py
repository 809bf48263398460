"""The embedded store: the BindingStore contract, attempts that survive a crash, plans without scans, clear errors."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace
from sqlalchemy import insert
from structlog.testing import capture_logs

from softswitch.errors import StoreError
from softswitch.interfaces import App, Binding, Cdr, FilePlace, LegReport, Mode, PrivateNumber, TemporaryCallee
from softswitch.stores import sqlite
from softswitch.stores.alone import StoreLock
from softswitch.stores.provisioning import sqlite_engine
from softswitch.stores.rows import insert_binding
from softswitch.stores.schema import REVISION, apps, numbers, temporary_callees
from softswitch.stores.sqlite import (
    CALL_PATH_SQL,
    SqliteStore,
    app_keys,
    ensure_schema,
    open_sqlite,
    schema_revision,
)
from tests.stores.contract import NOW, B, BindingStoreContract, X, run

CDR = Cdr(
    "call-1",
    mode=Mode.AXB,
    app_key="shop",
    x=X,
    caller=B,
    callee=X,
    call_in_at=NOW,
    failure=8014,
    words="无绑定",
    b=LegReport(trunk="t2", packets_lost=3, jitter_ms=1.5),
)


class SqliteScene:
    """Sets the scene through SQLAlchemy, as another process would."""

    def __init__(self, path: Path) -> None:
        self.engine = sqlite_engine(str(path))

    def add_number(self, number: PrivateNumber) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(apps).values(asdict(number.app)))
            connection.execute(
                insert(numbers).values(x=number.x, app_key=number.app.key, area_code=number.area_code, city=number.city)
            )

    def add(self, binding: Binding) -> Binding:
        with self.engine.begin() as connection:
            insert_binding(connection, binding)
        return binding

    def set_callee(self, binding_id: str, callee: str, *, expires_at: float, user_data: str = "") -> TemporaryCallee:
        record = TemporaryCallee(binding_id, callee, expires_at, user_data)
        with self.engine.begin() as connection:
            connection.execute(insert(temporary_callees).values(asdict(record)))
        return record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "switch?50%.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = open_sqlite(str(path))
    yield store
    store.close()


class TestSqliteStore(BindingStoreContract):
    @pytest.fixture
    def scene(self, path: Path, store: SqliteStore) -> Iterator[SqliteScene]:
        scene = SqliteScene(path)
        yield scene
        scene.engine.dispose()


def test_an_opened_attempt_is_unfinished_after_a_crash(path: Path, store: SqliteStore) -> None:
    run(store.open_attempt(CDR))
    run(store.open_attempt(replace(CDR, call_id="call-2")))
    run(store.close_attempts([replace(CDR, call_id="call-2", ended_at=NOW + 9)]))
    store.close()
    after = open_sqlite(str(path))
    assert run(after.unfinished_attempts()) == [CDR]
    run(after.close_attempts([CDR]))
    assert run(after.unfinished_attempts()) == []
    after.close()


def test_what_is_at_its_default_takes_no_room_and_is_read_again(path: Path, store: SqliteStore) -> None:
    cdr = Cdr("call-1", x=X, a=LegReport(trunk="in"))
    run(store.open_attempt(cdr))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        ((text,),) = connection.execute("SELECT record FROM cdrs")
    assert json.loads(text) == {"call_id": "call-1", "x": X, "a": {"trunk": "in"}}
    assert run(store.unfinished_attempts()) == [cdr]


def test_closing_an_attempt_again_keeps_one_record_with_the_last_word(path: Path, store: SqliteStore) -> None:
    run(store.close_attempts([CDR]))  # never opened
    run(store.open_attempt(CDR))  # late: takes nothing back
    run(store.close_attempts([replace(CDR, failure=8102)]))
    run(store.close_attempts([replace(CDR, failure=8102)]))
    assert run(store.unfinished_attempts()) == []
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT call_id, started_at, x, caller, mode, app, failure FROM cdrs").fetchall()
    connection.close()
    assert rows == [("call-1", NOW, X, B, "AXB", "shop", 8102)]


def test_several_records_are_kept_all_or_none(path: Path) -> None:
    store = open_sqlite(str(path))
    for name in ("one", "two"):
        run(store.open_attempt(replace(CDR, call_id=name)))
    impossible = replace(CDR, call_id="two", failure=1 << 63)  # more than SQLite's INTEGER takes
    with pytest.raises(OverflowError):
        run(store.close_attempts([replace(CDR, call_id="one"), impossible]))
    assert [cdr.call_id for cdr in run(store.unfinished_attempts())] == ["one", "two"]
    run(store.close_attempts([replace(CDR, call_id=name) for name in ("one", "two")]))
    assert run(store.unfinished_attempts()) == []
    store.close()


def test_a_call_costs_as_many_statements_as_it_has_words_and_a_share_of_one_transaction(store: SqliteStore) -> None:
    """Begun, answered, over: what is kept of the CDR file is no statement more."""
    told: list[str] = []
    calls = [replace(CDR, call_id=name) for name in ("one", "two", "three")]
    store._connection.set_trace_callback(told.append)
    for cdr in calls:
        run(store.open_attempt(cdr))
        run(store.open_attempt(cdr))
    run(store.close_attempts(calls))
    assert [statement.split()[0] for statement in told] == ["INSERT"] * 6 + ["BEGIN"] + ["UPDATE"] * 3 + ["COMMIT"]


def test_records_are_numbered_as_they_are_finished_and_read_again_by_their_numbers(path: Path) -> None:
    store = open_sqlite(str(path))
    for name in ("one", "two", "three"):
        run(store.open_attempt(replace(CDR, call_id=name)))
    run(store.close_attempts([replace(CDR, call_id=name) for name in ("three", "never opened")]))
    assert store.last_ordinal == 2
    store.close()
    store = open_sqlite(str(path))
    run(store.close_attempts([replace(CDR, call_id="one")]))
    found = store.finished_since(1, store.last_ordinal, without=())
    assert [cdr.call_id for cdr in found] == ["never opened", "one"]
    assert [cdr.call_id for cdr in store.finished_since(0, 2, without={"never opened"})] == ["three"]
    store.close()
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"switch\?50%\.db: file is not a database"):
        store.finished_since(0, 2, without=())


def test_how_far_the_cdr_file_has_them_is_kept(path: Path) -> None:
    store = open_sqlite(str(path))
    assert store.filed() is None
    store.mark_filed(7, FilePlace("/cdr.jsonl", "1:2", 30, "ab"))
    store.mark_filed(8, FilePlace("/cdr.jsonl", f"1:{1 << 64}", 40, "cd"))  # more than SQLite's INTEGER takes
    store.close()
    store = open_sqlite(str(path))
    assert store.filed() == (8, FilePlace("/cdr.jsonl", f"1:{1 << 64}", 40, "cd"))
    store.close()


def test_an_attempt_opened_again_keeps_what_is_known_by_then(store: SqliteStore) -> None:
    run(store.open_attempt(replace(CDR, mode=None, x="")))
    run(store.open_attempt(CDR))
    assert run(store.unfinished_attempts()) == [CDR]


@pytest.mark.parametrize("operation", sorted(CALL_PATH_SQL))
def test_no_statement_of_the_call_path_scans_a_table(path: Path, store: SqliteStore, operation: str) -> None:
    connection = sqlite3.connect(path)
    statement = CALL_PATH_SQL[operation]
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1,) * statement.count("?"))]
    connection.close()
    assert not [step for step in plan if "SCAN" in step]
    assert plan or statement.startswith("INSERT")


def test_each_operation_never_suspends_and_is_timed(path: Path, store: SqliteStore) -> None:
    seen: list[tuple[str, float]] = []
    timed = open_sqlite(str(path), observe=lambda operation, seconds: seen.append((operation, seconds)))
    with pytest.raises(StopIteration):
        timed.ax_binding(X, NOW).send(None)
    with pytest.raises(StopIteration):
        timed.close_attempts([CDR]).send(None)
    assert [operation for operation, _ in seen] == ["ax_binding", "close_attempts"]
    assert all(0 < seconds < 1 for _, seconds in seen)
    timed.close()


def test_a_binding_made_by_another_connection_is_seen_at_once(path: Path, store: SqliteStore) -> None:
    assert run(store.ax_binding(X, NOW)) is None
    scene = SqliteScene(path)
    binding = scene.add(Binding("1", "app", Mode.AX, X, B, created_at=NOW))
    assert run(store.ax_binding(X, NOW)) == binding
    scene.engine.dispose()


def test_a_writer_elsewhere_delays_no_look_up_and_fails_a_write_only_after_the_time_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 20)
    store = open_sqlite(str(path))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert run(store.ax_binding(X, NOW)) is None
    with pytest.raises(StoreError, match="open_attempt: database is locked"):
        run(store.open_attempt(CDR))
    other.execute("COMMIT")
    run(store.open_attempt(CDR))
    other.close()
    store.close()


@pytest.mark.parametrize("fate", ["removed", "replaced"])
def test_a_file_that_is_taken_from_below_the_switch_is_told_once_and_is_not_well(path: Path, fate: str) -> None:
    """Whatever is written to it is lost with the process, and no write fails."""
    store = open_sqlite(str(path))
    assert store.healthy()
    path.rename(path.with_suffix(".away"))
    if fate == "replaced":
        sqlite3.connect(path).close()
        path.touch()
    with capture_logs() as logs:
        assert not store.healthy()
        assert not store.healthy()
    assert [(line["event"], line["path"]) for line in logs] == [("store_file_replaced", str(path))]
    path.with_suffix(".away").replace(path)
    assert store.healthy()
    store.close()


def test_a_switch_tells_that_it_migrates_its_store_for_that_takes_a_while(path: Path) -> None:
    open_sqlite(str(path)).close()
    downgraded(path)
    with capture_logs() as logs:
        ensure_schema(str(path), alone=True)
        ensure_schema(str(path), alone=True)
    told = [(line["event"], line.get("found"), line.get("wanted")) for line in logs]
    assert told == [("store_migrates", "0001", REVISION), ("store_migrated", None, None)]
    downgraded(path)
    with capture_logs() as logs:
        ensure_schema(str(path))
    assert logs == []  # what a command prints is its own


def downgraded(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            "DROP INDEX ix_cdrs_ordinal; ALTER TABLE cdrs DROP COLUMN ordinal; DROP TABLE cdr_file;"
            "UPDATE alembic_version SET version_num = '0001'"
        )


def test_behind_a_write_that_waited_in_vain_for_another_writer_none_waits_until_one_is_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each call of a busy switch held up all others for a second, as long as the other writer goes on."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 1000)
    seconds: list[float] = []
    store = open_sqlite(str(path), observe=lambda operation, took: seconds.append(took))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for _ in range(21):
        with pytest.raises(StoreError, match="database is locked"):
            run(store.open_attempt(CDR))
    assert seconds[0] >= 0.9
    assert sum(seconds[1:]) < 10  # twenty, if each waited
    assert not store.healthy()
    other.execute("COMMIT")
    assert store.healthy()  # before anything was written: who sends calls to the healthy alone would send none
    assert store._connection.execute("PRAGMA busy_timeout").fetchone() == (0,)
    run(store.close_attempts([CDR]))
    assert store.healthy()
    assert store._connection.execute("PRAGMA busy_timeout").fetchone() == (1000,)
    other.close()
    store.close()


def test_the_file_is_in_wal_mode_so_that_readers_never_wait(path: Path, store: SqliteStore) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_store_is_healthy_until_its_file_is_gone_from_it(store: SqliteStore) -> None:
    assert store.healthy()
    store.close()
    assert not store.healthy()


def test_a_store_that_may_be_read_but_not_written_is_not_healthy_until_it_takes_something(store: SqliteStore) -> None:
    """As on a full disk: every call would be refused."""
    cdr = Cdr("one", call_in_at=NOW)
    store._connection.execute("PRAGMA query_only = ON")
    assert store.healthy()
    with pytest.raises(StoreError, match="open_attempt: "):
        run(store.open_attempt(cdr))
    assert run(store.ax_binding(X, NOW)) is None
    assert not store.healthy()
    store._connection.execute("PRAGMA query_only = OFF")
    run(store.close_attempts([cdr]))
    assert store.healthy()


def test_a_failing_operation_is_a_store_error_with_its_name(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="ax_binding: "):
        run(store.ax_binding(X, NOW))


@pytest.mark.parametrize("alone", [False, True], ids=["of a command", "of the switch"])
def test_a_schema_newer_than_the_code_is_refused_and_nothing_says_that_it_migrates(
    path: Path, store: SqliteStore, alone: bool
) -> None:
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with capture_logs() as logs, pytest.raises(StoreError, match=rf"schema 9999, newer than the {REVISION}"):
        open_sqlite(str(path), alone=alone)
    assert logs == []


def test_the_command_line_migrates_no_store_that_an_older_switch_works_with(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.close()
    monkeypatch.setattr("softswitch.stores.sqlite.REVISION", "next")
    switch = StoreLock(str(path))
    with pytest.raises(StoreError, match="another switch works with it"):
        ensure_schema(str(path))
    ensure_schema(str(path), alone=True)  # the switch itself
    switch.close()
    ensure_schema(str(path))
    StoreLock(str(path)).close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all\n" * 100)
    with pytest.raises(StoreError, match=r"notes\.txt: file is not a database"):
        open_sqlite(str(text))


def test_a_file_that_can_not_be_read_is_not_taken_for_one_without_a_schema(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `softswitch check` would praise what `serve` refuses: a locked file, or one on a read-only disk."""
    monkeypatch.setattr("softswitch.stores.sqlite.BUSY_TIMEOUT_MS", 1)
    store.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="database is locked"):
        schema_revision(str(path))
    other.close()
    assert schema_revision(str(path)) == REVISION


def test_a_directory_that_can_not_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="switch"):
        open_sqlite(str(tmp_path / "file" / "switch.db"))


def test_a_directory_in_the_place_of_the_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open database file"):
        open_sqlite(str(tmp_path))


@pytest.mark.parametrize("record", [b"{}", b"\xff", b'{"call_id":"\xff"}'])
def test_an_open_cdr_that_is_none_is_told_and_keeps_nobody_from_the_others(
    path: Path, store: SqliteStore, record: bytes
) -> None:
    """Of another shape, or with bytes that a failing disk has changed."""
    run(store.open_attempt(CDR))
    run(store.open_attempt(replace(CDR, call_id="two")))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE cdrs SET record = CAST(? AS TEXT) WHERE call_id = ?", (record, CDR.call_id))
    connection.close()
    with capture_logs() as lines:
        assert [cdr.call_id for cdr in run(store.unfinished_attempts())] == ["two"]
    assert [(line["event"], line["call_id"]) for line in lines] == [("cdr_unreadable", CDR.call_id)]


def test_the_apps_of_a_file_are_told_by_their_keys(path: Path, store: SqliteStore, tmp_path: Path) -> None:
    assert app_keys(str(path)) == []
    scene = SqliteScene(path)
    scene.add_number(PrivateNumber(X, App("shop", Mode.AXB)))
    scene.add_number(PrivateNumber(B, App("bank", Mode.AX)))
    scene.engine.dispose()
    assert app_keys(str(path)) == ["bank", "shop"]
    with pytest.raises(StoreError, match=r"empty\.db: no such table: apps"):
        app_keys(str(tmp_path / "empty.db"))


def test_private_numbers_of_one_app_share_it(path: Path, store: SqliteStore) -> None:
    scene = SqliteScene(path)
    scene.add_number(PrivateNumber(X, App("shop", Mode.AXB)))
    number = run(store.private_number(X))
    assert number is not None
    assert number.app == App("shop", Mode.AXB)
    scene.engine.dispose()


def test_pages_of_the_file_take_no_more_memory_than_is_set(path: Path) -> None:
    store = open_sqlite(str(path), cache_mb=2)
    assert store._connection.execute("PRAGMA cache_size").fetchone() == (-2048,)  # KB
    store.close()


def test_a_file_that_this_user_may_not_look_for_is_an_error_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root, who runs tests, may look everywhere."""

    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "exists", closed)
    with pytest.raises(StoreError, match="can't be looked for by this user: Permission denied"):
        schema_revision(str(tmp_path / "softswitch.db"))
