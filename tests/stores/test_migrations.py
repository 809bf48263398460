"""Migrations build exactly the tables that the code declares, once, in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from softswitch.errors import StoreError
from softswitch.stores.migrations import alembic_config, upgrade
from softswitch.stores.schema import REVISION, metadata


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/50% new.db"


def test_the_migrated_database_is_the_declared_schema(url: str) -> None:
    upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        indexes = {
            index["name"]: index.get("dialect_options", {}).get("sqlite_where") is not None
            for table in inspect(connection).get_table_names()
            for index in inspect(connection).get_indexes(table)
        }
    engine.dispose()
    declared = {
        index.name: index.dialect_options["sqlite"]["where"] is not None
        for table in metadata.tables.values()
        for index in table.indexes
    }
    assert indexes == declared


def test_the_code_knows_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [REVISION]


def test_upgrading_again_changes_nothing(url: str) -> None:
    upgrade(url)
    upgrade(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISION
    engine.dispose()


def test_what_was_finished_before_records_had_numbers_stays_as_it_is(url: str) -> None:
    engine = create_engine(url)
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO cdrs VALUES ('one', 1.0, '', '', '', '', '', 0, 1, '{}')")
    upgrade(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT call_id, record, ordinal FROM cdrs").all() == [("one", "{}", None)]
    engine.dispose()


def test_of_two_that_start_at_once_one_migrates_and_the_other_finds_it_done(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: upgrade(url), range(4)))
    engine = create_engine(url)
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISION
    engine.dispose()


def test_a_database_that_can_not_be_opened_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be brought to schema"):
        upgrade(f"sqlite:///{tmp_path}/missing/file.db")
