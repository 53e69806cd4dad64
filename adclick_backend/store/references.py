"""Reference images: the defect-free pictures of a project, and how far each is on its way into the bank."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from adclick_backend.store.database import FARTHEST_S, KEPT_S, Database

ReferenceState = Literal["pending", "ready", "failed", "removed"]


@dataclass(frozen=True)
class Reference:
    """One reason why an image is a reference; two annotations of one image are two rows, one bank entry."""

    id: int
    project: str
    product: str
    sha: str  # SHA-256 of the file; "" until it was fetched
    source: str  # "annotation", "upload", "folder" or "command line"
    name: str  # what a person knows the image by
    url: str  # where an annotated image is fetched from; "" for a file that was handed in
    task_id: int | None
    annotation_id: int | None
    file: str  # name of the kept copy; "" until it was fetched
    state: ReferenceState
    reason: str  # why it failed, or why it is tried again
    model_version: str  # that encoded it
    attempts: int
    due: float  # Unix seconds; not to be tried before; of a removed one, when it was removed
    residual: float | None  # leave-one-out residual energy
    oddness: float | None  # robust z-score of that residual in its bank
    added: float  # Unix seconds


_COLUMNS = tuple(column.name for column in fields(Reference))


class ReferenceTable:
    """Tables ``reference_images`` and ``former_references``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading

    def of_project(self, project: str) -> list[Reference]:
        """Every reference of the project, the oldest first."""
        return self._select("project = ? ORDER BY added, id", (project,))

    def get(self, project: str, reference: int) -> Reference | None:
        """The reference, if this project has it."""
        found = self._select("project = ? AND id = ?", (project, reference))
        return found[0] if found else None

    def bank(self, project: str, product: str) -> tuple[str, ...]:
        """SHA-256 of every image that is ready, each once, sorted."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT sha FROM reference_images "
                "WHERE project = ? AND product = ? AND state = 'ready' ORDER BY sha",
                (project, product),
            ).fetchall()
        return tuple(row["sha"] for row in rows)

    def banks(self) -> list[tuple[str, str]]:
        """Every (project, product) with a ready reference."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT project, product FROM reference_images WHERE state = 'ready' ORDER BY 1, 2"
            ).fetchall()
        return [(row["project"], row["product"]) for row in rows]

    def kept_shas(self, project: str) -> set[str]:
        """SHA-256 of every image of which a copy must be kept."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT sha FROM reference_images WHERE project = :project AND sha != '' "
                "UNION SELECT sha FROM former_references WHERE project = :project",
                {"project": project},
            ).fetchall()
        return {row["sha"] for row in rows}

    def former_copy(self, project: str, url: str) -> str:
        """Name of the kept copy of an image that was a reference until lately; "" when there is none."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT file FROM former_references WHERE project = ? AND url = ?", (project, url)
            ).fetchone()
        return str(row["file"]) if row else ""

    def counts(self) -> list[tuple[str, str, str, int]]:
        """(project, product, state, number of rows) of everything there is."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT project, product, state, COUNT(*) AS number FROM reference_images GROUP BY 1, 2, 3"
            ).fetchall()
        return [tuple(row) for row in rows]

    def next_pending(self) -> Reference | None:
        """The reference to work on now: the oldest pending one that is due."""
        found = self._select(
            "state = 'pending' AND due NOT BETWEEN ? AND ? ORDER BY due, id LIMIT 1",
            (time.time(), time.time() + FARTHEST_S),
        )
        return found[0] if found else None

    # --- adding and removing

    def add(self, project: str, *, product: str, sha: str, source: str, name: str, file: str) -> Reference:
        """Add an image that was handed in. The same file twice in one product is one row."""
        with self._database.write() as connection:
            twin = connection.execute(
                "SELECT id FROM reference_images WHERE project = ? AND product = ? AND sha = ? "
                "AND annotation_id IS NULL",
                (project, product, sha),
            ).fetchone()
            if twin:
                identifier = int(twin["id"])
                connection.execute(
                    "UPDATE reference_images SET state = 'pending', reason = '', attempts = 0, due = 0 "
                    "WHERE id = ? AND state IN ('failed', 'removed')",
                    (identifier,),
                )
            else:
                identifier = insert_reference(
                    connection,
                    project=project,
                    product=product,
                    sha=sha,
                    source=source,
                    name=name,
                    file=file,
                )
        found = self.get(project, identifier)
        if found is None:  # another process removed it in this very moment
            raise LookupError(f"The reference {name} was removed while it was added.")
        return found

    def remove(self, project: str, reference: int) -> bool:
        """A person takes a reference out; it can be put back. False when the project has no such reference."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE reference_images SET state = 'removed', reason = '', due = ? "
                "WHERE project = ? AND id = ? AND state != 'removed'",
                (time.time(), project, reference),
            )
        return done.rowcount > 0

    def put_back(self, project: str, reference: int) -> bool:
        """A removed reference goes into the bank again; False when there is none to put back."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE reference_images SET state = 'pending', attempts = 0, due = 0 "
                "WHERE project = ? AND id = ? AND state = 'removed'",
                (project, reference),
            )
        return done.rowcount > 0

    def removed_tasks(self, project: str) -> set[tuple[int, str]]:
        """(task, product) of the references that a person took out."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT task_id, product FROM reference_images "
                "WHERE project = ? AND state = 'removed' AND task_id IS NOT NULL",
                (project,),
            ).fetchall()
        return {(int(row["task_id"]), row["product"]) for row in rows}

    def purge(self) -> int:
        """Forget files that were handed in and removed longer than `KEPT_S` ago; how many those were.

        Of a removed annotation the row stays, or its annotation would bring it back.
        """
        with self._database.write() as connection:
            connection.execute("DELETE FROM former_references WHERE gone < ?", (time.time() - KEPT_S,))
            gone = connection.execute(
                "DELETE FROM reference_images WHERE state = 'removed' AND annotation_id IS NULL AND due < ?",
                (time.time() - KEPT_S,),
            )
        return gone.rowcount

    def follow(
        self,
        project: str,
        wanted: Mapping[int, Sequence[Mapping[str, Any]]],
        tasks: Collection[int] | None = None,
    ) -> bool:
        """Make the references that annotations are the reason of those that are wanted; answer whether any changed.

        Args:
            project: the project.
            wanted: annotation -> ``url``, ``product``, ``name`` and ``task_id`` of each image that it calls free of
                defects, of different products.
            tasks: look at the references of these tasks alone; None: at all of them.
        """
        changed, looked_at = False, None if tasks is None else frozenset(tasks)
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT * FROM reference_images WHERE project = ? AND annotation_id IS NOT NULL", (project,)
            ).fetchall()
            missing = {
                (annotation, image["url"], image["product"]): image
                for annotation, images in wanted.items()
                for image in images
            }
            for row in rows:
                if looked_at is not None and row["task_id"] not in looked_at:
                    continue
                if missing.pop((row["annotation_id"], row["url"], row["product"]), None) is None:
                    connection.execute(
                        "REPLACE INTO former_references SELECT project, url, sha, file, ? FROM reference_images "
                        "WHERE id = ? AND file != ''",
                        (time.time(), row["id"]),
                    )
                    connection.execute("DELETE FROM reference_images WHERE id = ?", (row["id"],))
                    changed = True
            for (annotation, _, _), image in missing.items():
                insert_reference(
                    connection, project=project, source="annotation", annotation_id=annotation, **image
                )
                changed = True
        return changed

    # --- the way into the bank

    def fetched(self, reference: Reference, sha: str, file: str) -> bool:
        """The image is here, under this name. False when the row went away meanwhile."""
        with self._database.write() as connection:
            done = connection.execute(
                "UPDATE reference_images SET sha = ?, file = ? WHERE id = ? AND url = ?",
                (sha, file, reference.id, reference.url),
            )
        return done.rowcount > 0

    def settle(
        self,
        reference: Reference,
        state: ReferenceState,
        *,
        reason: str = "",
        model_version: str = "",
        retry_at: float = 0.0,
    ) -> None:
        """Write down how an attempt ended; ``pending`` with `retry_at` (Unix seconds) tries again later."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE reference_images SET state = ?, reason = ?, model_version = ?, due = ?, "
                "attempts = attempts + ? WHERE id = ? AND url = ?",
                (state, reason, model_version, retry_at, state != "ready", reference.id, reference.url),
            )

    def try_again(self, project: str, reference: int) -> None:
        """A failed reference starts over."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE reference_images SET state = 'pending', reason = '', attempts = 0, due = 0 "
                "WHERE project = ? AND id = ? AND state = 'failed'",
                (project, reference),
            )

    def encode_again(self, model_version: str) -> int:
        """Send what another model version encoded through the encoder again; answer how many rows that is."""
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE reference_images SET state = 'pending', due = 0, attempts = 0 "
                "WHERE state = 'ready' AND model_version != ?",
                (model_version,),
            )
        return changed.rowcount

    def prepare_again(self, project: str, product: str) -> int:
        """Send every reference of a bank through the encoder again; answer how many rows that is."""
        with self._database.write() as connection:
            changed = connection.execute(
                "UPDATE reference_images SET state = 'pending', due = 0, attempts = 0 "
                "WHERE project = ? AND product = ? AND state = 'ready'",
                (project, product),
            )
        return changed.rowcount

    def fetch_again(self) -> None:
        """Give what could never be fetched another chance: a key may have been set, a server be up again."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE reference_images SET state = 'pending', attempts = 0, due = 0 "
                "WHERE file = '' AND (state = 'failed' OR attempts > 0)"
            )

    def save_scores(self, project: str, product: str, scores: Mapping[str, tuple[float, float]]) -> None:
        """Keep (residual, oddness) of images, by SHA-256."""
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE reference_images SET residual = ?, oddness = ? "
                "WHERE project = ? AND product = ? AND sha = ?",
                [(residual, odd, project, product, sha) for sha, (residual, odd) in scores.items()],
            )

    def _select(self, where: str, values: Sequence[Any]) -> list[Reference]:
        statement = f"SELECT {', '.join(_COLUMNS)} FROM reference_images WHERE {where}"  # noqa: S608  (constants)
        with self._database.read() as connection:
            rows = connection.execute(statement, values).fetchall()
        return [Reference(**row) for row in rows]


def insert_reference(connection: sqlite3.Connection, **values: Any) -> int:
    """Add a pending row inside a `Database.write` block; answer its id."""
    values = {"state": "pending", "added": time.time(), **values}
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO reference_images ({columns}) VALUES ({places})"  # noqa: S608  (names are ours)
    return int(connection.execute(statement, values).lastrowid or 0)
