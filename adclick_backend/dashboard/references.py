"""The page of a project's references: which need a look, what more would bring, adding and removing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, request, send_file, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.task_links import task_url
from adclick_backend.errors import ApiError, bad_request
from adclick_backend.references.check import FEWEST, ODD
from adclick_backend.store import Reference

PAGE_SIZE = 60  # references
ENOUGH = 10  # references that cover the usual spread between good parts


@dataclass(frozen=True)
class Tile:
    """A reference as the page shows it."""

    reference: Reference
    is_odd: bool
    task_url: str  # in Label Studio; "" when it has no task


@dataclass(frozen=True)
class ReferenceList:
    """The references of a project, the ones that need a look first."""

    tiles: Sequence[Tile]  # of this page
    removed: Sequence[Tile]  # taken out by a person; can be put back
    ready: int
    pending: int
    failed: int
    odd: int
    advice: Sequence[str]
    products: Sequence[str]
    number: int  # of this page, from 1
    pages: int


def list_references(
    references: Sequence[Reference], hostname: str, number: int, shown: Sequence[str] = ()
) -> ReferenceList:
    """Sort and count references, and cut out one page of them.

    Args:
        references: of one project.
        hostname: of Label Studio, for links to tasks.
        number: of the page; the nearest one there is when it does not exist.
        shown: images of a task, where it shows several; each is a product.
    """
    removed = [
        Tile(one, False, task_url(hostname, one.project, one.task_id))
        for one in sorted(references, key=lambda one: -one.due)
        if one.state == "removed"
    ]
    references = [one for one in references if one.state != "removed"]
    ready: dict[str, set[str]] = {}
    for reference in references:
        images = ready.setdefault(reference.product, set())
        if reference.state == "ready":
            images.add(reference.sha)
    tiles = [
        Tile(
            reference,
            _is_odd(reference, len(ready[reference.product])),
            task_url(hostname, reference.project, reference.task_id),
        )
        for reference in references
    ]
    order = {"failed": 0, "pending": 1, "ready": 2}
    tiles.sort(key=lambda tile: (not tile.is_odd, order[tile.reference.state], -tile.reference.added))
    pages = max(1, -(-len(tiles) // PAGE_SIZE))
    number = min(max(number, 1), pages)
    return ReferenceList(
        tiles=tiles[(number - 1) * PAGE_SIZE : number * PAGE_SIZE],
        removed=removed[:PAGE_SIZE],
        ready=sum(len(images) for images in ready.values()),
        pending=sum(tile.reference.state == "pending" for tile in tiles),
        failed=sum(tile.reference.state == "failed" for tile in tiles),
        odd=sum(tile.is_odd for tile in tiles),
        advice=[advice(product, len(images)) for product, images in sorted(ready.items())] or [advice("", 0)],
        products=sorted({*shown, *ready} - {""}),
        number=number,
        pages=pages,
    )


def advice(product: str, ready: int) -> str:
    """What more references of a product would bring."""
    prefix = f"{product}: " if product else ""
    if ready == 0:
        return (
            f"{prefix}There is no reference yet, so a click is judged by its own image alone. Mark three "
            f"defect-free images as normal, better {ENOUGH}, and the backend knows what belongs to the product."
        )
    if ready == 1:
        return (
            f"{prefix}There is one reference. It shows what belongs to the product, but not what may vary: the "
            f"light, position and grain of other good parts still look unusual. {ENOUGH - 1} more tell that apart."
        )
    if ready < ENOUGH:
        return f"{prefix}There are {ready} references; about {ENOUGH} cover what varies between good parts."
    return f"{prefix}There are {ready} references, enough for most products."


def _is_odd(reference: Reference, bank_size: int) -> bool:
    return bank_size >= FEWEST and reference.oddness is not None and reference.oddness > ODD


def add_references(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services

    @blueprint.get("/projects/<project>/references")
    def references(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        view = list_references(
            services.store.references.of_project(project),
            services.store.projects.get(project).hostname,
            request.args.get("page", 1, int),
            [image.key for image in services.labels.config(project).images],
        )
        return pages.show("references", project, changing=view.pending > 0, view=view)

    @blueprint.get("/projects/<project>/thumbnails/<sha>.jpg")
    def thumbnail(project: str, sha: str) -> ResponseReturnValue:
        try:
            path = services.references.thumbnail(pages.known(project), sha)
        except ValueError as error:
            raise ApiError(404, "not_found", str(error)) from error
        if not path.is_file() and not services.references.draw_thumbnail(project, sha):
            raise ApiError(404, "not_found", "There is no such thumbnail.")
        answer = send_file(path.resolve(), mimetype="image/jpeg", conditional=True, etag=sha)
        # The address is the hash of the content, so the content never changes.
        answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
        return answer

    @blueprint.post("/projects/<project>/references")
    def upload(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        files = [file for file in request.files.getlist("images") if file.filename]
        if not files:
            raise bad_request("No image was chosen.", "images")
        product = request.form.get("product", "").strip()[:200]
        if problem := services.references.missing_product(services.labels.config(project), product):
            raise bad_request(problem, "product")
        for file in files:
            services.references.add(
                project, file.read(), source="upload", name=file.filename or "", product=product
            )
        services.keeper.wake()
        return pages.back("references", project)

    @blueprint.post("/projects/<project>/references/<int:reference>/remove")
    def remove(project: str, reference: int) -> ResponseReturnValue:
        project = pages.known(project)
        services.references.remove(project, reference)
        said = "The reference was removed. It can be put back at the end of the page References."
        back = url_for("dashboard.put_back", project=project, reference=reference)
        return pages.back("references", project, said=said, undo=(back, "Put it back"))

    @blueprint.get("/projects/<project>/references/<int:reference>/remove")
    def ask_to_remove(project: str, reference: int) -> ResponseReturnValue:
        project = pages.known(project)
        found = services.store.references.get(project, reference)
        if found is None:
            raise ApiError(404, "not_found", f"Project {project} has no reference {reference}.")
        hostname = services.store.projects.get(project).hostname
        tile = Tile(found, False, task_url(hostname, project, found.task_id))
        return pages.show("references", project, template="remove_reference.html", tile=tile)

    @blueprint.post("/projects/<project>/references/<int:reference>/put-back")
    def put_back(project: str, reference: int) -> ResponseReturnValue:
        project = pages.known(project)
        services.references.put_back(project, reference)
        services.keeper.wake()
        return pages.back("references", project, said="The reference is back.")

    @blueprint.post("/projects/<project>/references/<int:reference>/retry")
    def retry(project: str, reference: int) -> ResponseReturnValue:
        services.store.references.try_again(pages.known(project), reference)
        services.keeper.wake()
        return pages.back("references", project)
