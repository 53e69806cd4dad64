"""How far a project is, a line for each of its pages, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from adclick_backend.dashboard.proposing import Proposing, proposing
from adclick_backend.dashboard.words import count, images
from adclick_backend.labels.mirror import LabelCounts
from adclick_backend.labels.since_training import labels_since_training
from adclick_backend.references.check import ODD
from adclick_backend.services import Services
from adclick_backend.store import Job, Suspicion
from adclick_backend.store.proposal_source import ALWAYS, WHEN
from adclick_backend.store.suspicions import Suspicions
from adclick_backend.store.version import Version

FEWEST_TO_LEARN = 4
"""References from which on a training without labels is worth its time."""


@dataclass(frozen=True)
class Line:
    """What one page would tell; ``mark`` is the class of the coloured words."""

    tab: str
    title: str
    mark: Literal["good", "bad", "wait", "odd"]
    words: str
    sentence: str = ""


@dataclass(frozen=True)
class Look:
    """Something that needs a look, and the page that has it."""

    tab: str
    sentence: str


@dataclass(frozen=True)
class Standing:
    """The lines, what needs a look, and the next step of a person."""

    lines: Sequence[Line]
    looks: Sequence[Look]
    next_step: str


def project_standing(services: Services, project: str, obstacles: Sequence[str] = ()) -> Standing:
    """Gather how far a project is.

    Args:
        services: of the backend.
        project: its id.
        obstacles: what is wrong with the connection and the labeling config, one sentence each; first of all that.
    """
    references = {
        (reference.product, reference.sha)
        for reference in services.store.references.of_project(project)
        if reference.state == "ready"
    }
    counts = services.labels.details(project)
    jobs = services.jobs.of_project(project)
    version = services.registry.current(project)
    any_trained = bool(services.registry.list(project))
    lines = (
        _references_line(len(references)),
        _labels_line(counts),
        _training_line(jobs, version),
        _version_line(version, services.registry.fallen(project), any_trained=any_trained),
        *_proposals_line(proposing(services, project)),
    )
    step = next_step(
        len(references),
        counts,
        jobs,
        version,
        labels_since_training(services.store, project),
        services.registry.after(project),
        any_trained=any_trained,
    )
    return Standing(lines, list(_looks(services, project)), obstacles[0] if obstacles else step)


def _looks(services: Services, project: str) -> Iterator[Look]:
    """What a person should look at, the most harmful first."""
    if suspicion := services.store.suspicions.of(project):
        yield Look(
            "labels",
            f"Somebody says that labels of {suspected(suspicion)} were deleted or changed, and that cannot be checked.",
        )
    state = services.syncs.state(project)
    if state.failed:
        yield Look("labels", f"The labels are not up to date. {state.sentence}")
    flags = services.store.labels.flags(project)
    if number := flags.get("contradiction"):
        yield Look(
            "labels",
            f"{images(number)} called normal with a defect marked in {_it(number)}: neither is learned.",
        )
    odd = sum(
        reference.state == "ready" and reference.oddness is not None and reference.oddness > ODD
        for reference in services.store.references.of_project(project)
    )
    if odd:
        yield Look(
            "references", f"{count(odd, 'reference')} unlike the others: a defect may have become one."
        )
    if number := flags.get("unaccepted"):
        yield Look(
            "labels", f"{images(number)} submitted without accepting the mask: it can be computed again."
        )
    if number := flags.get("empty after clicks"):
        yield Look("labels", f"{images(number)} submitted empty after clicks: normal, or not?")
    vocabulary = services.labels.vocabulary(project)
    if vocabulary.unclear:
        names = ", ".join(control.name for control in vocabulary.unclear)
        yield Look("labels", f"Which value of {names} means free of defects, and which defective?")
    left_out = len(services.store.labels.left_out(project)) - sum(flags.values())
    if left_out > 0:
        yield Look("labels", f"{images(left_out)} annotated in a way that nothing can be learned from.")


def suspected(suspicion: Suspicion) -> str:
    """How many tasks a suspicion is about, in words."""
    number = len(suspicion.tasks)
    return count(number, "task") + (" or more" if number == Suspicions.MOST else "")


def _it(number: int) -> str:
    return "it" if number == 1 else "them"


def next_step(
    references: int,
    counts: LabelCounts,
    jobs: Sequence[Job],
    version: Version | None,
    since: int = 0,
    rolled_back: Version | None = None,
    *,
    any_trained: bool = False,
) -> str:
    """What would help most now, in a sentence.

    Args:
        references: that are ready.
        counts: of labels.
        jobs: the latest first.
        version: that serves; None for the packaged network.
        since: images labelled since the last training.
        rolled_back: the version that somebody rolled back from, and that could serve again.
        any_trained: there is a version, whether it serves or not.
    """
    if any(job.active and job.kind == "train" for job in jobs):
        return "A training is running; the page Training shows how far it is. Go on labelling meanwhile."
    if rolled_back is not None:
        instead = f"version {version.name}" if version else "the packaged network"
        step = (
            f"Version {rolled_back.name} was rolled back and {instead} serves: label images that it got "
            "wrong and train again, or go forward to it on the page Versions."
        )
        return f"{images(since)} labelled since the last training. {step}" if since else step
    if not references:
        return "Mark a few images as normal in Label Studio, or upload some on the page References."
    if not counts.types:
        step = "Open a task in Label Studio, click a defect, accept its mask and submit."
        if version is not None or references < FEWEST_TO_LEARN:
            return step
        return f"{step} Or press Start Training: it learns what good images are like, without a label."
    if version is None and any_trained:
        return "No trained version serves: activate one on the page Versions, or train again."
    if version is None:
        return "Press Start Training here or in Label Studio: then masks before the first click know your defects."
    if since:
        return (
            f"{images(since)} labelled since the last training: train again on the page Training, or go "
            "on labelling first."
        )
    return (
        "Open the next tasks: masks are there before the first click. Correct those that are wrong, and train again "
        "from time to time."
    )


def _references_line(ready: int) -> Line:
    return Line("references", "References", "good" if ready else "wait", f"{ready} ready")


def _labels_line(counts: LabelCounts) -> Line:
    labels = sum(sum(by_kind.values()) for by_kind in counts.types.values())
    types = f"of {', '.join(sorted(counts.types))}" if counts.types else ""
    normal = f"{count(counts.normal, 'image')} labelled as normal" if counts.normal else ""
    sentence = "; ".join(part for part in (types, normal) if part)
    return Line("labels", "Labels", "good" if labels else "wait", count(labels, "label"), sentence)


def _training_line(jobs: Sequence[Job], version: Version | None) -> Line:
    trainings = [job for job in jobs if job.kind == "train"]
    if not trainings:
        return Line("training", "Training", "wait", "never")
    last = trainings[0]
    if last.active:
        return Line("training", "Training", "wait", f"{int(100 * last.progress)} %", last.message)
    mark: Literal["good", "bad"] = "bad" if last.state == "failed" else "good"
    said = last.message
    if last.version and (
        version is None or version.name != last.version
    ):  # what it said then may not hold any more
        said = f"It brought forth {last.version}; {f'{version.name} serves' if version else 'no version serves'}."
    return Line("training", "Training", mark, f"last {last.state}", said)


def _proposals_line(how: Proposing) -> list[Line]:
    """Why nothing is proposed before the first click; no line while something is."""
    if not how.silent:
        return []
    others = len(how.silent) - 1
    more = f" So it is with {count(others, 'other product')}." if others else ""
    some = "few or none" if len(how.silent) == len(how.sentences) else "not for all products"
    some = some if how.when == ALWAYS else WHEN[how.when]
    return [Line("versions", "Proposals", "wait", some, how.silent[0] + more)]


def _version_line(version: Version | None, fallen: Version | None, *, any_trained: bool) -> Line:
    if fallen is not None:
        instead = version.name if version else "the packaged network"
        return Line("versions", "Version", "bad", f"{instead} serves, not {fallen.name}", fallen.damage)
    if version is None:
        sentence = "The packaged network serves; it does not know the defect types of this project."
        return Line("versions", "Version", "wait", "none serves" if any_trained else "none trained", sentence)
    return Line("versions", "Version", "good", f"{version.name} serves")
