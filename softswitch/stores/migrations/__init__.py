"""Brings a database to the schema this code was written for (Alembic, run from the program: no alembic.ini).

Called when a store is opened. Never takes a database back, and never touches one that is newer than the code.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from softswitch.errors import StoreError
from softswitch.stores.schema import REVISION

DIRECTORY = Path(__file__).parent


def upgrade(url: str | URL) -> None:
    """Create or upgrade the database at `url`, in one transaction; raises StoreError."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        _begin_immediate(engine)
    try:
        _upgrade(engine)
    except (SQLAlchemyError, CommandError) as error:
        raise StoreError(f"{url}: cannot be brought to schema {REVISION}: {error.__cause__ or error}") from error
    finally:
        engine.dispose()


def alembic_config() -> Config:
    """Where Alembic finds env.py and versions/."""
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
    return config


def known_revisions() -> set[str]:
    """Every revision this code can come from, and the one it wants."""
    return {revision.revision for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


def _upgrade(engine: Engine) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        if revision is not None and revision not in known_revisions():
            raise newer_schema(str(engine.url), revision)
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)


def newer_schema(place: str, revision: str) -> StoreError:
    """The error for a database that a later release has upgraded."""
    return StoreError(
        f"{place} has schema {revision}, newer than the {REVISION} of this softswitch: a later release wrote it"
    )


def _begin_immediate(engine: Engine) -> None:
    """Take the write lock first, so that of two starting processes one migrates and the other waits for it.

    sqlite3 by itself would run DDL outside any transaction.
    """

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begin(connection: object) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]
