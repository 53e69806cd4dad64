"""Predictions of tasks, computed for whoever brings them to Label Studio: here, or in a worker of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adclick_backend.answers.proposer import Prediction
from adclick_backend.config.labeling_config import LabelingConfig, parse_labeling_config
from adclick_backend.engine.bank import EngineError, VersionError
from adclick_backend.errors import ImageError
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.protocol.body import Task
from adclick_backend.settings import Settings

if TYPE_CHECKING:
    from adclick_backend.services import Services

RawTask = dict[str, Any]
"""``id`` and ``data`` of a task."""


@dataclass(frozen=True)
class Predicted:
    """What came of one task.

    Attributes:
        version: the name of the version that looked at it.
        prediction: None when there is nothing to say.
        error: why it could not be looked at: an EngineError, ImageError or LabelStudioError.
    """

    version: str
    prediction: Prediction | None = None
    error: Exception | None = None


class TaskPredictor:
    """Looks at tasks with the version that serves.

    Args:
        project: project id.
        services: of this process.
    """

    def __init__(self, project: str, services: Services) -> None:
        self._project = project
        self._services = services

    def __call__(self, tasks: list[RawTask]) -> list[Predicted]:
        """What comes of each of the tasks."""
        config = parse_labeling_config(
            self._services.store.projects.get(self._project).label_config,
            background_labels=self._services.settings.background_labels,
        )
        return [self._look(Task(id=raw["id"], data=raw["data"]), config) for raw in tasks]

    def _look(self, task: Task, config: LabelingConfig) -> Predicted:
        proposer = self._services.proposer
        serving = proposer.serving(self._project)
        try:
            if not proposer.can_propose(self._project, task, config, serving):
                return Predicted(serving.name)
            self._services.traffic.give_way()
            return Predicted(serving.name, proposer.predict(self._project, task, config, serving))
        except VersionError as error:
            if proposer.serving(self._project) != serving:
                return self._look(task, config)  # with the version before
            return Predicted(serving.name, error=error)
        except (EngineError, ImageError, LabelStudioError) as error:
            return Predicted(serving.name, error=error)


def predictor_of(settings: str, project: str) -> TaskPredictor:
    """In a worker of a cluster: the predictor of a project.

    Args:
        settings: of the backend, as JSON.
        project: project id.
    """
    from adclick_backend.logs import configure_logging
    from adclick_backend.services import Services
    from adclick_backend.web.server import secrets_of

    read = Settings.model_validate_json(settings)
    configure_logging(read.log_level, secrets_of(read))
    return TaskPredictor(project, Services(read))
