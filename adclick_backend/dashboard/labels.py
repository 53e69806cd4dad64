"""The page of a project's labels: how many of each defect type and kind, and what cannot be learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from adclick_backend.config.statement_controls import StatementControl
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.standing import suspected
from adclick_backend.dashboard.task_links import task_url
from adclick_backend.dashboard.words import count
from adclick_backend.errors import bad_request
from adclick_backend.exports.state import ExportStates
from adclick_backend.exports.wish import FORMATS
from adclick_backend.labels.annotators import annotator_names
from adclick_backend.labels.marking import waiting
from adclick_backend.labels.meanings import Meaning
from adclick_backend.labels.mirror import LabelCounts
from adclick_backend.references.syncing import SyncState
from adclick_backend.services import Services
from adclick_backend.store import Suspicion

FEW = 5  # images of a type; below that a held-out part says little
SHOWN = 100  # tasks that cannot be learned from
SAYS_NOTHING = (
    "Its annotation says nothing about defects: no region or choice in it names a label of the config."
)

MEANINGS: Mapping[Meaning, str] = {
    "normal": "free of defects",
    "defective": "defective",
    "nothing": "says nothing about defects",
}

# Kind of label -> heading of its column, and how strongly it is learned from.
KINDS = {
    "clicked": (
        "Accepted",
        "a mask of ADClick, clicked or proposed, that somebody accepted: learned as it is, but for a band at its edge",
    ),
    "mask": ("Painted", "a brush or polygon region: these pixels, no others"),
    "box": ("Boxed", "a rectangle or ellipse: the defect is somewhere inside"),
    "tag": ("Named", "a choice for the whole image: the defect is somewhere in it"),
}


@dataclass(frozen=True)
class TypeRow:
    """A defect type: its images by kind of label, in the order of `KINDS`."""

    type: str
    counts: Sequence[int]

    @property
    def total(self) -> int:
        """Images with a label of this type."""
        return sum(self.counts)


@dataclass(frozen=True)
class Skipped:
    """A task that training leaves out."""

    task_id: int
    url: str  # in Label Studio; "" when that is not known
    reason: str


@dataclass(frozen=True)
class Deleted:
    """Labels that were deleted and can be brought back."""

    task_id: int
    url: str
    at: float  # Unix seconds


@dataclass(frozen=True)
class LabelPage:
    """The page."""

    rows: Sequence[TypeRow]
    normal: int
    skipped: Sequence[Skipped]
    more_skipped: int  # beyond those of `skipped`
    advice: str
    sync: SyncState
    controls: Sequence[StatementControl]  # about the image as a whole
    known: Mapping[
        str, Mapping[str, Meaning]
    ]  # control -> value -> what it says of defects; what is missing is asked
    unaccepted: int  # tasks whose key points were submitted without their mask
    deleted: Sequence[Deleted]
    suspicion: Suspicion | None

    @property
    def suspected(self) -> str:
        """How many tasks the suspicion is about, in words."""
        return suspected(self.suspicion) if self.suspicion else ""

    @property
    def questions(self) -> bool:
        """Whether there is a control of which nobody has said what it means."""
        return any(control.name not in self.known for control in self.controls)


def build_labels(services: Services, project: str, sync: SyncState) -> LabelPage:
    """Gather the page."""
    counts = services.labels.details(project)
    hostname = services.store.projects.get(project).hostname
    vocabulary, store = services.labels.vocabulary(project), services.store.labels
    skipped = [
        Skipped(task_id, task_url(hostname, project, task_id), reason or SAYS_NOTHING)
        for task_id, reason, _ in store.left_out(project)
    ]
    return LabelPage(
        rows=list_types(counts),
        normal=counts.normal,
        skipped=skipped[:SHOWN],
        more_skipped=max(0, len(skipped) - SHOWN),
        advice=advise(counts),
        sync=sync,
        controls=vocabulary.controls or (),
        known=vocabulary.meanings,
        unaccepted=store.flags(project).get("unaccepted", 0),
        deleted=[
            Deleted(task_id, task_url(hostname, project, task_id), at)
            for task_id, at in store.deleted(project)[:SHOWN]
        ],
        suspicion=services.store.suspicions.of(project),
    )


def list_types(counts: LabelCounts) -> list[TypeRow]:
    """The defect types, those with most images first."""
    rows = [TypeRow(name, [by_kind.get(kind, 0) for kind in KINDS]) for name, by_kind in counts.types.items()]
    return sorted(rows, key=lambda row: (-row.total, row.type))


def advise(counts: LabelCounts) -> str:
    """What can be learned from so many labels, and what more would bring."""
    if not counts.types:
        return (
            "No defect is labelled yet. In Label Studio, click a defect, accept its mask and submit; a painted region, "
            "a rectangle or only the choice “defective” counts as well. Then synchronise here, or start a training, "
            "which does it by itself. A training learns from references alone as well, two or more: what good images "
            "are like."
        )
    totals = {name: sum(by_kind.values()) for name, by_kind in counts.types.items()}
    few = sorted(name for name, total in totals.items() if total < FEW)
    sentence = (
        f"{count(sum(totals.values()), 'label')} of {count(len(totals), 'defect type')} can be learned from."
    )
    if few:
        names = ", ".join(f"“{name}”" for name in few)
        sentence += (
            f" Of {names} there are fewer than {FEW} images: what is learned of such a type is a first guess, and "
            "cannot be checked on images that were held back."
        )
    if not counts.normal:
        sentence += (
            " No image is labelled as normal: a few of them show how often a defect is seen where none is."
        )
    return sentence


def add_labels(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services
    syncs = services.syncs

    @blueprint.get("/projects/<project>/labels")
    def labels(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        view = build_labels(services, project, syncs.state(project))
        busy = services.jobs.under_way(project, "normal")
        return pages.show(
            "labels",
            project,
            changing=view.sync.running,
            view=view,
            export=ExportStates(services.store).of(project),
            formats=FORMATS,
            annotators=annotator_names(project, services.store),
            kinds=KINDS,
            meanings=MEANINGS,
            to_mark=[] if busy else waiting(project, services.store),
        )

    @blueprint.post("/projects/<project>/labels/sync")
    def sync(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        syncs.start(project)
        return pages.back("labels", project)

    @blueprint.post("/projects/<project>/labels/meanings")
    def assign_meanings(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        controls = services.labels.vocabulary(project).controls or ()
        services.labels.assign(project, read_answers(controls, request.form))
        if services.references.follow(project, services.labels):
            services.keeper.wake()
        return pages.back("labels", project, "meanings", "Noted. All labels were read anew.")

    @blueprint.post("/projects/<project>/labels/<int:task>/restore")
    def restore(project: str, task: int) -> ResponseReturnValue:
        project = pages.known(project)
        back = services.labels.restore(project, task)
        if services.references.follow(project, services.labels, [task]):
            services.keeper.wake()
        said = f"The label of task {task} is back." if back else f"Task {task} has no deleted label."
        return pages.back("labels", project, "deleted", said)

    @blueprint.post("/projects/<project>/labels/suspicion/dismiss")
    def dismiss_suspicion(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        services.store.suspicions.clear(project)
        return pages.back("labels", project, said="Noted. Nothing was deleted or changed.")

    @blueprint.post("/projects/<project>/labels/masks")
    def compute_masks(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        services.jobs.enqueue(project, "masks", "the dashboard", again=True)
        return pages.back("training", project)


def read_answers(
    controls: Sequence[StatementControl], form: Mapping[str, str]
) -> dict[str, dict[str, Meaning]]:
    """What a person answered, from the fields ``meaning-CONTROL-VALUE``, both by number.

    Raises:
        ApiError: 400; a meaning that there is not.
    """
    found: dict[str, dict[str, Meaning]] = {}
    for i, control in enumerate(controls):
        for j, value in enumerate(control.values):
            said = form.get(f"meaning-{i}-{j}", "")
            if not said:
                continue
            if said not in get_args(Meaning):
                known = ", ".join(get_args(Meaning))
                raise bad_request(f"{said[:40]!r} is no meaning; there are {known}.", f"meaning-{i}-{j}")
            found.setdefault(control.name, {})[value] = cast(Meaning, said)
    return found
