"""The tables of the SQL stores, as SQLAlchemy Core sees them.

Provisioning and the CDR query build their statements from these; the call path of each store has its own SQL over the
same tables, and `migrations/` creates them. Column names of a table that keeps a record of `interfaces.py` are the
record's field names. Nothing here opens a database. Times are UTC epoch seconds.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

# The newest revision in migrations/versions that this code was written for.
REVISION = "0002"

metadata = MetaData()

apps = Table(
    "apps",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("mode", String(8), nullable=False),
    Column("extension_digits", Integer, nullable=False),
    Column("recording", Boolean, nullable=False),
)

# The pool of X.
numbers = Table(
    "numbers",
    metadata,
    Column("x", String(32), primary_key=True),
    Column("app_key", String(128), ForeignKey("apps.key"), nullable=False),
    Column("area_code", String(32), nullable=False),
    Column("city", String(64), nullable=False),
    Index("ix_numbers_app_key", "app_key"),
)

# `seq` keeps index entries short and lists bindings in the order they were made.
bindings = Table(
    "bindings",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String(64), nullable=False),
    Column("app_key", String(128), nullable=False),
    Column("mode", String(8), nullable=False),
    Column("x", String(32), nullable=False),
    Column("a", String(32), nullable=False),
    Column("b", String(32)),
    Column("extension", String(8)),
    Column("call_direction", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("max_duration_s", Integer, nullable=False),
    Column("last_minute_tone", String(128)),
    Column("record", Boolean, nullable=False),
    Column("announcement", String(128)),
    Column("caller_ringback", String(128)),
    Column("callee_ringback", String(128)),
    Column("turned_on", Boolean, nullable=False),
    Column("callback_tone", String(128)),
    Column("callback_number", String(32)),
    Column("callback_lifetime_s", Integer, nullable=False),
    Column("user_data", String(256), nullable=False),
    Index("ux_bindings_id", "id", unique=True),
    Index("ux_bindings_ax", "x", unique=True, sqlite_where=text("mode = 'AX'"), postgresql_where=text("mode = 'AX'")),
    Index(
        "ux_bindings_axe",
        "x",
        "extension",
        unique=True,
        sqlite_where=text("extension IS NOT NULL"),
        postgresql_where=text("extension IS NOT NULL"),
    ),
    Index("ix_bindings_x_a", "x", "a"),
    Index("ix_bindings_a", "a"),
    Index("ix_bindings_b", "b", sqlite_where=text("b IS NOT NULL"), postgresql_where=text("b IS NOT NULL")),
    Index("ix_bindings_app_key", "app_key"),
)

# AXB: each real number on an X, once (2.1). The call path finds an AXB binding by it, from either side.
binding_parties = Table(
    "binding_parties",
    metadata,
    Column("x", String(32), nullable=False),
    Column("party", String(32), nullable=False),
    Column("seq", Integer, ForeignKey("bindings.seq"), nullable=False),
    PrimaryKeyConstraint("x", "party"),
    Index("ix_binding_parties_seq", "seq"),
    sqlite_with_rowid=False,
)

temporary_callees = Table(
    "temporary_callees",
    metadata,
    Column("binding_id", String(64), primary_key=True),
    Column("callee", String(32), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("user_data", String(256), nullable=False),
    sqlite_with_rowid=False,
)

callback_records = Table(
    "callback_records",
    metadata,
    Column("x", String(32), nullable=False),
    Column("a", String(32), nullable=False),
    Column("caller", String(32), nullable=False),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("x", "a"),
    sqlite_with_rowid=False,
)

# The whole record is `record` (JSON of interfaces.Cdr); the other columns are what it is looked for by.
cdrs = Table(
    "cdrs",
    metadata,
    Column("call_id", String(64), primary_key=True),
    Column("started_at", Float, nullable=False),
    Column("x", String(32), nullable=False),
    Column("caller", String(32), nullable=False),
    Column("callee", String(32), nullable=False),
    Column("mode", String(8), nullable=False),
    Column("app", String(128), nullable=False),
    Column("failure", Integer, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("record", Text, nullable=False),
    Column("ordinal", Integer),  # its place in the order in which records were finished
    Index("ix_cdrs_started_at", "started_at"),
    Index("ix_cdrs_x", "x", "started_at"),
    Index(
        "ix_cdrs_unfinished",
        "finished",
        sqlite_where=text("finished = 0"),
        postgresql_where=text("finished = false"),
    ),
    Index(
        "ix_cdrs_ordinal",
        "ordinal",
        sqlite_where=text("ordinal IS NOT NULL"),
        postgresql_where=text("ordinal IS NOT NULL"),
    ),
)

# One row: the CDR file has a line of every record up to `ordinal`, and those of all later ones behind `size`.
cdr_file = Table(
    "cdr_file",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("path", Text, nullable=False),
    Column("file", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("ending", String(64), nullable=False),
    Column("ordinal", Integer, nullable=False),
)
