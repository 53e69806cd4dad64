"""The form that has every image of a project prepared, so that each first click of the next day is warm."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.engine.cache import DiskRoom


def room_sentence(room: DiskRoom) -> str:
    """How many images of a project fit into the disk cache."""
    return (
        f"An image takes about {max(1, round(room.each / 1e6))} MB on disk, and about {room.images} fit beside the "
        "references and what other projects keep (ADCLICK_DISK_CACHE_MB)."
    )


def add_preparing(blueprint: Blueprint, pages: Pages) -> None:
    """Add the route of the form."""

    @blueprint.post("/projects/<project>/prepare-images")
    def prepare_images(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        pages.services.jobs.enqueue(project, "prepare", "the dashboard")
        return pages.back("training", project)
