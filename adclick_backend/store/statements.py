"""Statements that every database understands, each in its own dialect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, CursorResult, Integer, Table, bindparam, case
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.functions import GenericFunction

T = TypeVar("T")

_AT_ONCE = 500
"""Values in one statement: databases take some ten thousand."""


def insert_into(dialect: str, table: Table) -> sqlite.Insert:
    """An INSERT that can say what happens when the row is there, ``on_conflict_do_...``, in SQLAlchemy's dialect."""
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # costs time that only its users should pay

    return cast("sqlite.Insert", postgresql.insert(table))  # has the same methods


def upsert(
    connection: Connection,
    table: Table,
    rows: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    change: Collection[str] | None = None,
) -> None:
    """Write rows, each in the place of the one with the same primary key.

    Args:
        connection: inside a `Database.write` block.
        table: the table.
        rows: column -> value, the same columns in each.
        change: columns that change when the row is there; by default all that are given.
    """
    if not rows:
        return
    given = tuple(rows if isinstance(rows, Mapping) else rows[0])
    statement = _upsert(connection.dialect.name, table, given, given if change is None else tuple(change))
    connection.execute(statement, rows)


@lru_cache(maxsize=256)  # to make one takes as long as to run it
def _upsert(dialect: str, table: Table, given: tuple[str, ...], change: tuple[str, ...]) -> sqlite.Insert:
    key = [column.name for column in table.primary_key]
    insert = insert_into(dialect, table)
    return insert.values({name: bindparam(name) for name in given}).on_conflict_do_update(
        index_elements=key, set_={name: insert.excluded[name] for name in change if name not in key}
    )


def run_for_each(connection: Connection, statement: UpdateBase, rows: Iterable[Mapping[str, Any]]) -> None:
    """Run a statement with each of some sets of values; with none, not at all."""
    if values := list(rows):
        connection.execute(statement, values)


def new_id(done: CursorResult[Any]) -> int:
    """The number that the database gave the row of an INSERT."""
    key = done.inserted_primary_key
    return int(key[0]) if key else 0


def in_parts(values: Iterable[T]) -> Iterator[list[T]]:
    """Values in lists that are short enough for a statement."""
    known = list(values)
    for start in range(0, len(known), _AT_ONCE):
        yield known[start : start + _AT_ONCE]


def smaller(one: ColumnElement[float], other: float) -> ColumnElement[float]:
    """The smaller of two numbers: SQLite calls that ``min``, others ``least``."""
    return case((one < other, one), else_=other)


def larger(one: ColumnElement[float], other: ColumnElement[float]) -> ColumnElement[float]:
    """The larger of two numbers."""
    return case((one > other, one), else_=other)


class list_length(GenericFunction[int]):
    """How many items the JSON list in a column of words has."""

    type = Integer()
    inherit_cache = True


@compiles(list_length, "sqlite")
def _length_in_sqlite(element: list_length, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_length({compiler.process(element.clauses, **options)})"


@compiles(list_length, "postgresql")
def _length_in_postgresql(element: list_length, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_length(CAST({compiler.process(element.clauses, **options)} AS JSON))"
