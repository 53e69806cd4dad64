"""Pictures of labelled images with their masks, made once and kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.shapes import RegionError, draw
from adclick_backend.dashboard.drawing import COLOURS, jpeg, with_masks
from adclick_backend.errors import FilesError, ImageError
from adclick_backend.images.shrinking import shrunk
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.services import Services
from adclick_backend.store import LabelledTask, project_id
from model.checkpoint.atomic import write_atomically

KEPT = 4000  # pictures of a project
SWEPT = 400  # of the oldest go at a time when there are more

_LAYOUT = "1"  # raised when the pictures look different


class LabelPictures:
    """Draws what people labelled; pictures lie in ``data_dir/projects/<id>/gallery``, where any worker finds them.

    Args:
        services: of the backend.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._drawing = threading.Lock()  # a page asks for many at once, and somebody may be clicking

    def colours(self, project: str, types: Iterable[str]) -> dict[str, int]:
        """Place in `COLOURS` of each defect type: the same on all pictures of the project."""
        known = [*self._services.labels.vocabulary(project).labels]
        order = known + sorted(set(types) - set(known))
        return {name: order.index(name) % len(COLOURS) for name in types}

    def of(self, project: str, task: int, image: str, side: int, *, masks: bool) -> bytes:
        """A JPEG file of a labelled image, with its masks or without.

        Args:
            project: project id.
            task: the task.
            image: key of the image in the labeling config.
            side: the longer side of the picture has at most so many pixels.
            masks: whether they are drawn.

        Raises:
            ImageError: nothing is labelled there, or the image is not here or cannot be read.
        """
        rows = [row for row in self._services.store.labels.some(project, [task]) if row.image == image]
        if not rows or not rows[0].file:
            raise ImageError(f"Of task {task} there is no labelled image here.")
        row = rows[0]
        kept = self._folder(project) / f"{self._name(row, side, masks)}.jpg"
        with suppress(OSError):
            if data := kept.read_bytes():
                return data
        with self._drawing:
            self._services.traffic.give_way()
            data = jpeg(self._drawn(project, row, side, masks))
        with suppress(OSError):  # a full disk costs time, not pictures
            write_atomically(kept, data, durable=False)
            _trim(kept.parent)
        return data

    def _drawn(self, project: str, row: LabelledTask, side: int, masks: bool) -> NDArray[np.uint8]:
        services = self._services
        try:
            data = services.labels.path(project, row.file).read_bytes()
        except FilesError as error:
            raise ImageError(str(error)) from error
        except OSError as error:
            raise ImageError(
                f"The kept copy of the image of task {row.task_id} is gone; synchronise on the page Labels."
            ) from error
        product = services.references.product_of(row.data, row.image)
        white = services.references.white_points.of_product(project, product)
        pixels = LoadedImage(data, services.settings.max_megapixels).read(white)
        height, width = pixels.shape[:2]
        small = shrunk(pixels, side)
        if not masks:
            return small
        _, statement = services.labels.reader(project)(row)
        found: dict[str, NDArray[np.bool_]] = {}
        for drawn in statement.drawn:
            with suppress(RegionError):  # the page Labels says what cannot be read
                mask = draw(drawn.region, height, width)
                found[drawn.type] = found[drawn.type] | mask if drawn.type in found else mask
        return with_masks(small, found, self.colours(project, found))

    def _name(self, row: LabelledTask, side: int, masks: bool) -> str:
        shown = f"{row.sha} {row.image} {row.task_id} {row.updated} {side} {masks}"
        config = self._services.store.projects.get(row.project).label_config
        return hashlib.sha256(f"{_LAYOUT} {shown} {config}".encode(errors="replace")).hexdigest()

    def _folder(self, project: str) -> Path:
        return self._services.settings.data_dir / "projects" / project_id(project) / "gallery"


def _trim(folder: Path) -> None:
    """Delete the oldest pictures when there are too many."""
    files = list(folder.glob("*.jpg"))
    if len(files) <= KEPT:
        return
    times = []
    for file in files:
        with suppress(OSError):  # another process trims too
            times.append((file.stat().st_mtime, file))
    for _, file in sorted(times)[: len(files) - KEPT + SWEPT]:
        file.unlink(missing_ok=True)
