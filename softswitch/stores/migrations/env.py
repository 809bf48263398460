"""Alembic's entry point: runs the revisions on the connection that `upgrade()` has opened."""

from __future__ import annotations

from alembic import context

from softswitch.stores.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
