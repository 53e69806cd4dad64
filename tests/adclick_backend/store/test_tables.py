"""The tables that statements are about are those that migrations make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from adclick_backend.store import Store
from adclick_backend.store.migrate import FOLDER, revision
from adclick_backend.store.tables import METADATA, SCHEMA


def columns(file: Path) -> dict[str, set[tuple[object, ...]]]:
    """Table -> name, type, NOT NULL, default and place in the primary key of each of its columns, in any order."""
    with closing(sqlite3.connect(file)) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: {
                # SQLite calls the primary key of a table that has row ids one that may be NULL
                (column, kind, needed or place, default, place)
                for _, column, kind, needed, default, place in connection.execute(
                    f"PRAGMA table_info({name})"
                )
            }
            for name in names
        }


def indexes(file: Path) -> set[tuple[object, ...]]:
    """Table, name, whether it is unique, and the columns, of each index that somebody asked for."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            (table, name, unique, tuple(row[2] for row in connection.execute(f"PRAGMA index_info({name})")))
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall()
            for _, name, unique, origin, _ in connection.execute(f"PRAGMA index_list({table})").fetchall()
            if origin == "c"
        }


def test_the_tables_that_statements_are_about_are_those_of_the_file(tmp_path: Path) -> None:
    Store(tmp_path).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'metadata.sqlite3'}")
    METADATA.create_all(engine)
    engine.dispose()
    there, meant = tmp_path / "adclick.sqlite3", tmp_path / "metadata.sqlite3"
    found, wanted = columns(there), columns(meant)
    assert found.keys() == wanted.keys()
    assert found == wanted
    assert indexes(there) == indexes(meant)


def test_the_newest_schema_is_that_of_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    assert ScriptDirectory.from_config(config).get_heads() == [revision(SCHEMA)]
