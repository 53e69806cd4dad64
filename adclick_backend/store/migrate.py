"""Alembic's migrations, from the schema that a database has to the newest one."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection

FOLDER = Path(__file__).parent / "migrations"

_one_at_a_time = threading.Lock()


def revision(schema: int) -> str:
    """What Alembic calls a schema, such as ``0008``."""
    return f"{schema:04}"


def upgrade(connection: Connection, known: int | None = None) -> None:
    """Bring a database to the newest schema.

    Alembic is imported here, as most starts have nothing to migrate.

    Args:
        connection: inside a transaction that nobody else writes beside.
        known: schema of a database that has no table of Alembic's, or an old one; None: what that table says, and when
            there is none, the database is empty.
    """
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    with _one_at_a_time:  # Alembic keeps what it works on in global variables
        if known is not None:
            command.stamp(config, revision(known), purge=True)
        command.upgrade(config, "head")
