"""The form that adds, to a project's labeling config, the labels with which one click marks all that is alike."""

from __future__ import annotations

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from adclick_backend.config.alike_labels import ENDINGS, Regions
from adclick_backend.config.all_alike import with_all_alike
from adclick_backend.dashboard.pages import Pages
from adclick_backend.errors import bad_request
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.services import Services


def write_all_alike(services: Services, project: str, regions: Regions) -> str:
    """Add the labels to the config that Label Studio has now.

    Args:
        services: of the backend.
        project: its id.
        regions: whether all places become one region, or a region each.

    Returns:
        What came of it, in a sentence.
    """
    label_studio = services.connections.label_studio(project)
    try:
        now = label_studio.get(f"/api/projects/{project}/")["label_config"]
        background = services.settings.background_labels
        written, changes = with_all_alike(now, regions, background_labels=background)
        if not changes:
            return "There is no label to add: key points with labels of their own are needed, or have them already."
        label_studio.patch(f"/api/projects/{project}/", {"label_config": written})
    except LabelStudioError as error:
        return f"The labeling config was not changed. {error}"
    services.store.projects.save(project, label_config=written)
    return f"{' '.join(changes)} Whoever has a task open loads its page again."


def add_all_alike(blueprint: Blueprint, pages: Pages) -> None:
    """Add the route of the form."""

    @blueprint.post("/projects/<project>/all-alike")
    def all_alike(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        asked = request.form.get("regions", "")
        regions = next((known for known in ENDINGS if known == asked), None)
        if regions is None:
            raise bad_request(f"{asked[:40]!r} is not one of {', '.join(ENDINGS)}.", "regions")
        said = write_all_alike(pages.services, project, regions)
        return pages.back("overview", project, "all-alike", said=said)
