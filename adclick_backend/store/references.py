"""Reference images: the defect-free pictures of a project, and how far each is on its way into the bank."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from adclick_backend.store.database import FARTHEST_S, KEPT_S, Database
from adclick_backend.store.statements import new_id, run_for_each, upsert
from adclick_backend.store.tables import former_references, reference_images

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


_ROW = reference_images.c
_ANEW: dict[str, Any] = {"state": "pending", "attempts": 0, "due": 0.0}
"""Values of a row that is to go through the encoder, with every attempt to come."""


_BANK = (
    select(_ROW.sha)
    .where(_ROW.project == bindparam("of"), _ROW.product == bindparam("product_of"), _ROW.state == "ready")
    .distinct()
    .order_by(_ROW.sha)
)


class ReferenceTable:
    """Tables ``reference_images`` and ``former_references``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading

    def of_project(self, project: str) -> list[Reference]:
        """Every reference of the project, the oldest first."""
        return self._select(
            select(reference_images).where(_ROW.project == project).order_by(_ROW.added, _ROW.id)
        )

    def get(self, project: str, reference: int) -> Reference | None:
        """The reference, if this project has it."""
        found = self._select(select(reference_images).where(_this(project, reference)))
        return found[0] if found else None

    def bank(self, project: str, product: str) -> tuple[str, ...]:
        """SHA-256 of every image that is ready, each once, sorted."""
        with self._database.read() as connection:
            shas = connection.execute(_BANK, {"of": project, "product_of": product}).scalars()
            return tuple(shas)

    def banks(self) -> list[tuple[str, str]]:
        """Every (project, product) with a ready reference."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_ROW.project, _ROW.product)
                .where(_ROW.state == "ready")
                .distinct()
                .order_by(_ROW.project, _ROW.product)
            ).all()
        return [(row.project, row.product) for row in rows]

    def kept_shas(self, project: str) -> set[str]:
        """SHA-256 of every image of which a copy must be kept."""
        with self._database.read() as connection:
            shas = connection.execute(
                select(_ROW.sha)
                .where(_ROW.project == project, _ROW.sha != "")
                .union(select(former_references.c.sha).where(former_references.c.project == project))
            ).scalars()
            return set(shas)

    def former_copy(self, project: str, url: str) -> str:
        """Name of the kept copy of an image that was a reference until lately; "" when there is none."""
        with self._database.read() as connection:
            file = connection.execute(
                select(former_references.c.file).where(
                    former_references.c.project == project, former_references.c.url == url
                )
            ).scalar_one_or_none()
        return file or ""

    def counts(self) -> list[tuple[str, str, str, int]]:
        """(project, product, state, number of rows) of everything there is."""
        with self._database.read() as connection:
            group = (_ROW.project, _ROW.product, _ROW.state)
            rows = connection.execute(select(*group, func.count()).group_by(*group).order_by(*group)).all()
        return [(project, product, state, int(number)) for project, product, state, number in rows]

    def next_pending(self) -> Reference | None:
        """The reference to work on now: the oldest pending one that is due."""
        now = self._database.now()
        found = self._select(
            select(reference_images)
            .where(_ROW.state == "pending", ~_ROW.due.between(now, now + FARTHEST_S))
            .order_by(_ROW.due, _ROW.id)
            .limit(1)
        )
        return found[0] if found else None

    # --- adding and removing

    def add(self, project: str, *, product: str, sha: str, source: str, name: str, file: str) -> Reference:
        """Add an image that was handed in. The same file twice in one product is one row."""
        with self._database.write() as connection:
            identifier = connection.execute(
                select(_ROW.id)
                .where(
                    *(_ROW.project == project, _ROW.product == product, _ROW.sha == sha),
                    _ROW.annotation_id.is_(None),
                )
                .limit(1)
            ).scalar_one_or_none()
            if identifier is not None:
                connection.execute(
                    update(reference_images)
                    .where(_ROW.id == identifier, _ROW.state.in_(("failed", "removed")))
                    .values(_ANEW | {"reason": ""})
                )
            else:
                identifier = insert_reference(
                    connection,
                    self._database.now(),
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
        values = {"state": "removed", "reason": "", "due": self._database.now()}
        return self._update(and_(_this(project, reference), _ROW.state != "removed"), values) > 0

    def put_back(self, project: str, reference: int) -> bool:
        """A removed reference goes into the bank again; False when there is none to put back."""
        return self._update(and_(_this(project, reference), _ROW.state == "removed"), _ANEW) > 0

    def removed_tasks(self, project: str) -> set[tuple[int, str]]:
        """(task, product) of the references that a person took out."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_ROW.task_id, _ROW.product).where(
                    _ROW.project == project, _ROW.state == "removed", _ROW.task_id.is_not(None)
                )
            ).all()
        return {(int(row.task_id), row.product) for row in rows}

    def purge(self) -> int:
        """Forget files that were handed in and removed longer than `KEPT_S` ago; how many those were.

        Of a removed annotation the row stays, or its annotation would bring it back.
        """
        with self._database.write() as connection:
            before = self._database.now() - KEPT_S
            connection.execute(delete(former_references).where(former_references.c.gone < before))
            gone = connection.execute(
                delete(reference_images).where(
                    _ROW.state == "removed", _ROW.annotation_id.is_(None), _ROW.due < before
                )
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
            now = self._database.now()
            rows = (
                connection.execute(
                    select(reference_images).where(_ROW.project == project, _ROW.annotation_id.is_not(None))
                )
                .mappings()
                .all()
            )
            missing = {
                (annotation, image["url"], image["product"]): image
                for annotation, images in wanted.items()
                for image in images
            }
            for row in rows:
                if looked_at is not None and row["task_id"] not in looked_at:
                    continue
                if missing.pop((row["annotation_id"], row["url"], row["product"]), None) is None:
                    if row["file"]:
                        copy = {name: row[name] for name in ("project", "url", "sha", "file")}
                        upsert(connection, former_references, {**copy, "gone": now})
                    connection.execute(delete(reference_images).where(_ROW.id == row["id"]))
                    changed = True
            for (annotation, _, _), image in missing.items():
                insert_reference(
                    connection, now, project=project, source="annotation", annotation_id=annotation, **image
                )
                changed = True
        return changed

    # --- the way into the bank

    def fetched(self, reference: Reference, sha: str, file: str) -> bool:
        """The image is here, under this name. False when the row went away meanwhile."""
        return self._update(_same(reference), {"sha": sha, "file": file}) > 0

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
        values = {"state": state, "reason": reason, "model_version": model_version, "due": retry_at}
        self._update(_same(reference), {**values, "attempts": _ROW.attempts + int(state != "ready")})

    def try_again(self, project: str, reference: int) -> None:
        """A failed reference starts over."""
        self._update(and_(_this(project, reference), _ROW.state == "failed"), _ANEW | {"reason": ""})

    def encode_again(self, model_version: str) -> int:
        """Send what another model version encoded through the encoder again; answer how many rows that is."""
        return self._update(and_(_ROW.state == "ready", _ROW.model_version != model_version), _ANEW)

    def prepare_again(self, project: str, product: str) -> int:
        """Send every reference of a bank through the encoder again; answer how many rows that is."""
        bank = and_(_ROW.project == project, _ROW.product == product)
        return self._update(and_(bank, _ROW.state == "ready"), _ANEW)

    def fetch_again(self) -> None:
        """Give what could never be fetched another chance: a key may have been set, a server be up again."""
        self._update(and_(_ROW.file == "", or_(_ROW.state == "failed", _ROW.attempts > 0)), _ANEW)

    def save_scores(self, project: str, product: str, scores: Mapping[str, tuple[float, float]]) -> None:
        """Keep (residual, oddness) of images, by SHA-256."""
        with self._database.write() as connection:
            run_for_each(
                connection,
                update(reference_images)
                .where(
                    *(_ROW.project == project, _ROW.product == product),
                    _ROW.sha == bindparam("of_image"),
                )
                .values(residual=bindparam("its_residual"), oddness=bindparam("its_oddness")),
                (
                    {"of_image": sha, "its_residual": residual, "its_oddness": odd}
                    for sha, (residual, odd) in scores.items()
                ),
            )

    def _select(self, statement: Select[Any]) -> list[Reference]:
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return [Reference(**row) for row in rows]

    def _update(self, condition: ColumnElement[bool], values: Mapping[str, Any]) -> int:
        """Change rows; answer how many."""
        with self._database.write() as connection:
            return connection.execute(update(reference_images).where(condition).values(values)).rowcount


def _this(project: str, reference: int) -> ColumnElement[bool]:
    return and_(_ROW.project == project, _ROW.id == reference)


def _same(reference: Reference) -> ColumnElement[bool]:
    """The row, unless it has become one of another image meanwhile."""
    return and_(_ROW.id == reference.id, _ROW.url == reference.url)


def insert_reference(connection: Connection, now: float, **values: Any) -> int:
    """Add a pending row inside a `Database.write` block; answer its id."""
    added = connection.execute(insert(reference_images).values({"state": "pending", "added": now, **values}))
    return new_id(added)
