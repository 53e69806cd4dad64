"""The page on which a person tries an image: what the serving version sees in it, and compared with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from flask import Blueprint, Response, redirect, request, send_file, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.answers.trying import Chosen, Tried
from adclick_backend.brush.regions import rounded
from adclick_backend.dashboard.drawing import fitted, grey_png, jpeg, with_heat, with_masks
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.task_links import task_url
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ApiError, ImageError
from adclick_backend.images.decode import Pixels, decode_image
from adclick_backend.images.shrinking import shrunk
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.services import Services
from adclick_backend.store import GalleryImage
from adclick_backend.store.proposal_source import NOTHING, words_of_source
from adclick_backend.store.tries import KeptTry, TryFiles
from model.labels.labelled import DEFECT

SIDE, SMALL_SIDE = (
    1024,
    480,
)  # longer side of the pictures of the image, and of those of references, in pixels
COMPARED = 3  # references that are shown
RECENT = 12  # labelled images to choose from
THRESHOLD = 50  # percent, at which proposals are cut
MASK = 0  # colour of the mask that the threshold cuts


@dataclass(frozen=True)
class TrialPage:
    """The page; ``shown`` is None before an image was chosen."""

    shown: KeptTry | None
    task_url: str
    threshold: int  # percent
    share: float  # of the image that has at least this probability
    recent: Sequence[GalleryImage]
    products: Sequence[str]
    images: Sequence[str]  # keys of the images of a task, where it shows several
    problem: str


def draw_try(
    services: Services, project: str, chosen: Chosen, tried: Tried
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The pictures of what was seen in an image, by file name, and what is said of them."""
    small = shrunk(tried.pixels, SIDE)
    types = [region.type for region in tried.proposals.regions]
    colours = {name: number for number, name in enumerate(dict.fromkeys(types))}
    masks: dict[str, np.ndarray[Any, np.dtype[np.bool_]]] = {}
    for region in tried.proposals.regions:
        masks[region.type] = masks[region.type] | region.mask if region.type in masks else region.mask
    pictures = {"image.jpg": jpeg(small)}
    if tried.probability is not None:
        pictures["heat.jpg"] = jpeg(with_heat(small, tried.probability))
        pictures["map.png"] = grey_png(fitted(tried.probability, small))
        pictures["found.jpg"] = jpeg(with_masks(small, masks, colours))
    smaller, names, compared = shrunk(tried.pixels, SMALL_SIDE), _names(services, project), []
    for number, difference in enumerate(tried.differences[:COMPARED]):
        picture = _reference(services, project, chosen, difference.reference)
        if picture is None:
            continue
        pictures[f"reference-{number}.jpg"] = jpeg(picture)
        pictures[f"difference-{number}.jpg"] = jpeg(with_heat(smaller, difference.map))
        compared.append(
            {
                "number": number,
                "name": names.get(difference.reference, ""),
                "share": float((difference.map > 0.5).mean()),
            }
        )
    source = tried.proposals.source
    about = {
        "name": chosen.name,
        "task": chosen.task_id,
        "product": chosen.product,
        "version": tried.version,
        "source": "" if source == NOTHING else words_of_source(source),
        "by_hand": bool(tried.by_hand),
        "certainty": tried.proposals.score,
        "highest": None if tried.probability is None else float(tried.probability.max()),
        "references": tried.references,
        "width": tried.pixels.shape[1],
        "height": tried.pixels.shape[0],
        "regions": [
            {
                "type": "" if region.type == DEFECT else region.type,
                "colour": colours[region.type],
                "score": region.score,
                "proposed": rounded(region.score) >= tried.needed or region.type in tried.by_hand,
                "share": float(region.mask.mean()),
            }
            for region in tried.proposals.regions
        ],
        "compared": compared,
    }
    return pictures, about


def _names(services: Services, project: str) -> dict[str, str]:
    """SHA-256 of each reference -> what a person knows it by."""
    rows = services.store.references.of_project(project)
    return {row.sha: row.name or (f"task {row.task_id}" if row.task_id is not None else "") for row in rows}


def _reference(services: Services, project: str, chosen: Chosen, sha: str) -> Pixels | None:
    """A small picture of a reference; None when its kept copy cannot be read."""
    white = services.references.white_points.of_references(project, chosen.product)
    for row in services.store.references.of_project(project):
        if row.sha == sha and row.file:
            try:
                data = services.references.path(row).read_bytes()
                most = services.settings.max_megapixels
                return shrunk(decode_image(data, max_megapixels=most, white=white), SMALL_SIDE)
            except (OSError, ImageError):
                continue
    return None


def _percent(text: str | None) -> int:
    """A threshold from an address, within 1 and 99; the usual one when it is no number."""
    try:
        return min(max(int(text or THRESHOLD), 1), 99)
    except ValueError:
        return THRESHOLD


def _cut(kept: KeptTry, threshold: int) -> tuple[Pixels, np.ndarray[Any, np.dtype[np.bool_]]] | None:
    """The small picture of an image, and where its map reaches the threshold; None without a map."""
    image, found = kept.picture("image.jpg"), kept.picture("map.png")
    pixels = None if image is None else cv2.imread(str(image))
    grey = None if found is None else cv2.imread(str(found), cv2.IMREAD_GRAYSCALE)
    if pixels is None or grey is None:  # or they were too old just now
        return None
    rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return rgb, np.asarray(grey >= np.ceil(255 * threshold / 100))


def add_trial(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services
    files = TryFiles(services.files)

    def show(project: str, shown: KeptTry | None = None, problem: str = "") -> Response:
        threshold = _percent(request.args.get("threshold"))
        cut = _cut(shown, threshold) if shown else None
        hostname, task = services.store.projects.get(project).hostname, shown.about["task"] if shown else None
        config = services.labels.config(project)
        products = {row.product for row in services.store.references.of_project(project)} - {""}
        view = TrialPage(
            shown,
            task_url(hostname, project, task),
            threshold,
            0.0 if cut is None else float(cut[1].mean()),
            [row for row in services.store.gallery.images(project, RECENT) if row.file],
            sorted(products),
            [image.key for image in config.images if image.key],
            problem,
        )
        answer = pages.show("trial", project, view=view)
        answer.status_code = 422 if problem else 200
        return answer

    def find(project: str, token: str) -> KeptTry:
        found = files.find(pages.known(project), token)
        if found is None:
            raise ApiError(
                404, "not_found", "What was tried an hour ago or earlier is not kept: try the image again."
            )
        return found

    @blueprint.get("/projects/<project>/trial")
    def trial(project: str) -> ResponseReturnValue:
        return show(pages.known(project))

    @blueprint.post("/projects/<project>/trial")
    def try_image(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        try:
            chosen = _chosen(services, project, request.form, request.files.get("image"))
            tried = services.trier.look(project, chosen)
            token = files.keep(project, *draw_try(services, project, chosen, tried))
        except (ImageError, EngineError, LabelStudioError) as error:
            return show(project, problem=str(error))
        except OSError as error:
            reason = services.store.disk.failed(error)
            return show(project, problem=f"What was found cannot be shown. {reason}")
        return redirect(url_for("dashboard.tried", project=project, token=token), 303)

    @blueprint.get("/projects/<project>/trial/<token>")
    def tried(project: str, token: str) -> ResponseReturnValue:
        found = find(project, token)
        return show(pages.known(project), found)

    @blueprint.get("/projects/<project>/trial/<token>/<picture>")
    def tried_picture(project: str, token: str, picture: str) -> ResponseReturnValue:
        found = find(project, token)
        if picture == "mask.jpg":
            cut = _cut(found, _percent(request.args.get("threshold")))
            if cut is None:
                raise ApiError(404, "not_found", "There is no such picture.")
            answer = Response(jpeg(with_masks(cut[0], {"": cut[1]}, {"": MASK})), mimetype="image/jpeg")
        else:
            path = found.picture(picture)
            if path is None:
                raise ApiError(404, "not_found", "There is no such picture.")
            answer = send_file(path.resolve(), conditional=True)
        answer.headers["Cache-Control"] = "private, max-age=3600"
        return answer


def _chosen(services: Services, project: str, form: Mapping[str, str], file: Any) -> Chosen:
    """The image that a form names: a file, or a task by its number.

    Raises:
        ImageError: neither, or one that cannot be used.
        LabelStudioError: the task cannot be read.
    """
    if file is not None and file.filename:
        return services.trier.handed_in(
            project, file.read(), file.filename, form.get("product", "").strip()[:200]
        )
    number = form.get("task", "").strip()
    if not number:
        raise ImageError("Choose an image file, or give the number of a task.")
    if not number.isdecimal() or len(number) > 18:
        raise ImageError(f"{number[:40]!r} is no task number.")
    return services.trier.of_task(project, int(number), form.get("shown", ""))
