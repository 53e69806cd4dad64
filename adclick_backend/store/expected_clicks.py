"""Where first clicks are to be expected in images, so that whichever backend answers them expects the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import delete, select

from adclick_backend.store.database import Database
from adclick_backend.store.statements import upsert
from adclick_backend.store.tables import expected_clicks

KEPT_S = 86_400.0

Windows = tuple[tuple[int, int, int, int], ...]  # top, left, height and width of each, in image pixels


class ExpectedClicks:
    """Table ``expected_clicks``; a day after it was noted, an entry goes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, image: str, bank: str) -> Windows | None:
        """The windows of an image; None when nothing is noted.

        Args:
            project: project id.
            image: name of the image's pixels.
            bank: fingerprint of the references that it was compared with.
        """
        noted = expected_clicks.c
        with self._database.read() as connection:
            found = connection.execute(
                select(noted.windows).where(
                    noted.project == project, noted.image == image, noted.bank == bank
                )
            ).scalar()
        return None if found is None else tuple(tuple(window) for window in json.loads(found))

    def put(self, project: str, image: str, bank: str, windows: Sequence[Sequence[int]]) -> None:
        """Note the windows of an image."""
        now = self._database.now()
        row = {"project": project, "image": image, "bank": bank, "windows": json.dumps(windows), "noted": now}
        with self._database.write() as connection:
            connection.execute(delete(expected_clicks).where(expected_clicks.c.noted < now - KEPT_S))
            upsert(connection, expected_clicks, row)
