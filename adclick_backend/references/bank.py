"""The defect-free images of each project: which they are, and the copies that are kept of them."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from adclick_backend.engine.bank import Bank
from adclick_backend.errors import ImageError
from adclick_backend.references.events import AnnotationSaved, AnnotationsDeleted, Event, TasksDeleted
from adclick_backend.settings import Settings
from adclick_backend.store import Reference, Store, project_id

_SUFFIX = re.compile(r"\.([A-Za-z0-9]{1,5})$")
_SHA = re.compile(r"[0-9a-f]{64}")
_LEFTOVER_AGE_S = 600.0


class References:
    """The references of all projects.

    A project's images lie in ``data_dir/projects/<id>/references/``, under their SHA-256. What has to be
    fetched or encoded is only written down here; `ReferenceKeeper` does it.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def bank(self, project: str, product: str = "") -> Bank:
        """What is ready to be compared with, for images of one product."""
        return Bank(project, product, self._store.references.bank(project, product))

    def product_of(self, task_data: Mapping[str, Any]) -> str:
        """The product that a task says its image shows; "" when products are not told apart."""
        value = task_data.get(self._settings.product_field) if self._settings.product_field else None
        return "" if value is None else str(value).strip()[:200]

    # --- ways in and out

    def add(self, project: str, data: bytes, *, source: str, name: str = "", product: str = "") -> Reference:
        """Keep the bytes of an image file that was handed in, and put it on the way into the bank.

        Args:
            project: project id, ``[0-9]+``.
            data: the file as it is; a file that is no image ends up as a failed reference that says so.
            source: ``"upload"``, ``"folder"`` or ``"command line"``.
            name: what a person knows the file by.
            product: the bank it belongs to.
        """
        sha = hashlib.sha256(data).hexdigest()
        file = self.keep(project, sha, data, name)
        return self._store.references.add(
            project, product=product, sha=sha, source=source, name=name[:200], file=file
        )

    def remove(self, project: str, reference: int) -> bool:
        """Take one reference out; False when the project has no such reference."""
        return self._store.references.delete(project, reference) is not None

    def apply(self, project: str, event: Event, *, image_field: str) -> bool:
        """Do what a webhook says; answer whether anything changed.

        Args:
            project: project id.
            event: the webhook, believed.
            image_field: the field of the task data that holds the image's URL.

        Raises:
            ImageError: the task has no such field.
        """
        if isinstance(event, AnnotationsDeleted):
            gone = [self._store.annotations.delete(project, named.id) for named in event.annotations]
            return any(gone)
        if isinstance(event, TasksDeleted):
            return self._store.annotations.delete_tasks(project, [named.id for named in event.tasks])
        annotation, data = event.annotation, event.task.data
        image = None
        if annotation.is_normal(self._settings.normal_choices):
            url = image_url(data, image_field)
            image = {"url": url, "product": self.product_of(data), "name": image_name(url)}
        return self._store.annotations.put(
            project, annotation.id, changed_at=annotation.changed_at, task_id=annotation.task, image=image
        )

    def doubt(self, project: str, event: Event) -> None:
        """Believe nothing of a webhook, but have its annotations read from Label Studio."""
        if isinstance(event, AnnotationSaved):
            asked = [event.annotation.id]
        elif isinstance(event, AnnotationsDeleted):
            asked = [named.id for named in event.annotations]
        else:
            asked = self._store.annotations.of_tasks(project, [named.id for named in event.tasks])
        self._store.annotations.ask_check(project, asked)

    # --- the copies

    def keep(self, project: str, sha: str, data: bytes, name: str) -> str:
        """Keep a copy of an image file; answer its file name."""
        file = copy_name(sha, name)
        write_atomically(self._folder(project, "references") / file, data)
        return file

    def path(self, reference: Reference) -> Path:
        """The kept copy of a reference."""
        return self._folder(reference.project, "references") / reference.file

    def thumbnail(self, project: str, sha: str) -> Path:
        """Where the small picture of a reference for the status page is.

        Raises:
            ValueError: `sha` is no SHA-256.
        """
        if not _SHA.fullmatch(sha):
            raise ValueError(f"{sha[:80]!r} is not a SHA-256.")
        return self._folder(project, "thumbnails") / f"{sha}.jpg"

    def sweep(self) -> int:
        """Delete the copies that nothing refers to any more; answer how many those were.

        Young files are left alone: their row may be just about to be written.
        """
        deleted = 0
        projects = self._settings.data_dir / "projects"
        for folder in (*projects.glob("*/references"), *projects.glob("*/thumbnails")):
            kept = self._store.references.kept_shas(folder.parent.name)
            for file in folder.iterdir():
                if file.name.partition(".")[0] not in kept and not is_young(file):
                    file.unlink(missing_ok=True)
                    deleted += 1
        return deleted

    def _folder(self, project: str, kind: str) -> Path:
        return self._settings.data_dir / "projects" / project_id(project) / kind


def image_url(task_data: Mapping[str, Any], field: str) -> str:
    """The URL of a task's image.

    Raises:
        ImageError: the task has no such field, or it holds no text.
    """
    url = task_data.get(field)
    if isinstance(url, str) and url:
        return url
    known = ", ".join(sorted(task_data)) or "none"
    raise ImageError(
        f"The labeling config takes the image from the task's field {field!r}, but the task has the fields "
        f"{known[:200]}."
    )


def image_name(url: str) -> str:
    """The file name at the end of an image's URL, readable."""
    parts = urlsplit(url)
    path = parse_qs(parts.query).get("d", [parts.path])[0]  # /data/local-files/?d=folder/name.png
    return unquote(path).rstrip("/").rpartition("/")[2][:200]


def copy_name(sha: str, name: str) -> str:
    """The file name of a kept copy: its SHA-256, with the ending of the name that a person knows it by."""
    suffix = _SUFFIX.search(name)
    return f"{sha}.{suffix[1].lower() if suffix else 'img'}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        half.write_bytes(data)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def is_young(file: Path) -> bool:
    """Whether the file was written just now: what refers to it may be about to be written as well."""
    try:
        return time.time() - file.stat().st_mtime <= _LEFTOVER_AGE_S
    except FileNotFoundError:  # another worker swept it
        return True
