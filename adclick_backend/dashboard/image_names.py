"""What a person calls an image that is kept by its hash: its file and its task in Label Studio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adclick_backend.dashboard.task_links import task_url
from adclick_backend.images.addresses import image_name
from adclick_backend.store import Store


@dataclass(frozen=True)
class ImageName:
    """An image in words, ``flange_0012.png, task 12``, and where its task is in Label Studio ("" for nowhere)."""

    words: str
    url: str = ""


Named = Callable[[str], ImageName]
"""SHA-256 of an image -> what a person calls it."""


def image_names(store: Store, project: str) -> Named:
    """The names of a project's images: of those that are labelled, and of its references.

    Of an image that is neither any more, nothing is left that a person knows.
    """
    hostname = store.projects.get(project).hostname
    found: dict[str, ImageName] = {}
    for one in store.references.of_project(project):
        if one.sha:
            found[one.sha] = _named(one.name, one.task_id, hostname, project)
    for task_id, url, sha in store.labels.hashes(project):
        found[sha] = _named(image_name(url), task_id, hostname, project)
    return lambda sha: found.get(sha) or ImageName("an image that is no longer here")


def _named(name: str, task_id: int | None, hostname: str, project: str) -> ImageName:
    words = [name or "image", *([f"task {task_id}"] if task_id is not None else [])]
    return ImageName(", ".join(words), task_url(hostname, project, task_id))
