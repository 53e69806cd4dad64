"""Reading all labels of a project from Label Studio, page by page, and keeping what was read."""

from __future__ import annotations

import time
from collections.abc import Callable

from adclick_backend.downloads.breaker import Patience
from adclick_backend.downloads.hosts import HostAtRest
from adclick_backend.errors import ImageError
from adclick_backend.files import copy_name
from adclick_backend.images.addresses import image_name
from adclick_backend.images.connections import Connections
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.labels.annotators import read_annotators
from adclick_backend.labels.mirror import Labels
from adclick_backend.labels.reading import read_project, read_tasks
from adclick_backend.store import Store

PAGE = 50  # tasks; each comes with all its masks
NO_IMAGE = "The task has no image in the field that the labeling config names."
PATIENCE = 3  # images in a row that Label Studio does not give, until it counts as away


def sync(
    project: str,
    labels: Labels,
    store: Store,
    connections: Connections,
    progress: Callable[[float], None] = lambda share: None,
    give_way: Callable[[], None] = lambda: None,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Bring the copy of a project's labels up to date: annotations first, then the images that are missing.

    Whatever cannot be read leaves the copy as it was, so that nothing that was labelled is lost.

    Args:
        project: the project.
        labels: the copy.
        store: where it is written down.
        connections: to Label Studio.
        progress: told the share of labelled images that are here, in [0, 1].
        give_way: returns when no click is being answered.
        sleep: waits that many seconds.

    Returns:
        A sentence about what could not be read; "" when the copy is complete.

    Raises:
        OSError: the copy cannot be written, as when the disk is full.
    """
    problem = ""
    try:
        _read(project, labels, store, connections.label_studio(project), give_way)
    except LabelStudioError as error:
        problem = f"The newest labels could not be read, those known before are used. {error}"
    away = _fetch(project, labels, store, connections, progress, sleep)
    labels.sweep(project)
    return problem or away


def _read(
    project: str, labels: Labels, store: Store, label_studio: LabelStudio, give_way: Callable[[], None]
) -> None:
    """Read every annotated task; then look after those that were known and did not come."""
    read_project(project, store, label_studio)
    asked, seen = store.database.now(), set()
    for raw in label_studio.tasks(project, page_size=PAGE, only_annotated="true"):
        give_way()
        seen.add(raw["id"])
        labels.mirror(project, raw, asked)
    written = store.labels.updates(project)
    now = store.database.now()
    missing = [task for task, when in written.items() if task not in seen and not asked <= when <= now]
    read_tasks(project, missing, store, label_studio, labels.mirror)
    read_annotators(project, store, label_studio)
    store.suspicions.clear(project)


def _fetch(
    project: str,
    labels: Labels,
    store: Store,
    connections: Connections,
    progress: Callable[[float], None],
    sleep: Callable[[float], object],
) -> str:
    """Fetch the images that are missing; a sentence when Label Studio gives none of them."""
    images, here = store.labels.images(project), labels.copies(project)
    refused, patience = 0, Patience(sleep)
    for number, (task, url, file) in enumerate(images):
        progress(number / len(images))
        if file in here:
            continue
        if not url:
            store.labels.not_fetched(project, task, url, NO_IMAGE)
            continue
        try:
            image = _load(connections, url, project, task, patience)
            name = _keep(project, labels, url, image)
        except ImageError as error:
            store.labels.not_fetched(project, task, url, str(error))
            refused = refused + 1 if _is_away(error) else 0
            if refused == PATIENCE:
                return f"The images of some labelled tasks could not be fetched. {error}"
        else:
            refused = 0
            store.labels.fetched(project, task, url, sha=image.sha256, file=name)
    progress(1.0)
    return ""


def _load(connections: Connections, url: str, project: str, task: int, patience: Patience) -> LoadedImage:
    """The image of a task; raises ImageError."""
    while True:
        try:
            return connections.load_image(url, project, task)
        except HostAtRest:
            if not patience.wait():
                raise


def _keep(project: str, labels: Labels, url: str, image: LoadedImage) -> str:
    """Keep a copy of an image that can be decoded; its file name. Raises ImageError when it cannot."""
    _ = image.pixels
    name = copy_name(image.sha256, image_name(url))
    labels.keep(project, name, image.data)
    return name


def _is_away(error: ImageError) -> bool:
    """Whether the next image will fail for the same reason: Label Studio is down, busy, or refuses the key."""
    cause = error.__cause__
    return isinstance(cause, LabelStudioError) and (cause.passing or cause.status in (401, 403))
