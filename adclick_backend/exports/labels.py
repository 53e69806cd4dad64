"""The labels of a project as files of a layout, one image after the other."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from adclick_backend.brush.shapes import RegionError, draw, shape_of
from adclick_backend.errors import ImageError
from adclick_backend.exports.chosen import Annotations, Chosen, LeftOut, choose
from adclick_backend.exports.image_files import readable
from adclick_backend.exports.wish import ExportError, Wish
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.labels.proposed import KEPT, PREFIX
from adclick_backend.labels.results import Drawn
from adclick_backend.services import Services
from adclick_backend.store import Reference
from model.datasets.layouts.file_names import safe
from model.datasets.layouts.picture import PARTS, Entry, Mark, Origin, Part, Picture
from model.datasets.layouts.split import split
from model.datasets.layouts.spool import Spool

ABOUT = "export.json"
"""What was asked for, so that the same can be asked for again; comes first, so that a download begins at once."""

LABELS = "labels.csv"
"""A row for each region: what other layouts cannot say of it."""

LEFT_OUT = "left_out.csv"
"""A row for everything that is not exported, with the reason."""

_CHANGED = "It was changed or deleted while the export was written; export once more."


@dataclass
class Tally:
    """What came of an export so far."""

    images: int = 0
    good: int = 0
    regions: int = 0
    boxes: int = 0
    left_out: int = 0
    parts: Counter[str] = field(default_factory=Counter)


class LabelExport:
    """The labels of a project, ready to be written once.

    Args:
        project: its id.
        services: of the backend.
        wish: which labels, and in which form.
        remark: a sentence about what could not be read before; it is listed with what is left out.

    Raises:
        ExportError: there is nothing to export, or the wish cannot be fulfilled.
    """

    def __init__(self, project: str, services: Services, wish: Wish, remark: str = "") -> None:
        self._project, self._services, self._wish = project, services, wish
        self._annotations = Annotations(project, services, wish)
        choice = choose(project, services, self._annotations)
        if not choice.images:
            reasons = Counter(one.reason for one in choice.left_out).most_common(1)
            why = f" {len(choice.left_out)} left out; most often: {reasons[0][0]}" if reasons else ""
            raise ExportError(f"Project {project} has no label that can be exported.{why} {remark}".rstrip())
        self._images, self._left_out = choice.images, choice.left_out
        if remark:
            self._left_out.insert(0, LeftOut(0, "", remark))
        self._parts = self._split()
        self.tally = Tally()

    def __len__(self) -> int:
        return len(self._images)

    @property
    def sentence(self) -> str:
        """What was exported, for a person; when everything is written."""
        tally = self.tally
        parts = ", ".join(f"{tally.parts[part]} {part}" for part in PARTS if tally.parts[part])
        boxes = (
            f" {tally.boxes} of the regions are rectangles or ellipses, and their masks all of the inside."
            if tally.boxes
            else ""
        )
        left_out = (
            f" Left out: {tally.left_out}; {LEFT_OUT} in it says what and why."
            if tally.left_out
            else " Nothing was left out."
        )
        return (
            f"{tally.images} images, {tally.good} of them free of defects, with {tally.regions} regions"
            f"{f' ({parts})' if parts else ''}.{boxes}{left_out}"
        )

    def entries(
        self, scratch: Path, progress: Callable[[int], object] = lambda done: None
    ) -> Iterator[Entry]:
        """The files: `ABOUT`, one image after the other, then `LABELS` and `LEFT_OUT`.

        Args:
            scratch: a folder on the disk that has room for what comes last.
            progress: told how many images are done.
        """
        yield Entry(ABOUT, self._about())
        with Spool(scratch) as rows, Spool(scratch) as left_out:
            rows.add_row(
                "image", "part", "task", "type", "origin", "shape", "pixels", "annotator", "reviewed"
            )
            title = f"Labels of project {self._project}"
            pictures = self._pictures(rows, progress)
            yield from self._wish.layout.write(pictures, self._types(), title, scratch)
            yield Entry(LABELS, rows.pieces())
            left_out.add_row("task", "image", "reason")
            for one in sorted(self._left_out, key=lambda one: one.task):
                left_out.add_row(one.task or "", one.image, one.reason)
            yield Entry(LEFT_OUT, left_out.pieces())

    def _about(self) -> bytes:
        asked = {name: value for name, value in vars(self._wish).items() if name != "shares"}
        split = self._wish.wanted_shares and dict(self._wish.wanted_shares)
        about = {
            "project": self._project,
            "title": self._title(),
            **asked,
            "split": split,
            "types": self._types(),
        }
        return (json.dumps(about, ensure_ascii=False, indent=2) + "\n").encode()

    def _types(self) -> list[str]:
        """All defect types: those of the labeling config in its order, then what else was drawn."""
        vocabulary = self._services.labels.vocabulary(self._project)
        known = [label for label in vocabulary.labels if vocabulary.type(label) is not None]
        drawn = {name for image in self._images for name in image.types}
        return [*known, *sorted(drawn - set(known))]

    def _split(self) -> Mapping[str, Part]:
        """SHA-256 of an image -> its part; nothing when nothing is split."""
        shares = self._wish.wanted_shares
        if shares is None:
            return {}
        version = self._services.registry.current(self._project)
        kept_back = version.manifest.get("data", {}).get("held_out", ()) if version else ()
        images = {
            image.sha: image.types
            for image in self._images
            if not (self._wish.layout.good_only and image.types)
        }
        try:
            return split(images, shares, self._wish.seed, kept_back)
        except ValueError as error:
            raise ExportError(str(error)) from error

    def _pictures(self, rows: Spool, progress: Callable[[int], object]) -> Iterator[Picture]:
        stems: set[str] = set()
        for number, image in enumerate(self._images):
            progress(number)
            try:
                picture = self._picture(image)
            except ImageError as error:
                self._leave_out(image, str(error))
                continue
            picture = replace(picture, name=_unlike(picture.name, stems))
            self._count(picture, rows)
            yield picture
        progress(len(self._images))
        for reference in self._references():
            try:
                picture = self._good(reference)
            except ImageError as error:
                self._left_out.append(LeftOut(0, reference.name, str(error)))
                continue
            picture = replace(picture, name=_unlike(picture.name, stems))
            self._count(picture, rows)
            yield picture
        self.tally.left_out = len(self._left_out)

    def _references(self) -> list[Reference]:
        """The good images that were handed in, each once, as far as the format has a place for them."""
        if not self._wish.layout.references:
            return []
        known = {image.sha for image in self._images}
        rows = self._services.store.references.of_project(self._project)
        found = {
            (row.product, row.sha): row for row in rows if row.source != "annotation" and row.state == "ready"
        }
        return [row for key, row in sorted(found.items()) if row.sha not in known]

    def _good(self, reference: Reference) -> Picture:
        """A good image that was handed in; raises ImageError when it cannot be read."""
        path, loaded = self._load(lambda: self._services.references.path(reference), reference.sha)
        width, height = loaded.size
        file, suffix = self._file(loaded, path, reference.product)
        return Picture(
            name=f"reference-{reference.id}-{safe(Path(reference.name).stem)}{suffix}",
            height=height,
            width=width,
            file=file,
            part="train",
            product=safe(reference.product or self._title()),
        )

    def _picture(self, image: Chosen) -> Picture:
        """One image with its regions.

        Raises:
            ImageError: it cannot be read, or was changed since it was chosen.
        """
        row = self._annotations.image(image.task, image.key)
        annotation, statement, _ = self._annotations.said(row) if row is not None else (None, None, "")
        if row is None or annotation is None or statement is None or row.sha != image.sha:
            raise ImageError(_CHANGED)
        if (annotation["id"], annotation["changed_at"]) != (image.annotation, image.changed_at):
            raise ImageError(_CHANGED)
        path, loaded = self._load(lambda: self._services.labels.path(self._project, row.file), image.sha)
        width, height = loaded.size
        marks = []
        for drawn in self._annotations.drawn(statement):
            try:
                mask = draw(drawn.region, height, width)
            except RegionError as error:
                self._leave_out(image, f'A region labelled "{drawn.type}" was left out: {error}')
                continue
            if not mask.any():
                self._leave_out(image, f'A region labelled "{drawn.type}" was left out: it covers no pixel.')
                continue
            marks.append(Mark.of(drawn.type, mask, _origin(drawn), shape_of(drawn.region) or "brush"))
        if image.types and not marks:
            raise ImageError("None of its regions can be drawn.")
        file, suffix = self._file(loaded, path, image.product)
        stem = "-".join(part for part in (str(image.task), safe(image.key) if image.key else "") if part)
        picture = Picture(
            name=f"{stem}-{safe(Path(image.name).stem)}{suffix}",
            height=height,
            width=width,
            marks=marks,
            file=file,
            part=self._parts.get(image.sha, ""),
            product=safe(image.product or self._title()),
            task=image.task,
            annotator=image.annotator,
            reviewed=image.reviewed,
        )
        return picture.in_connected_parts() if self._wish.parts else picture

    def _load(self, find: Callable[[], Path], sha: str) -> tuple[Path, LoadedImage]:
        try:
            path = find()
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(
                f"The kept copy of its image cannot be read ({error.strerror}): press Synchronise now on Labels."
            ) from error
        if hashlib.sha256(data).hexdigest() != sha:
            raise ImageError("The kept copy of its image is damaged: press Synchronise now on Labels.")
        return path, LoadedImage(data, self._services.settings.max_megapixels)

    def _file(self, image: LoadedImage, path: Path, product: str) -> tuple[bytes | Path | None, str]:
        """The image file to write, and its suffix; a link only to a file that need not be written anew."""
        white = 0
        if image.is_deep:
            white = self._services.references.white_points.of_product(self._project, product)
        data, suffix = readable(image, white)
        if self._wish.images == "none":
            return None, suffix
        linked = self._wish.images == "link" and self._services.files.local and data is image.data
        return (path if linked else data), suffix

    def _title(self) -> str:
        return self._services.store.projects.get(self._project).title or f"project-{self._project}"

    def _count(self, picture: Picture, rows: Spool) -> None:
        tally = self.tally
        tally.images += 1
        tally.good += not picture.marks
        tally.regions += len(picture.marks)
        tally.parts[picture.part] += 1
        about = picture.annotator, "yes" if picture.reviewed else "no"
        task = picture.task or "reference"
        for mark in picture.marks:
            tally.boxes += mark.shape in ("rectangle", "ellipse")
            said = mark.type, mark.origin, mark.shape, int(mark.mask.sum())
            rows.add_row(picture.name, picture.part, task, *said, *about)
        if not picture.marks:
            rows.add_row(picture.name, picture.part, task, "", "", "", 0, *about)

    def _leave_out(self, image: Chosen, reason: str) -> None:
        self._left_out.append(LeftOut(image.task, image.name, reason))


def _origin(drawn: Drawn) -> Origin:
    """Who made a region; Label Studio notes in ``origin`` whether it was predicted, and whether it was changed."""
    noted = drawn.region.get("origin")
    if drawn.id.startswith(PREFIX) or noted in ("prediction", "prediction-changed"):
        changed = KEPT in drawn.region or noted in ("prediction-changed", "manual")
        return "machine, corrected" if changed else "machine"
    return "clicks" if drawn.kind == "clicked" else "person"


def _unlike(name: str, stems: set[str]) -> str:
    """A name whose stem, whatever its case, was not used; it is noted."""
    path, number = Path(name), 1
    stem = path.stem
    while stem.lower() in stems:
        number += 1
        stem = f"{path.stem}-{number}"
    stems.add(stem.lower())
    return f"{stem}{path.suffix}"
