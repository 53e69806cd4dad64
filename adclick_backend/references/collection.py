"""The defect-free images of each project: which they are, and the copies that are kept of them."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from adclick_backend.config.labeling_config import LabelingConfig
from adclick_backend.config.xml import quoted
from adclick_backend.engine.bank import ReferenceBank
from adclick_backend.errors import ImageError
from adclick_backend.files import copy_name
from adclick_backend.images.addresses import image_name, image_url
from adclick_backend.images.decode import decode_image, is_deep_file
from adclick_backend.images.white_points import WhitePoints
from adclick_backend.labels.mirror import Labels
from adclick_backend.references.thumbnails import thumbnail
from adclick_backend.settings import Settings
from adclick_backend.store import Reference, Store, project_id
from adclick_backend.store.files import LocalFiles, open_files
from adclick_backend.store.files.kept import is_young
from model.checkpoint.atomic import write_atomically

log = logging.getLogger(__name__)

_SHA = re.compile(r"[0-9a-f]{64}")


class References:
    """The references of all projects.

    A project's images lie in ``projects/<id>/references/``, under their SHA-256. What has to be
    fetched or encoded is only written down here; `ReferenceKeeper` does it.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._files = open_files(settings)
        self.white_points = WhitePoints(store)

    def bank(self, project: str, product: str = "") -> ReferenceBank:
        """What is ready to be compared with, for images of one product."""
        white = self.white_points.of_references(project, product)
        return ReferenceBank(project, product, self._store.references.bank(project, product), white)

    def product_of(self, task_data: Mapping[str, Any], image: str = "") -> str:
        """The product that an image of a task shows; "" when products are not told apart.

        Args:
            task_data: of the task.
            image: key of the image. Several images of a task are several products, such as ``front`` and ``back``, or
                ``front/cap`` and ``back/cap`` where the task names one.
        """
        value = task_data.get(self._settings.product_field) if self._settings.product_field else None
        named = "" if value is None else str(value).strip()
        return "/".join(part for part in (image, named) if part)[:200]

    @staticmethod
    def missing_product(config: LabelingConfig, product: str) -> str:
        """Why images of that product would never be compared with anything, in a sentence; "" when they will."""
        names = [image.key for image in config.images if image.key]
        if not names or product.partition("/")[0] in names:
            return ""
        return (
            f"The tasks of this project show the images {quoted(names)}. Say which of them the files show: give "
            f'"{names[0]}" as their product.'
        )

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
        """Take one reference out; it can be put back. False when the project has no such reference."""
        return self._store.references.remove(project, reference)

    def put_back(self, project: str, reference: int) -> bool:
        """Put a removed reference back; False when there is none to put back."""
        return self._store.references.put_back(project, reference)

    def follow(self, project: str, labels: Labels, tasks: Collection[int] | None = None) -> bool:
        """Bring the references that annotations make in line with the labels; answer whether any changed.

        An image is a reference as long as the annotation of its task that counts calls it free of defects. Each image
        of a task is of a product of its own.

        Args:
            project: the project.
            labels: what annotations say.
            tasks: those whose labels changed; None for all of the project.
        """
        known, read, config = self._store.labels, labels.reader(project), labels.config(project)
        wanted: dict[int, list[dict[str, Any]]] = {}
        for task in known.of_project(project) if tasks is None else known.some(project, tasks):
            annotation, statement = read(task)
            image = config.image(task.image)
            if annotation is None or image is None or not statement.normal:
                continue
            try:
                url = task.url or image_url(task.data, image.value)
            except ImageError as error:
                self._store.problems.add(project, str(error), task.task_id)
                continue
            reference = {
                "url": url,
                "product": self.product_of(task.data, task.image),
                "name": image_name(url),
                "task_id": task.task_id,
            }
            wanted.setdefault(annotation["id"], []).append(reference)
        return self._store.references.follow(project, wanted, tasks)

    # --- the copies

    def keep(self, project: str, sha: str, data: bytes, name: str) -> str:
        """Keep a copy of an image file; answer its file name."""
        file = copy_name(sha, name)
        self._files.put(f"{_folder(project)}/{file}", data)
        return file

    def path(self, reference: Reference) -> Path:
        """The kept copy of a reference on this machine, fetched when need be; nothing is there when it is gone.

        Raises:
            FilesError: it cannot be fetched.
        """
        if not reference.file:
            return self._settings.data_dir / _folder(reference.project)
        name = f"{_folder(reference.project)}/{reference.file}"
        try:
            return self._files.path(name)
        except FileNotFoundError:
            return self._files.place(name)

    def thumbnail(self, project: str, sha: str) -> Path:
        """Where the small picture of a reference for the status page is.

        Raises:
            ValueError: `sha` is no SHA-256.
        """
        if not _SHA.fullmatch(sha):
            raise ValueError(f"{sha[:80]!r} is not a SHA-256.")
        return self._settings.data_dir / "projects" / project_id(project) / "thumbnails" / f"{sha}.jpg"

    def draw_thumbnail(self, project: str, sha: str) -> bool:
        """Draw the small picture anew, which another machine may have drawn; False when that cannot be done."""
        for row in self._store.references.of_project(project):
            if row.sha == sha and row.file:
                try:
                    data = self.path(row).read_bytes()
                    white = self.white_points.of_references(project, row.product)
                    pixels = decode_image(data, max_megapixels=self._settings.max_megapixels, white=white)
                    write_atomically(self.thumbnail(project, sha), thumbnail(pixels), durable=False)
                except (OSError, ImageError) as error:
                    log.warning("The small picture of a reference could not be drawn: %s", error)
                    return False
                return True
        return False

    def prepare_unmeasured(self) -> None:
        """Send banks with 16-bit images of which no white point is known, as earlier releases left them, again."""
        for project, product in self._store.references.banks():
            if self.white_points.of_references(project, product):
                continue
            rows = self._store.references.of_project(project)
            ready = [row for row in rows if row.product == product and row.state == "ready"]
            if any(self._is_deep(row) for row in ready):
                self._store.references.prepare_again(project, product)

    def _is_deep(self, reference: Reference) -> bool:
        try:
            return is_deep_file(self.path(reference), max_megapixels=self._settings.max_megapixels)
        except (OSError, ImageError):
            return False

    def sweep(self) -> int:
        """Delete the copies that nothing refers to any more; answer how many those were.

        Young files are left alone: their row may be just about to be written.
        """
        deleted = 0
        for project in self._files.names("projects"):
            kept, folder = self._store.references.kept_shas(project), f"projects/{project}/references"
            for file in self._files.names(folder):
                if file.partition(".")[0] not in kept and not is_young(self._files, f"{folder}/{file}"):
                    self._files.delete(f"{folder}/{file}")
                    deleted += 1
        here = LocalFiles(self._settings.data_dir)
        for project in here.names("projects"):
            kept, folder = self._store.references.kept_shas(project), f"projects/{project}/thumbnails"
            for file in here.names(folder):
                if file.partition(".")[0] not in kept and not is_young(here, f"{folder}/{file}"):
                    here.delete(f"{folder}/{file}")
                    deleted += 1
        return deleted


def _folder(project: str) -> str:
    """Where the copies of a project lie."""
    return f"projects/{project_id(project)}/references"
