"""Run by Alembic; the connection comes from `adclick_backend.store.migrate`, inside a transaction."""

from __future__ import annotations

from alembic import context

from adclick_backend.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes few things in a table that exists
)
context.run_migrations()
