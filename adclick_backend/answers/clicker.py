"""Which click network answers a click: that of the version that its object was begun with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from adclick_backend.answers.segmenter import Answered, AnsweredAlike, Segmenter
from adclick_backend.clicks.key_points import ClickObject
from adclick_backend.config.labeling_config import ImageSettings
from adclick_backend.engine.bank import VersionError
from adclick_backend.protocol.body import Task
from adclick_backend.store.version import Version
from adclick_backend.store.versions import Registry, RegistryError

Found = TypeVar("Found", Answered, AnsweredAlike)


class Clicker:
    """Answers clicks. One serves all requests.

    Args:
        segmenter: brings images to the engine.
        registry: the trained versions.
        shared: name of the click network that answers where a version has none of its own.
    """

    def __init__(self, segmenter: Segmenter, registry: Registry, shared: str) -> None:
        self._segmenter, self._registry, self._shared = segmenter, registry, shared

    def serving(self, project: str) -> str:
        """The version whose click network answers an object that is begun now; "" for the shared network."""
        version = self._registry.current(project)
        return "" if version is None or version.clicks is None else version.name

    def answer(self, project: str, task: Task, wanted: ClickObject, image: ImageSettings) -> Answered:
        """The mask that the clicks ask for, by one click network for all of them: ``wanted.version``.

        A click network that cannot be loaded is refused, and the shared one answers.

        Raises:
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        return self._by_one_network(
            project,
            wanted,
            lambda weights, name: self._segmenter.segment(project, task, wanted, image, weights, name),
        )

    def answer_alike(
        self, project: str, task: Task, wanted: ClickObject, image: ImageSettings
    ) -> AnsweredAlike:
        """Every place that is like the clicked ones; see :meth:`answer`."""
        return self._by_one_network(
            project,
            wanted,
            lambda weights, name: self._segmenter.segment_alike(project, task, wanted, image, weights, name),
        )

    def _by_one_network(
        self, project: str, wanted: ClickObject, ask: Callable[[Path | None, str], Found]
    ) -> Found:
        version = self._version(project, wanted.version)
        if version is not None and version.clicks is not None:
            name = self._registry.full_name(project, version.name)
            try:
                return ask(version.clicks, name)
            except VersionError as error:
                self._registry.refuse(project, version.clicks, str(error))
        return ask(None, self._shared)

    def told(self, project: str, answered: Answered | AnsweredAlike) -> str:
        """What Label Studio is told as ``model_version`` of an answer.

        The shared network goes by the name of the version that serves, as long as that has no click network of its own.
        """
        if answered.model_version == self._shared and not self.serving(project):
            return self._registry.serving_name(project)
        return answered.model_version

    def _version(self, project: str, name: str) -> Version | None:
        """The version of that name; the one that serves when it was deleted meanwhile."""
        if not name:
            return None
        try:
            return self._registry.get(project, name)
        except RegistryError:
            return self._registry.current(project)
