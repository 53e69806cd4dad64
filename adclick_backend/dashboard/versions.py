"""The page of a project's versions: which serves, how good each is, and switching between them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, request, send_file
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.comparisons import compare, judgement
from adclick_backend.dashboard.figures import measures
from adclick_backend.dashboard.pages import Pages
from adclick_backend.engine.bank import EngineError, VersionError
from adclick_backend.errors import ApiError
from adclick_backend.store.versions import RegistryError, Version

log = logging.getLogger(__name__)

SHOWN = 4  # measures in the table


@dataclass(frozen=True)
class VersionTable:
    """The versions, the newest first, with the measures that the newest has."""

    versions: Sequence[Version]
    columns: Sequence[str]  # names of measures
    figures: Mapping[str, Mapping[str, float]]  # of each version, by its name

    @property
    def serving(self) -> Version | None:
        """The one that serves."""
        return next((version for version in self.versions if version.serving), None)


def list_versions(versions: Sequence[Version]) -> VersionTable:
    """Lay out the versions of a project."""
    figures = {version.name: measures(version.metrics) for version in versions}
    columns = list(figures[versions[0].name])[:SHOWN] if versions else []
    return VersionTable(versions, columns, figures)


def add_versions(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    registry, jobs = pages.services.registry, pages.services.jobs

    def find(project: str, name: str) -> Version:
        try:
            return registry.get(pages.known(project), name)
        except RegistryError as error:
            raise ApiError(404, "not_found", str(error)) from error

    def change(project: str, action: Callable[[str], str]) -> ResponseReturnValue:
        project = pages.known(project)
        try:
            said = action(project)
        except RegistryError as error:
            raise ApiError(409, "conflict", str(error)) from error
        return pages.back("versions", project, said=said)

    @blueprint.get("/projects/<project>/versions")
    def versions(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        pushing = [job for job in jobs.of_project(project) if job.active and job.kind == "push"]
        return pages.show(
            "versions",
            project,
            view=list_versions(registry.list(project)),
            before=registry.before(project),
            fallen=registry.fallen(project),
            pushing=bool(pushing),
        )

    @blueprint.get("/projects/<project>/versions/compare")
    def compare_versions(project: str) -> ResponseReturnValue:
        first = find(project, request.args.get("first", ""))
        second = find(project, request.args.get("second", ""))
        return pages.show(
            "versions", pages.known(project), template="compare.html", view=compare(first, second)
        )

    @blueprint.get("/projects/<project>/versions/<name>")
    def version(project: str, name: str) -> ResponseReturnValue:
        found = find(project, name)
        return pages.show("versions", pages.known(project), template="compare.html", view=judgement(found))

    @blueprint.get("/projects/<project>/versions/<name>/pictures/<picture>")
    def picture(project: str, name: str, picture: str) -> ResponseReturnValue:
        known = {path.name: path for path in find(project, name).pictures}
        if picture not in known:
            raise ApiError(404, "not_found", "There is no such picture.")
        return send_file(known[picture].resolve(), mimetype="image/png", conditional=True)

    @blueprint.post("/projects/<project>/versions/<name>/activate")
    def activate(project: str, name: str) -> ResponseReturnValue:
        def activated(known: str) -> str:
            weights = registry.get(known, name).weights
            try:
                pages.services.engine.load(weights)
            except VersionError as error:
                registry.refuse(known, weights, str(error))
            except EngineError as error:
                log.warning("Whether %s of project %s can be loaded is not known: %s", name, known, error)
            return f"Version {registry.activate(known, name).name} serves now."

        return change(project, activated)

    @blueprint.post("/projects/<project>/versions/roll-back")
    def roll_back(project: str) -> ResponseReturnValue:
        def rolled_back(known: str) -> str:
            found = registry.roll_back(known)
            return f"Rolled back: {f'version {found.name}' if found else 'the packaged network'} serves now."

        return change(project, rolled_back)

    @blueprint.post("/projects/<project>/versions/push")
    def push(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        jobs.enqueue(project, "push", "the dashboard", again=True)
        return pages.back("training", project)

    @blueprint.post("/projects/<project>/versions/<name>/delete")
    def delete(project: str, name: str) -> ResponseReturnValue:
        def deleted(known: str) -> str:
            registry.delete(known, name)
            return f"Version {name} is deleted."

        return change(project, deleted)
