"""The page of a project's versions: which serves, and how good each is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from flask import Blueprint, request, send_file
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.charts import Chart, draw_chart, thinned
from adclick_backend.dashboard.comparisons import compare, judgement
from adclick_backend.dashboard.figures import measures
from adclick_backend.dashboard.image_names import image_names
from adclick_backend.dashboard.operating_view import words_of_points
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.proposing import proposing
from adclick_backend.dashboard.sources import source_choice, source_table
from adclick_backend.dashboard.words import count
from adclick_backend.errors import ApiError
from adclick_backend.store.operating_points import point_changes
from adclick_backend.store.proposal_source import words_of_source
from adclick_backend.store.version import Version
from adclick_backend.store.versions import RegistryError

SHOWN = 6  # measures in the table
AVERAGED = 10  # accepted masks in a row whose clicks a point of the curve averages


@dataclass(frozen=True)
class ThresholdLine:
    """A change of the thresholds of a version."""

    at: float  # Unix seconds
    words: str
    source: str  # of the masks, in words
    undone: bool  # it took an earlier change back


@dataclass(frozen=True)
class VersionTable:
    """The versions, the newest first, with the measures that the newest has."""

    versions: Sequence[Version]
    columns: Sequence[str]  # names of measures
    figures: Mapping[str, Mapping[str, float]]  # of each version, by its name
    spent: Mapping[
        str, str
    ]  # clicks for an accepted mask in words, by the version that answered; "": by none

    @property
    def serving(self) -> Version | None:
        """The one that serves."""
        return next((version for version in self.versions if version.serving), None)


def list_versions(versions: Sequence[Version], spent: Mapping[str, tuple[int, float]]) -> VersionTable:
    """Lay out the versions of a project.

    Args:
        versions: the newest first.
        spent: name of a version, or "" for the shared click network -> accepted masks that were answered by its click
            network, and the mean number of clicks.
    """
    figures = {version.name: measures(version.metrics) for version in versions}
    columns = list(figures[versions[0].name])[:SHOWN] if versions else []
    words = {
        name: f"{mean:.1f} for each of {count(masks, 'accepted mask')}"
        for name, (masks, mean) in spent.items()
    }
    return VersionTable(versions, columns, figures, words)


def draw_effort(spent: Sequence[tuple[float, int]]) -> Chart | None:
    """Clicks for an accepted mask, over the accepted masks; None while there are too few for a curve.

    Args:
        spent: when each was answered last (Unix seconds), and how many clicks it took.
    """
    clicks = [number for _, number in sorted(spent)]
    runs = [clicks[i : i + AVERAGED] for i in range(len(clicks) - AVERAGED + 1)]
    points = [(float(i + AVERAGED), fmean(run)) for i, run in enumerate(runs)]
    if len(points) < 2:
        return None
    title = f"Clicks for an accepted mask (mean of {AVERAGED})"
    return draw_chart(title, {"clicks": thinned(points)}, across="accepted masks")


def find_version(pages: Pages, project: str, name: str) -> Version:
    """A version of a project.

    Raises:
        ApiError: there is none of this name (404).
    """
    try:
        return pages.services.registry.get(pages.known(project), name)
    except RegistryError as error:
        raise ApiError(404, "not_found", str(error)) from error


def add_versions(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page, and of the pages that show one version or two."""
    registry, jobs, store = pages.services.registry, pages.services.jobs, pages.services.store

    @blueprint.get("/projects/<project>/versions")
    def versions(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        spent = store.answers.clicks_by_version(project)
        names = {"": pages.services.engine.version}
        names |= {v.name: registry.full_name(project, v.name) for v in reversed(registry.list(project))}
        serving = registry.current(project)
        pushing = [job for job in jobs.of_project(project) if job.active and job.kind == "push"]
        return pages.show(
            "versions",
            project,
            view=list_versions(
                registry.list(project), {name: spent[full] for name, full in names.items() if full in spent}
            ),
            effort=draw_effort(store.answers.accepted_clicks(project)),
            before=registry.before(project),
            after=registry.after(project),
            deleted=registry.deleted(project),
            fallen=registry.fallen(project),
            pushing=bool(pushing),
            sources=source_table(serving) if serving else None,
            choice=source_choice(
                serving, registry.choice(project), pages.services.engine.shared_detector.source.name
            ),
            proposing=proposing(pages.services, project),
            in_force=words_of_points(dict(pages.services.thresholds.of(project).source.points)),
        )

    @blueprint.get("/projects/<project>/versions/compare")
    def compare_versions(project: str) -> ResponseReturnValue:
        first = find_version(pages, project, request.args.get("first", ""))
        second = find_version(pages, project, request.args.get("second", ""))
        return pages.show(
            "versions",
            pages.known(project),
            template="compare.html",
            shown=None,
            view=compare(first, second, image_names(store, pages.known(project))),
            sources=None,
        )

    @blueprint.get("/projects/<project>/versions/<name>")
    def version(project: str, name: str) -> ResponseReturnValue:
        found = find_version(pages, project, name)
        return pages.show(
            "versions",
            pages.known(project),
            template="compare.html",
            view=judgement(found, image_names(store, pages.known(project))),
            shown=found,
            serving=registry.current(pages.known(project)),
            sources=source_table(found),
            source_pictures=[path.name for path in found.source_pictures],
            thresholds=[
                ThresholdLine(
                    change.at, words_of_points(change.points), words_of_source(change.source), change.undone
                )
                for change in point_changes(found.points)
            ],
        )

    @blueprint.get("/projects/<project>/versions/<name>/pictures/<picture>")
    def picture(project: str, name: str, picture: str) -> ResponseReturnValue:
        found = find_version(pages, project, name)
        known = {path.name: path for path in (*found.pictures, *found.click_pictures, *found.source_pictures)}
        if picture not in known:
            raise ApiError(404, "not_found", "There is no such picture.")
        return send_file(known[picture].resolve(), mimetype="image/png", conditional=True)
