"""The first tables: pool of X, bindings, temporary callees, call-back records, CDRs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    _pool()
    _bindings()
    _call_state()
    _cdrs()


def _text(name: str, length: int, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _partial_index(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _pool() -> None:
    op.create_table(
        "apps",
        sa.Column("key", sa.String(128), primary_key=True),
        _text("mode", 8),
        sa.Column("extension_digits", sa.Integer, nullable=False),
        sa.Column("recording", sa.Boolean, nullable=False),
    )
    op.create_table(
        "numbers",
        sa.Column("x", sa.String(32), primary_key=True),
        sa.Column("app_key", sa.String(128), sa.ForeignKey("apps.key"), nullable=False),
        _text("area_code", 32),
        _text("city", 64),
    )
    op.create_index("ix_numbers_app_key", "numbers", ["app_key"])


def _bindings() -> None:
    op.create_table(
        "bindings",
        sa.Column("seq", sa.Integer, primary_key=True),
        _text("id", 64),
        _text("app_key", 128),
        _text("mode", 8),
        _text("x", 32),
        _text("a", 32),
        _text("b", 32, nullable=True),
        _text("extension", 8, nullable=True),
        sa.Column("call_direction", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("max_duration_s", sa.Integer, nullable=False),
        _text("last_minute_tone", 128, nullable=True),
        sa.Column("record", sa.Boolean, nullable=False),
        _text("announcement", 128, nullable=True),
        _text("caller_ringback", 128, nullable=True),
        _text("callee_ringback", 128, nullable=True),
        sa.Column("turned_on", sa.Boolean, nullable=False),
        _text("callback_tone", 128, nullable=True),
        _text("callback_number", 32, nullable=True),
        sa.Column("callback_lifetime_s", sa.Integer, nullable=False),
        _text("user_data", 256),
    )
    op.create_index("ux_bindings_id", "bindings", ["id"], unique=True)
    _partial_index("ux_bindings_ax", "bindings", ["x"], "mode = 'AX'", unique=True)
    _partial_index("ux_bindings_axe", "bindings", ["x", "extension"], "extension IS NOT NULL", unique=True)
    op.create_index("ix_bindings_x_a", "bindings", ["x", "a"])
    op.create_index("ix_bindings_a", "bindings", ["a"])
    _partial_index("ix_bindings_b", "bindings", ["b"], "b IS NOT NULL")
    op.create_index("ix_bindings_app_key", "bindings", ["app_key"])
    op.create_table(
        "binding_parties",
        _text("x", 32),
        _text("party", 32),
        sa.Column("seq", sa.Integer, sa.ForeignKey("bindings.seq"), nullable=False),
        sa.PrimaryKeyConstraint("x", "party"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_binding_parties_seq", "binding_parties", ["seq"])


def _call_state() -> None:
    op.create_table(
        "temporary_callees",
        sa.Column("binding_id", sa.String(64), primary_key=True),
        _text("callee", 32),
        sa.Column("expires_at", sa.Float, nullable=False),
        _text("user_data", 256),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "callback_records",
        _text("x", 32),
        _text("a", 32),
        _text("caller", 32),
        sa.Column("at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("x", "a"),
        sqlite_with_rowid=False,
    )


def _cdrs() -> None:
    op.create_table(
        "cdrs",
        sa.Column("call_id", sa.String(64), primary_key=True),
        sa.Column("started_at", sa.Float, nullable=False),
        _text("x", 32),
        _text("caller", 32),
        _text("callee", 32),
        _text("mode", 8),
        _text("app", 128),
        sa.Column("failure", sa.Integer, nullable=False),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("ix_cdrs_started_at", "cdrs", ["started_at"])
    op.create_index("ix_cdrs_x", "cdrs", ["x", "started_at"])
    op.create_index(
        "ix_cdrs_unfinished",
        "cdrs",
        ["finished"],
        sqlite_where=sa.text("finished = 0"),
        postgresql_where=sa.text("finished = false"),
    )
