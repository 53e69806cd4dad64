"""What a person may change about a project's versions: which serves, where masks come from, what is deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.answers.loadable import refusal
from adclick_backend.dashboard.figures import side_by_side
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.sources import roll_back_masks
from adclick_backend.dashboard.versions import find_version
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ApiError
from adclick_backend.store.proposal_source import ALWAYS, AUTOMATIC, WHEN, words_of_source

log = logging.getLogger(__name__)


def add_version_changes(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the forms on the page of the versions."""
    registry, jobs = pages.services.registry, pages.services.jobs

    def change(
        project: str, action: Callable[[str], str], undo: tuple[str, str] | None = None
    ) -> ResponseReturnValue:
        project = pages.known(project)
        return pages.back("versions", project, said=action(project), undo=undo)

    @blueprint.post("/projects/<project>/versions/<name>/activate")
    def activate(project: str, name: str) -> ResponseReturnValue:
        def activated(known: str) -> str:
            try:
                if (found := refusal(registry.get(known, name), pages.services.engine)) is not None:
                    registry.refuse(known, *found)
            except EngineError as error:
                log.warning("Whether %s of project %s can be loaded is not known: %s", name, known, error)
            return f"Version {registry.activate(known, name).name} serves now."

        return change(project, activated)

    @blueprint.get("/projects/<project>/versions/roll-back")
    def ask_to_roll_back(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        serving, before = registry.current(project), registry.before(project)
        if serving is None:
            raise ApiError(409, "conflict", "No trained version serves: there is nothing to roll back.")
        return pages.show(
            "versions",
            project,
            template="roll_back.html",
            serving=serving,
            before=before,
            figures=side_by_side(serving.metrics, before.metrics) if before else (),
            masks=roll_back_masks(
                serving, before, registry.choice(project), pages.services.engine.shared_detector.source.name
            ),
        )

    @blueprint.post("/projects/<project>/versions/roll-back")
    def roll_back(project: str) -> ResponseReturnValue:
        def rolled_back(known: str) -> str:
            found = registry.roll_back(known)
            return f"Rolled back: {f'version {found.name}' if found else 'the packaged network'} serves now."

        serving = registry.current(pages.known(project))
        forward = url_for("dashboard.go_forward", project=project)
        return change(
            project, rolled_back, (forward, f"Forward to {serving.name} again") if serving else None
        )

    @blueprint.post("/projects/<project>/versions/forward")
    def go_forward(project: str) -> ResponseReturnValue:
        return change(project, lambda known: f"Version {registry.go_forward(known).name} serves again.")

    @blueprint.post("/projects/<project>/versions/source")
    def choose_source(project: str) -> ResponseReturnValue:
        source = request.form.get("source", AUTOMATIC)

        def chosen(known: str) -> str:
            registry.choose(known, source)
            said = words_of_source(source) if source else "what a training measures to be best"
            return f"Masks before the first click come from {said} now. Tasks keep those that they have."

        return change(project, chosen)

    @blueprint.post("/projects/<project>/versions/proposals")
    def propose_when(project: str) -> ResponseReturnValue:
        when = request.form.get("when", ALWAYS)

        def said(known: str) -> str:
            registry.propose_when(known, when)
            return f"Masks before the first click are {WHEN[when]} now. Tasks keep those that they have."

        return change(project, said)

    @blueprint.post("/projects/<project>/versions/push")
    def push(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        jobs.enqueue(project, "push", "the dashboard", again=True)
        return pages.back("training", project)

    @blueprint.get("/projects/<project>/versions/<name>/delete")
    def ask_to_delete(project: str, name: str) -> ResponseReturnValue:
        found = find_version(pages, project, name)
        return pages.show("versions", pages.known(project), template="delete_version.html", version=found)

    @blueprint.post("/projects/<project>/versions/<name>/delete")
    def delete(project: str, name: str) -> ResponseReturnValue:
        def deleted(known: str) -> str:
            registry.delete(known, name)
            return f"Version {name} is deleted. It can be brought back for 30 days, at the end of this page."

        back = url_for("dashboard.bring_back", project=project, name=name)
        return change(project, deleted, (back, "Bring it back"))

    @blueprint.post("/projects/<project>/versions/<name>/bring-back")
    def bring_back(project: str, name: str) -> ResponseReturnValue:
        return change(
            project,
            lambda known: f"Version {registry.bring_back(known, name).name} is back. It does not serve.",
        )
