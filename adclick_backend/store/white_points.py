"""Which value of 16-bit images counts as white, product by product."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from adclick_backend.store.database import Database
from adclick_backend.store.disk import DiskError
from adclick_backend.store.statements import upsert
from adclick_backend.store.tables import white_points


class WhitePoint(NamedTuple):
    """The value of 16-bit images that becomes 255.

    Attributes:
        white: 1 to 65535.
        by_references: whether references decided on it; else images that were opened without any.
    """

    white: int
    by_references: bool


_OF_PRODUCT = select(white_points.c.white, white_points.c.by_references).where(
    white_points.c.project == bindparam("of"), white_points.c.product == bindparam("product_of")
)


class WhitePointTable:
    """Table ``white_points``. What references decided on goes when the last of them is taken out, by triggers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unwritten: dict[tuple[str, str], WhitePoint] = {}

    def get(self, project: str, product: str) -> WhitePoint | None:
        """The white point of a product; None as long as no 16-bit image of it was seen."""
        unwritten = self._unwritten.get((project, product))
        if unwritten is not None and self._database.disk.problem:
            return unwritten
        with self._database.read() as connection:
            return _read(connection, project, product)

    def update(
        self, project: str, product: str, decide: Callable[[WhitePoint | None], WhitePoint]
    ) -> tuple[WhitePoint | None, WhitePoint]:
        """Let `decide` make a new white point of the one that is known; answer both.

        Nobody else changes it meanwhile, in no process. One that cannot be written down, because the disk is full say,
        counts in this process until one can.
        """
        try:
            with self._database.write() as connection:
                before = _read(connection, project, product)
                after = decide(before)
                if after != before:
                    row = {"white": after.white, "by_references": int(after.by_references)}
                    upsert(connection, white_points, {"project": project, "product": product, **row})
            self._unwritten.pop((project, product), None)
        except DiskError:
            before = self.get(project, product)
            after = self._unwritten[project, product] = decide(before)
        return before, after


def _read(connection: Connection, project: str, product: str) -> WhitePoint | None:
    row = connection.execute(_OF_PRODUCT, {"of": project, "product_of": product}).one_or_none()
    return WhitePoint(row.white, bool(row.by_references)) if row else None
