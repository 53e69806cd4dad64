"""Which labelled images are exported, under which annotation, and why others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from adclick_backend.brush.shapes import shape_of
from adclick_backend.exports.wish import ExportError, Wish
from adclick_backend.images.addresses import image_name
from adclick_backend.labels.annotators import annotator_names
from adclick_backend.labels.mirror import Reader
from adclick_backend.labels.results import Drawn, Statement
from adclick_backend.services import Services
from adclick_backend.store import Annotated, LabelledTask

_AT_ONCE = 50  # tasks whose annotations are in memory
_SAME_FILE = "Its image is the same file as that of task {}, which was labelled later."
_NOT_DRAWN = "Somebody says that the image shows {}, and nobody drew where."
_TAKEN_OUT = "It was removed on the page References, so it does not count as free of defects."
_BOX = "The {} labelled {} was left out: it says where a defect is, and not which pixels it covers."
SAYS_NOTHING = "Its annotation says nothing about defects."


@dataclass(frozen=True)
class LeftOut:
    """Something that is not exported: an image, or a part of what was said of it.

    Attributes:
        task: its number; 0 for what is about no task.
        image: the name of its file, as people know it.
        reason: a sentence.
    """

    task: int
    image: str
    reason: str


@dataclass(frozen=True)
class Chosen:
    """A labelled image that is exported.

    Attributes:
        task: its number.
        key: of the image in the labeling config.
        name: of its file, as people know it.
        sha: SHA-256 of its file.
        product: what it shows; "" when products are not told apart.
        types: of its regions; none when it is free of defects.
        annotation: number of the annotation that counts.
        changed_at: when that was changed last, Unix seconds.
        annotator: who made it; "" when that is not known.
        reviewed: whether it has the star.
    """

    task: int
    key: str
    name: str
    sha: str
    product: str
    types: tuple[str, ...]
    annotation: int
    changed_at: float
    annotator: str
    reviewed: bool


@dataclass
class Choice:
    """What `choose` found."""

    images: list[Chosen] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


class Annotations:
    """Reads what the annotations that somebody wants say of the images of a project.

    Args:
        project: its id.
        services: of the backend.
        wish: which annotations are wanted.

    Raises:
        ExportError: nobody of that name annotates.
    """

    def __init__(self, project: str, services: Services, wish: Wish) -> None:
        self._project, self._services, self._wish = project, services, wish
        self._read: Reader = services.labels.reader(project)
        self._authors = services.store.annotations.authors(project)
        self._names = annotator_names(project, services.store)
        self._wanted = _number_of(wish.annotator, self._names, set(self._authors.values()))

    def tasks(self) -> Iterator[LabelledTask]:
        """Every labelled image, in the order of tasks and keys; the annotations of few are in memory."""
        labels = self._services.store.labels
        numbers = sorted(labels.updates(self._project))
        for begin in range(0, len(numbers), _AT_ONCE):
            yield from labels.some(self._project, numbers[begin : begin + _AT_ONCE])

    def image(self, task: int, key: str) -> LabelledTask | None:
        """One labelled image, as it is now."""
        rows = self._services.store.labels.some(self._project, [task])
        return next((row for row in rows if row.image == key), None)

    def said(self, row: LabelledTask) -> tuple[Annotated | None, Statement, str]:
        """The annotation that counts among those that are wanted, what it says, and why there is none."""
        made = [one for one in row.live if not one["was_cancelled"]]
        if not made:
            return None, Statement(), "Whoever annotated it skipped it."
        if self._wanted is not None:
            made = [one for one in made if self._authors.get(one["id"]) == self._wanted]
            if not made:
                return None, Statement(), f"{self._wish.annotator} did not annotate it."
        if self._wish.reviewed:
            made = [one for one in made if one.get("reviewed")]
            if not made:
                return (
                    None,
                    Statement(),
                    "No annotation of it has Label Studio's star, so it counts as not reviewed.",
                )
        annotation, statement = self._read(replace(row, annotations=made))
        return annotation, statement, ""

    def drawn(self, statement: Statement) -> list[Drawn]:
        """The regions that are exported."""
        return [one for one in statement.drawn if self._wish.boxes or one.kind != "box"]

    def unsaid(self, statement: Statement) -> list[str]:
        """What an annotation says and an export does not, a sentence each."""
        boxes = [one for one in statement.drawn if one.kind == "box" and not self._wish.boxes]
        return [
            *statement.problems,
            *(_NOT_DRAWN.format(name) for name in statement.tags),
            *(_BOX.format(shape_of(one.region), one.type) for one in boxes),
        ]

    def annotator(self, annotation: Annotated) -> str:
        """Who made it; "" when that is not known."""
        author = self._authors.get(annotation["id"])
        return "" if author is None else self._names.get(author, f"user {author}")


def choose(project: str, services: Services, annotations: Annotations) -> Choice:
    """Look through all labelled images of a project, without drawing any of them."""
    choice = Choice()
    removed = services.store.references.removed_tasks(project)
    newest: dict[str, Chosen] = {}
    for row in annotations.tasks():
        name = image_name(row.url) if row.url else ""
        annotation, statement, why = annotations.said(row)
        if annotation is not None and annotation["result"] and statement == Statement() and row.image:
            continue  # it is about another image of the task
        product = services.references.product_of(row.data, row.image)
        if statement.normal and (row.task_id, product) in removed:
            why = _TAKEN_OUT
        types = tuple(sorted({drawn.type for drawn in annotations.drawn(statement)}))
        unsaid = annotations.unsaid(statement)
        if not why and not types and not statement.normal:
            why = " ".join(unsaid) or SAYS_NOTHING
        why = why or _missing(row)
        if why or annotation is None:
            choice.left_out.append(LeftOut(row.task_id, name, why))
            continue
        found = Chosen(
            task=row.task_id,
            key=row.image,
            name=name,
            sha=row.sha,
            product=product,
            types=types,
            annotation=annotation["id"],
            changed_at=annotation["changed_at"],
            annotator=annotations.annotator(annotation),
            reviewed=bool(annotation.get("reviewed")),
        )
        choice.left_out += [LeftOut(row.task_id, name, said) for said in unsaid]
        other = newest.get(row.sha)
        if other is not None:
            found, other = sorted((found, other), key=lambda one: (-one.changed_at, -one.task))
            choice.left_out.append(LeftOut(other.task, other.name, _SAME_FILE.format(found.task)))
        newest[row.sha] = found
    choice.images = sorted(newest.values(), key=lambda one: (one.task, one.key))
    return choice


def _missing(row: LabelledTask) -> str:
    """Why there is no copy of an image; "" when there is one."""
    return (
        "" if row.file else row.problem or "Its image was not fetched yet: press Synchronise now on Labels."
    )


def _number_of(wanted: str, names: Mapping[int, str], authors: set[int]) -> int | None:
    """The number of the person who is meant; None when everybody is."""
    if not wanted:
        return None
    if wanted.isdecimal() and int(wanted) in authors:
        return int(wanted)
    for number in sorted(authors):
        if names.get(number, "").casefold() == wanted.strip().casefold():
            return number
    known = ", ".join(names.get(number, str(number)) for number in sorted(authors)) or "nobody"
    raise ExportError(f"Nobody called {wanted[:80]!r} has labelled anything here; known: {known[:300]}.")
