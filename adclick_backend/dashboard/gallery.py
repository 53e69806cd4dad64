"""The page of labelled images with their masks: filtered, enlarged, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.label_pictures import LabelPictures
from adclick_backend.dashboard.labels import KINDS, SAYS_NOTHING
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.task_links import task_url
from adclick_backend.dashboard.words import count
from adclick_backend.errors import ApiError, ImageError
from adclick_backend.images.addresses import image_name
from adclick_backend.labels.annotators import annotator_names
from adclick_backend.services import Services
from adclick_backend.store import GalleryImage
from model.labels.labelled import DEFECT

PAGE_SIZE = 48  # images
THUMBNAIL, LARGE = 320, 1600  # longer side in pixels

NORMAL, NOTHING, REMOVED, UNREAD = "(normal)", "(nothing)", "removed", "unread"
"""What no defect type is called, and reasons that are no flag of a label."""

REASONS: Mapping[str, str] = {
    "trains": "learned from",
    "left": "not learned from",
    "contradiction": "normal, with a defect marked in it",
    "unaccepted": "mask not accepted",
    "empty after clicks": "empty after clicks",
    UNREAD: "image cannot be read, or a region of it",
    NOTHING: "says nothing about defects",
    REMOVED: "removed from the references",
}
"""Value of the filter -> what a person reads."""

TAKEN_OUT = (
    "It was removed from the references on the page References, so it is not learned from as a good image."
)


@dataclass(frozen=True)
class Tile:
    """A labelled image as the page shows it."""

    row: GalleryImage
    name: str  # of its file, as people know it
    types: Sequence[str]  # defect types in words; "normal"
    kinds: str  # how it was labelled, in words
    author: str
    left_out: str  # why it is not learned from; "" when it is
    why: str  # a key of `REASONS`
    task_url: str


@dataclass(frozen=True)
class Filter:
    """What is shown: values of the fields, "" for all."""

    type: str = ""
    author: str = ""
    training: str = ""

    @classmethod
    def of_request(cls) -> Filter:
        """As the address says."""
        return cls(*(request.args.get(name, "")[:200] for name in ("type", "author", "training")))

    @property
    def query(self) -> str:
        """The same as it stands in an address."""
        return urlencode({name: value for name, value in vars(self).items() if value})

    def lets(self, tile: Tile) -> bool:
        """Whether an image is shown."""
        kinds = tile.row.kinds
        named = {NOTHING} if kinds is None else set(kinds) or {NORMAL}
        by = "" if tile.row.author is None else str(tile.row.author)
        training = self.training in ("", tile.why) or (self.training == "left" and tile.why != "trains")
        return training and self.type in ("", *named) and self.author in ("", by)


@dataclass(frozen=True)
class GalleryPage:
    """One page of it."""

    tiles: Sequence[Tile]
    found: str  # how many, in words
    all: int  # labelled images, whatever the filter
    number: int  # of this page, from 1
    pages: int
    filter: Filter
    types: Mapping[str, str]  # value of the filter -> words
    authors: Mapping[str, str]
    reasons: Mapping[str, str]


def build_gallery(services: Services, project: str, wanted: Filter, number: int) -> GalleryPage:
    """Gather a page; the nearest one there is when that number does not exist."""
    everything = list_tiles(services, project)
    shown = [tile for tile in everything if wanted.lets(tile)]
    pages = max(1, -(-len(shown) // PAGE_SIZE))
    number = min(max(number, 1), pages)
    names = annotator_names(project, services.store)
    types = sorted({name for tile in everything for name in tile.row.kinds or ()})
    authors = sorted({tile.row.author for tile in everything if tile.row.author is not None})
    reasons = {tile.why for tile in everything}
    return GalleryPage(
        shown[(number - 1) * PAGE_SIZE : number * PAGE_SIZE],
        count(len(shown), "image"),
        len(everything),
        number,
        pages,
        wanted,
        {name: words_of_type(name) for name in types}
        | ({NORMAL: "normal"} if any(tile.row.kinds == {} for tile in everything) else {})
        | ({NOTHING: "says nothing"} if any(tile.row.kinds is None for tile in everything) else {}),
        {str(author): names.get(author, f"user {author}") for author in authors},
        {key: words for key, words in REASONS.items() if key in ("trains", "left") or key in reasons},
    )


def list_tiles(services: Services, project: str) -> list[Tile]:
    """Every labelled image, those labelled last first."""
    hostname = services.store.projects.get(project).hostname
    names = annotator_names(project, services.store)
    removed = {
        (row.task_id, row.url)
        for row in services.store.references.of_project(project)
        if row.state == "removed"
    }
    tiles = []
    for row in services.store.gallery.images(project):
        left_out, why = _left_out(row, (row.task_id, row.url) in removed)
        kinds = row.kinds or {}
        tiles.append(
            Tile(
                row,
                image_name(row.url) if row.url else "no image",
                [words_of_type(name) for name in sorted(kinds)] or ["normal"] * (row.kinds == {}),
                ", ".join(dict.fromkeys(KINDS[kind][0].lower() for kind in kinds.values() if kind in KINDS)),
                "" if row.author is None else names.get(row.author, f"user {row.author}"),
                left_out,
                why,
                task_url(hostname, project, row.task_id),
            )
        )
    return tiles


def words_of_type(name: str) -> str:
    """A defect type as a person reads it."""
    return "defective" if name == DEFECT else name


def _left_out(row: GalleryImage, removed: bool) -> tuple[str, str]:
    """Why an image is not learned from, as a sentence and as a key of `REASONS`."""
    if row.trains:
        return (TAKEN_OUT, REMOVED) if removed and row.kinds == {} else ("", "trains")
    if row.flag:
        return row.reason, row.flag
    return (row.reason, UNREAD) if row.reason else (SAYS_NOTHING, NOTHING)


def add_gallery(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services
    pictures = LabelPictures(services)

    @blueprint.get("/projects/<project>/gallery")
    def gallery(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        wanted = Filter.of_request()
        view = build_gallery(services, project, wanted, request.args.get("page", 1, int))
        return pages.show("gallery", project, view=view)

    @blueprint.get("/projects/<project>/gallery/<int:task>")
    def labelled_image(project: str, task: int) -> ResponseReturnValue:
        project = pages.known(project)
        wanted, key = Filter.of_request(), request.args.get("image", "")
        everything = list_tiles(services, project)
        tile = next((one for one in everything if (one.row.task_id, one.row.image) == (task, key)), None)
        if tile is None:
            raise ApiError(404, "not_found", f"Nothing is labelled in task {task} of project {project}.")
        shown = [one for one in everything if wanted.lets(one)]
        place = next((i for i, one in enumerate(shown) if one.row == tile.row), None)
        return pages.show(
            "gallery",
            project,
            template="labelled_image.html",
            tile=tile,
            filter=wanted,
            colours=pictures.colours(project, tile.row.kinds or {}),
            before=shown[place - 1] if place else None,
            after=shown[place + 1] if place is not None and place + 1 < len(shown) else None,
            place=None if place is None else place + 1,
            number=len(shown),
            page=1 if place is None else place // PAGE_SIZE + 1,
        )

    @blueprint.get("/projects/<project>/gallery/<int:task>/<any(small, large, plain):size>.jpg")
    def label_picture(project: str, task: int, size: str) -> ResponseReturnValue:
        project = pages.known(project)
        side = THUMBNAIL if size == "small" else LARGE
        try:
            data = pictures.of(project, task, request.args.get("image", ""), side, masks=size != "plain")
        except ImageError as error:
            raise ApiError(404, "not_found", str(error)) from error
        answer = Response(data, mimetype="image/jpeg")
        # The address has the version of the label in it, so what it leads to does not change.
        answer.headers["Cache-Control"] = "private, max-age=86400"
        return answer
