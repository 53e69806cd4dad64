"""Choosing the operating points of what serves a project, and taking that back. In words for people: thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from adclick_backend.store.operating_points import PointsNote, choose_points, points_before, undo_points
from adclick_backend.store.point_curves import CurveFiles
from adclick_backend.store.proposal_source import ProposalSource, words_of_source
from adclick_backend.store.version import Version
from adclick_backend.store.versions import Registry, RegistryError
from adclick_runtime.operating_points import USUAL_POINT, PointError, checked_points
from model.labels.labelled import DEFECT


@dataclass(frozen=True)
class Standing:
    """What serves a project, and where its maps are cut.

    Attributes:
        version: that serves; None before any training.
        source: of its maps, with the points that are in force.
        types: defect types that the maps tell apart.
        curve: where what was measured of it is kept.
        before: the points that would come back if the last change were taken back; None when there was none.
    """

    version: Version | None
    source: ProposalSource
    types: tuple[str, ...]
    curve: CurveFiles
    before: Mapping[str, float] | None

    @property
    def name(self) -> str:
        """Of the version; "" before any training."""
        return self.version.name if self.version else ""

    @property
    def points(self) -> dict[str, float]:
        """The point of every type, `USUAL_POINT` where nobody chose one."""
        return {**dict.fromkeys(self.types, USUAL_POINT), **dict(self.source.points)}


class Thresholds:
    """The operating points of what serves each project. What is chosen counts in all worker processes at once.

    Args:
        registry: the versions.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def of(self, project: str) -> Standing:
        """How it stands now."""
        version = self._registry.current(project)
        source = self._registry.shared_source(project)
        types = version.types(source.name) if version else (DEFECT,)
        curve = self._registry.curve(project, version, source.name)
        before = points_before(self._registry.points(project, version), source.name)
        return Standing(version, source, types, curve, before)

    def choose(self, project: str, version: str, source: str, points: Mapping[str, float]) -> Standing:
        """Let these points be in force; types that are not named are as calibrated.

        Args:
            project: project id.
            version: that the person saw; "" for none.
            source: of the maps that the person saw.
            points: defect type -> probability in (0, 1) from which on a place counts.

        Raises:
            RegistryError: that does not serve (any more), it knows no such type, or a point is no probability.
        """
        with self._changing(project, version, source) as standing:
            if unknown := sorted(set(points) - set(standing.types)):
                raise RegistryError(
                    f"{_who(standing)} of project {project} knows no defect type {unknown[0][:60]!r}; it knows: "
                    f"{', '.join(standing.types)}."
                )
            try:
                choose_points(self._points(project, standing), source, checked_points(points))
            except PointError as error:
                raise RegistryError(str(error)) from error
        return self.of(project)

    def undo(self, project: str, version: str, source: str) -> Standing:
        """Bring back the points that were in force before the last change; see :meth:`choose`.

        Raises:
            RegistryError: that does not serve (any more), or there is nothing to take back.
        """
        with self._changing(project, version, source) as standing:
            if standing.before is None:
                raise RegistryError(f"No threshold of {_who(standing)} was changed that could be taken back.")
            undo_points(self._points(project, standing), source)
        return self.of(project)

    def _points(self, project: str, standing: Standing) -> PointsNote:
        return self._registry.points(project, standing.version)

    @contextmanager
    def _changing(self, project: str, version: str, source: str) -> Iterator[Standing]:
        """What serves, while nobody else changes it; refused when that is not what the person saw."""
        with self._registry.changing(project):
            standing = self.of(project)
            if (standing.name, standing.source.name) != (version, source):
                raise RegistryError(
                    f"The threshold was meant for {version[:40] or 'what serves before any training'}, with masks from "
                    f"{words_of_source(source[:60])}, but {_who(standing)} serves project {project} now, with masks "
                    f"from {words_of_source(standing.source.name)}: nothing was changed. Look at its curve, and choose "
                    "there."
                )
            yield standing


def _who(standing: Standing) -> str:
    return f"version {standing.name}" if standing.version else "the packaged network"
