"""The rows of one database copied into another one: whatever is there already and equal stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, insert, select, text, tuple_

from adclick_backend.store.database import Database
from adclick_backend.store.shelves import SHELF
from adclick_backend.store.tables import METADATA, key_values

MOVE = "move"
"""Key, of no project, under which the target says how far the move into it is."""

BATCH_ROWS, BATCH_BYTES = 500, 4 << 20

_OF_THE_TARGET = (MOVE, SHELF)  # keys that the source has not, or differently

Row = tuple[Any, ...]


class TableCheck(NamedTuple):
    """What a table holds: how many rows, and a hash of all of them."""

    name: str
    rows: int
    digest: str


def is_empty(database: Database) -> bool:
    """Whether no table has a row."""
    with database.read() as connection:
        return not any(connection.execute(select(table).limit(1)).first() for table in METADATA.sorted_tables)


def copy_rows(source: Database, target: Database, table: Table) -> None:
    """Bring a table of the target in line with the source, some rows at a time, each batch whole or not at all.

    Args:
        source: is only read.
        target: another process may have copied a part of the rows before it was killed.
        table: of both.
    """
    before: Row | None = None
    for batch in _batches(source, table):
        last = _key_of(table, batch[-1])
        _put(target, table, batch, before, last)
        before = last
    _put(target, table, [], before, None)
    _continue_numbers(target, table)


def check_table(database: Database, table: Table) -> TableCheck:
    """What a table holds, the same for both databases when they hold the same."""
    rows, digest = 0, hashlib.sha256()
    for batch in _batches(database, table):
        rows += len(batch)
        for row in batch:
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return TableCheck(table.name, rows, digest.hexdigest())


def _put(target: Database, table: Table, batch: Sequence[Row], before: Row | None, last: Row | None) -> None:
    """Let the target have these rows after one key and up to another one, and no others."""
    place = _between(table, before, last)
    with target.read() as connection:
        if [_normal(row) for row in connection.execute(_select(table).where(place))] == list(batch):
            return
    with target.write() as connection:
        connection.execute(delete(table).where(place))
        if batch:
            names = table.c.keys()
            connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in batch])


def _batches(database: Database, table: Table) -> Iterator[list[Row]]:
    """The rows of a table, by their key."""
    before: Row | None = None
    while True:
        with database.read() as connection:
            batch = _next(connection, table, before)
        if not batch:
            return
        yield batch
        before = _key_of(table, batch[-1])


def _next(connection: Connection, table: Table, before: Row | None) -> list[Row]:
    batch, size = [], 0
    for row in connection.execute(_select(table).where(_between(table, before, None)).limit(BATCH_ROWS)):
        batch.append(_normal(row))
        size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
        if size > BATCH_BYTES:
            break
    return batch


def _select(table: Table) -> Any:
    return select(table).order_by(*table.primary_key.columns)


def _between(table: Table, before: Row | None, last: Row | None) -> ColumnElement[bool]:
    """After one key and up to another one, of what is moved."""
    key, found = tuple_(*table.primary_key.columns), [_moved(table)]
    if before is not None:
        found.append(key > before)
    if last is not None:
        found.append(key <= last)
    return and_(*found)


def _moved(table: Table) -> ColumnElement[bool]:
    if table is key_values:
        return table.c.key.not_in(_OF_THE_TARGET)
    return text("1 = 1")  # type: ignore[return-value]


def _key_of(table: Table, row: Row) -> Row:
    names = list(table.c.keys())
    return tuple(row[names.index(column.key)] for column in table.primary_key.columns)


def _normal(row: Sequence[Any]) -> Row:
    """A row as every database gives it: without NUL in words, which PostgreSQL cannot keep."""
    return tuple(
        value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if isinstance(value, str)
        else bytes(value)
        if isinstance(value, memoryview)
        else value
        for value in row
    )


def _continue_numbers(target: Database, table: Table) -> None:
    """Let new rows get numbers after those that were copied; SQLite does so by itself."""
    if [column.name for column in table.primary_key.columns] != ["id"] or not target.shared:
        return
    if not isinstance(table.c.id.type.python_type, type) or table.c.id.type.python_type is not int:
        return
    with target.write() as connection:
        sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, "id"))).scalar()
        if sequence is not None:
            highest = select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery()
            connection.execute(select(func.setval(sequence, highest, False)))
