"""Every task of a project, read through Label Studio's API by a job, whatever happens to the connection in between."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from adclick_backend.downloads.breaker import Patience
from adclick_backend.downloads.hosts import HostAtRest
from adclick_backend.jobs.control import JobFailed
from adclick_backend.label_studio.instance import LabelStudioError

if TYPE_CHECKING:
    from adclick_backend.services import Services

log = logging.getLogger(__name__)

PATIENCE_S = 1800.0  # that Label Studio may be away at a stretch
LONGEST_WAIT_S = 60.0  # between two attempts


class Control(Protocol):
    """How a job tells where it stands; see :class:`adclick_backend.jobs.control.JobControl`."""

    def report(self, message: str, progress: float) -> None:
        """What a person should read, and the share of the work that is done, in [0, 1].

        Raises an exception of the job's own when the job was cancelled, which ends it.
        """


class AllTasks:
    """The tasks of one project, for one job.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        sleep: waits that many seconds.

    Attributes:
        share: of the work that is done, in [0, 1], for what is said while Label Studio is away.
        failed: tasks that could not be worked on.
    """

    def __init__(
        self, project: str, services: Services, control: Control, sleep: Callable[[float], object]
    ) -> None:
        self.label_studio = services.connections.label_studio(project)
        self.share, self.failed = 0.0, 0
        self._project, self._services, self._control, self._sleep = project, services, control, sleep
        self._patience = Patience(sleep)
        self._away_s = 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every task once, as Label Studio has it.

        Raises:
            JobFailed: Label Studio refuses, or was away for longer than `PATIENCE_S`.
        """
        seen: set[int] = set()
        while True:
            try:
                for task in self.label_studio.tasks(self._project):
                    self.is_back()
                    if task["id"] not in seen:
                        seen.add(task["id"])
                        yield task
            except LabelStudioError as error:
                self.wait(error)
            else:
                return

    def total(self) -> int:
        """Tasks of the project, for the progress; 0 when Label Studio does not say."""
        try:
            return int(self.label_studio.get(f"/api/projects/{self._project}")["task_number"])
        except (LabelStudioError, KeyError, TypeError, ValueError):
            return 0

    def fail(self, task_id: int | None, sentence: str) -> None:
        """A task cannot be worked on; the page of problems says why."""
        self.failed += 1
        self._services.report(self._project, sentence, task_id)

    def comes_back(self, error: Exception) -> bool:
        """Whether to try an image once more, after waiting for its host, or for Label Studio, to come back.

        False when Label Studio is there: then it is the image that is not.
        """
        if isinstance(error, HostAtRest) and self._patience.wait():
            return True
        try:
            self.label_studio.check()
        except LabelStudioError as away:
            self.wait(away)
            return True
        return False

    def is_back(self) -> None:
        """Label Studio answered."""
        self._away_s = 0.0

    def wait(self, error: LabelStudioError) -> None:
        """Wait for Label Studio to come back, longer each time; raises when that cannot help."""
        if error.status is not None and error.status != 429 and error.status < 500:
            raise JobFailed(str(error)) from error
        if self._away_s >= PATIENCE_S:
            raise JobFailed(f"{error} Start the job again once it is back; it goes on where it stopped.")
        wait = min(max(1.0, self._away_s), LONGEST_WAIT_S)
        log.warning("Waiting %.0f s for Label Studio: %s", wait, error)
        self._away_s += wait
        for left in range(round(wait), 0, -1):
            self._control.report(f"Label Studio does not answer; asked again in {left} s.", self.share)
            self._sleep(1.0)
