"""In which order records were finished, and how far the CDR file has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Records from before have no ordinal: they are taken as filed."""
    op.add_column("cdrs", sa.Column("ordinal", sa.Integer))
    condition = sa.text("ordinal IS NOT NULL")
    op.create_index("ix_cdrs_ordinal", "cdrs", ["ordinal"], sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "cdr_file",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("ending", sa.String(64), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
    )
