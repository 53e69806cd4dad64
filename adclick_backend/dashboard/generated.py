"""The page of generated defects: generate some of a type, look at them, discard bad ones, choose what they are for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, request, send_file, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.training import JobLine, JobPage, job_page
from adclick_backend.dashboard.words import count
from adclick_backend.errors import ApiError, bad_request
from adclick_backend.services import Services
from adclick_backend.store import DiskError
from adclick_backend.store.generated import NOTHING_LEFT, GeneratedFiles, GeneratedPicture, key_of_type
from adclick_backend.store.participation import PARTICIPATION, choose_participation, participation

USUAL, MOST = 24, 200
"""Pictures of a type that are generated unless another number is given, and at most."""

FEW = 3
"""Labelled images of a type that are better than fewer."""


@dataclass(frozen=True)
class TypeCard:
    """A defect type on the page.

    Attributes:
        type: its name.
        key: by which its pictures are found.
        masks: images with a mask of it.
        boxes: images where only a box, or the choice of a word, says that it is there.
        pictures: that were generated, discarded ones last.
        wanted: how many are being generated, or wait for it; 0 for none.
        generator: what painted them.
    """

    type: str
    key: str
    masks: int
    boxes: int
    pictures: Sequence[GeneratedPicture]
    wanted: int
    generator: str

    @property
    def labels(self) -> str:
        """How much is labelled, in words."""
        said = f"{count(self.masks, 'image')} with a mask"
        return f"{said}, {self.boxes} with a box or a choice alone" if self.boxes else said

    @property
    def advice(self) -> str:
        """What the labels are too few for, as a sentence; "" when there are enough."""
        if not self.masks:
            return (
                "Boxes and choices do not say what the defect looks like: accept a mask by clicking, in one image or "
                "better three, and it can be generated."
            )
        if self.masks < FEW:
            return (
                f"{FEW} labelled images are better: what they have in common is learned, and of "
                f"{'one' if self.masks == 1 else 'two'} nobody knows what may vary."
            )
        return ""

    @property
    def kept(self) -> int:
        """Pictures that nobody discarded."""
        return sum(picture.kept for picture in self.pictures)

    @property
    def discarded(self) -> int:
        """The others."""
        return len(self.pictures) - self.kept

    @property
    def asks_for(self) -> int:
        """What the field says at first: more than there are."""
        return USUAL if self.kept < USUAL else min(self.kept + USUAL, MOST)


@dataclass(frozen=True)
class GeneratedPage:
    """The page."""

    cards: Sequence[TypeCard]
    running: JobPage | None
    last: JobLine | None  # the last job that is over and did something
    painter: str  # what paints, in words
    chosen: str
    options: Mapping[str, str]
    references: int
    tried: str  # what came of them in the last training that had any, "" for nothing
    tried_in: str  # the version of that training
    most: int = MOST


def build_generated(services: Services, project: str) -> GeneratedPage:
    """Gather the page."""
    files = GeneratedFiles(services.files)
    counts, wanted = services.labels.details(project).types, files.wanted(project)
    keys = files.types(project)
    cards = []
    for type in sorted({*counts, *keys}):
        kinds, key = counts.get(type, {}), keys.get(type, key_of_type(type))
        masks = kinds.get("mask", 0) + kinds.get("clicked", 0)
        pictures = sorted(
            files.pictures(project, key), key=lambda picture: (not picture.kept, picture.origin.number)
        )
        if not counts.get(type) and not pictures:
            continue
        generator = pictures[-1].origin.generator if pictures else ""
        cards.append(
            TypeCard(type, key, masks, sum(kinds.values()) - masks, pictures, wanted.get(type, 0), generator)
        )
    jobs = [job for job in services.jobs.of_project(project) if job.kind == "generate"]
    active = [job for job in jobs if job.active]
    over = [job for job in jobs if not job.active and job.message != NOTHING_LEFT]
    named = services.settings.generator
    ready = {
        (one.product, one.sha)
        for one in services.store.references.of_project(project)
        if one.state == "ready"
    }
    tried, tried_in = "", ""
    for version in services.registry.list(project):
        if said := (version.comparison.get("generated") or {}).get("reason"):
            tried, tried_in = str(said), version.name
            break
    return GeneratedPage(
        cards,
        job_page(services.jobs, active[-1]) if active else None,
        JobLine(over[0]) if over else None,
        "the diffusion model that ships" if named == "small" else f"{named}, as ADCLICK_GENERATOR says",
        participation(services.store.values, project),
        PARTICIPATION,
        len(ready),
        tried,
        tried_in,
    )


def add_generated(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services
    files = GeneratedFiles(services.files)

    def find(project: str, key: str, number: int) -> GeneratedPicture:
        try:
            found = files.find(pages.known(project), key, number)
        except ValueError as error:
            raise ApiError(404, "not_found", str(error)) from error
        if found is None:
            raise ApiError(404, "not_found", "There is no such picture; it may have been deleted meanwhile.")
        return found

    @blueprint.get("/projects/<project>/generated")
    def generated(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        return pages.show("generated", project, view=build_generated(services, project))

    @blueprint.post("/projects/<project>/generated")
    def generate(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        type, number = request.form.get("type", ""), request.form.get("count", "").strip()
        if type not in services.labels.details(project).types:
            return pages.back("generated", project, said=f"There is no label of “{type[:80]}” to learn from.")
        if not number.isdecimal() or not 1 <= int(number[:6]) <= MOST or len(number) > 6:
            said = f"“{number[:20]}” is no number of pictures: choose one from 1 to {MOST}."
            return pages.back("generated", project, said=said)
        try:
            files.want(project, type, int(number))
        except OSError as error:
            return pages.back("generated", project, said=str(services.store.disk.failed(error)))
        services.jobs.enqueue(project, "generate", "the dashboard", again=True)
        return pages.back("generated", project, key_of_type(type))

    @blueprint.post("/projects/<project>/generated/take-part")
    def take_part(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        chosen = request.form.get("choice", "")
        try:
            choose_participation(services.store.values, project, chosen)
        except ValueError as error:
            raise bad_request(str(error), "choice") from error
        said = f"Noted: in the next training, generated pictures are {PARTICIPATION[chosen]}."
        return pages.back("generated", project, said=said)

    @blueprint.post("/projects/<project>/generated/<key>/<int:number>/discard")
    def discard_generated(project: str, key: str, number: int) -> ResponseReturnValue:
        return keep(project, key, number, kept=False)

    @blueprint.post("/projects/<project>/generated/<key>/<int:number>/put-back")
    def put_back_generated(project: str, key: str, number: int) -> ResponseReturnValue:
        return keep(project, key, number, kept=True)

    def keep(project: str, key: str, number: int, *, kept: bool) -> ResponseReturnValue:
        project, found = pages.known(project), find(project, key, number)
        try:
            files.keep(project, key, number, kept=kept)
        except OSError as error:
            return pages.back("generated", project, key, str(services.store.disk.failed(error)))
        called = f"Picture {number} of {found.origin.type}"
        if kept:
            return pages.back("generated", project, key, f"{called} is back.")
        undo = url_for("dashboard.put_back_generated", project=project, key=key, number=number)
        return pages.back("generated", project, key, f"{called} is discarded.", (undo, "Put it back"))

    @blueprint.post("/projects/<project>/generated/<key>/discard-all")
    def discard_all_generated(project: str, key: str) -> ResponseReturnValue:
        project = pages.known(project)
        try:
            there = [picture for picture in files.pictures(project, key) if picture.kept]
            for picture in there:
                files.keep(project, key, picture.origin.number, kept=False)
        except ValueError as error:
            raise ApiError(404, "not_found", str(error)) from error
        except OSError as error:
            return pages.back("generated", project, key, str(services.store.disk.failed(error)))
        return pages.back("generated", project, key, f"{count(len(there), 'picture')} discarded.")

    @blueprint.post("/projects/<project>/generated/<key>/delete")
    def delete_generated(project: str, key: str) -> ResponseReturnValue:
        project = pages.known(project)
        for kind, doing in (
            ("generate", "Pictures are being generated"),
            ("train", "A training is under way"),
        ):
            if services.jobs.under_way(project, kind):  # type: ignore[arg-type]
                said = f"{doing}, so nothing was deleted: wait until that is done, or cancel it."
                return pages.back("generated", project, key, said)
        try:
            files.delete(project, key)
        except ValueError as error:
            raise ApiError(404, "not_found", str(error)) from error
        except (OSError, DiskError) as error:
            return pages.back("generated", project, said=str(services.store.disk.failed(error)))
        return pages.back("generated", project, said="All pictures of that type are deleted.")

    @blueprint.get("/projects/<project>/generated/<key>/<int:number>.<view>")
    def generated_picture(project: str, key: str, number: int, view: str) -> ResponseReturnValue:
        found = find(project, key, number)
        try:
            path = found.sheet if view == "jpg" else found.path if view == "png" else None
        except OSError:
            path = None
        if path is None:
            raise ApiError(404, "not_found", "There is no such picture.")
        answer = send_file(path.resolve(), conditional=True)
        answer.headers["Cache-Control"] = "private, no-cache"  # another one may have its number later
        return answer
