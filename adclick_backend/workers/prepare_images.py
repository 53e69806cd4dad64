"""The job that prepares every image of a project, so that each first click finds its image ready."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from adclick_backend.config.labeling_config import ImageSettings, summary_sentence
from adclick_backend.engine.bank import EngineError
from adclick_backend.engine.cache import DiskRoom
from adclick_backend.errors import ImageError
from adclick_backend.jobs.control import JobFailed
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.protocol.body import Task
from adclick_backend.workers.all_tasks import AllTasks, Control

if TYPE_CHECKING:
    from adclick_backend.services import Services

log = logging.getLogger(__name__)

QUIET_S = 2.0
"""Nobody clicked for so long: then an image is prepared."""

LONGEST_S = 10.0
"""So long an image waits for people who click without a pause."""


def run(
    project: str, services: Services, control: Control, *, sleep: Callable[[float], object] = time.sleep
) -> str:
    """Fetch, decode and encode every image of a project, compare it with its references, and keep that on disk.

    An image that lies there prepared is passed over, so a job that was cancelled or killed goes on where it stopped. It
    ends when the disk cache is full: nothing that is kept, and no reference, makes room for it.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        sleep: waits that many seconds.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: Label Studio refuses, or was away for too long, or no image of the project can be clicked.
    """
    return _Preparing(project, services, control, sleep).run()


def budget_sentence(total: int, room: DiskRoom) -> str:
    """How much the images of a project need and how many fit, before anything is prepared.

    Args:
        total: images; 0 when that is not known.
        room: of the disk cache.
    """
    limit = f"the disk cache (ADCLICK_DISK_CACHE_MB) holds {_mb(room.capacity)}"
    if not total:
        return f"An image needs about {_mb(room.each)}; {limit}, which is enough for about {room.images} of them."
    needs = f"{_images(total)} {'needs' if total == 1 else 'need'} about {_mb(total * room.each)}; {limit}"
    fit = "all fit" if room.images >= total else f"about {room.images} fit"
    others = room.held - room.own
    return f"{needs}, of which references and other projects take {_mb(others)}: {fit}."


class _Preparing:
    """One run of the job."""

    def __init__(
        self, project: str, services: Services, control: Control, sleep: Callable[[float], object]
    ) -> None:
        self._project, self._services, self._control, self._sleep = project, services, control, sleep
        self._tasks = AllTasks(project, services, control, sleep)
        self._ready = self._new = 0

    def run(self) -> str:
        """See the function `run`."""
        config = self._services.labels.config(self._project)
        if not config.can_click:
            raise JobFailed(summary_sentence(config))
        total, left_out = self._tasks.total(), 0
        said = budget_sentence(total, self._services.engine.room(self._project))
        log.info(said)
        self._control.report(said, 0.0)
        for looked_at, raw in enumerate(self._tasks, 1):
            task = Task(id=raw["id"], data=raw["data"])
            for image in config.shown_images(task.data):
                if image.can_click:
                    left_out += not self._prepare(task, image)
            total = max(total, looked_at)  # tasks may be added meanwhile
            self._tasks.share = looked_at / total
            self._control.report(f"{self._sentence()} {said}", self._tasks.share)
        failed = self._tasks.failed
        problems = f" {_images(failed)} could not be prepared; the problems page says why." * bool(failed)
        full = (
            f" {_images(left_out)} did not fit: raise ADCLICK_DISK_CACHE_MB, which is "
            f"{self._services.settings.disk_cache_mb}, restart, and start this again."
        ) * bool(left_out)
        return f"{self._sentence()}{problems}{full}"

    def _prepare(self, task: Task, image: ImageSettings) -> bool:
        """Prepare one image unless it is ready; False when there is no room for it."""
        segmenter = self._services.segmenter
        while True:
            self._give_way()
            try:
                if segmenter.is_prepared(self._project, task, image):
                    self._ready += 1
                    return True
                room = self._services.engine.room(self._project)
                if room.held + room.each > room.capacity:
                    return False
                segmenter.prepare(self._project, task, image)
            except EngineError as error:
                raise JobFailed(str(error)) from error
            except (ImageError, LabelStudioError) as error:
                if self._tasks.comes_back(error):
                    continue
                self._tasks.fail(task.id, str(error))
                return True
            self._ready += 1
            self._new += 1
            return True

    def _give_way(self) -> None:
        """Wait while somebody clicks, whichever process answers; the clicks need the processor."""
        waited = 0.0
        while waited < LONGEST_S and self._services.memory.since_last_click() < QUIET_S:
            self._control.report(f"{self._sentence()} Somebody is clicking: waiting.", self._tasks.share)
            self._sleep(QUIET_S / 4)
            waited += QUIET_S / 4

    def _sentence(self) -> str:
        return f"{_images(self._ready)} ready for a first click, {self._new or 'none'} of them prepared now."


def _images(number: int) -> str:
    return "1 image" if number == 1 else f"{number} images"


def _mb(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
