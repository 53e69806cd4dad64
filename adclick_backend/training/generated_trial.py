"""Whether generated pictures help a project: trained without them, trained with them, and the better one is kept."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adclick_backend.store.participation import ALWAYS
from adclick_backend.store.version import WEIGHTS
from adclick_backend.training.generated_part import GeneratedPart
from adclick_backend.training.holdout import FEWEST_TO_LEAVE, Split, split_for_generated
from adclick_backend.training.promotion import NAMES, Comparison, Look, compare, finite, is_better
from adclick_backend.training.reference_pixels import References
from model.checkpoint.manifest import manifest_path, read_manifest
from model.labels.generated import GeneratedImage

log = logging.getLogger(__name__)

BUDGET_S = 20 * 60
"""So much longer a training may take because both ways are tried."""


@dataclass(frozen=True)
class Attempt:
    """One training of the segmentation network.

    Attributes:
        split: images to learn from, and those that it is watched by.
        generated: pictures that take part.
        out: checkpoint to write.
        resume: file for its state; samples are shared by all attempts, in a folder beside it.
        number: which of the trainings it is, from 0.
        of: how many there are.
        words: what is said of it beside "Training"; "" for nothing.
    """

    split: Split
    generated: Sequence[GeneratedImage]
    out: Path
    resume: Path
    number: int = 0
    of: int = 1
    words: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of the generated pictures.

    Attributes:
        used: whether the version was trained with them.
        pictures: how many there were to take part.
        reason: in a sentence for a person; "" when there were none.
        comparison: of both ways, "candidate" is with them; None when that was not tried.
    """

    used: bool = False
    pictures: int = 0
    reason: str = ""
    comparison: Comparison | None = None

    def as_json(self) -> dict[str, Any]:
        """What ``comparison.json`` holds of it; {} when there is nothing to tell."""
        if not self.reason:
            return {}
        told: dict[str, Any] = {"used": self.used, "pictures": self.pictures, "reason": self.reason}
        if self.comparison is not None:
            told |= {"with": finite(self.comparison.candidate), "without": finite(self.comparison.serving)}
        return told


def train_with_generated(
    part: GeneratedPart,
    chosen: Split,
    references: References,
    train: Callable[[Attempt], object],
    look: Callable[[Path], Look],
    out: Path,
    state: Path,
    report: Callable[[str], None] = lambda sentence: None,
) -> Outcome:
    """Train the segmentation network of a version, with generated pictures where they are wanted and help.

    Both ways start from the same prepared samples. They are judged by images that neither has learned from: what the
    training holds out anyway, or one image that is left out of both; then what proved better is trained once more
    with all images.

    Args:
        part: the pictures, and what is wanted of them.
        chosen: the split of the training.
        references: that are trained on.
        train: trains one attempt.
        look: what the network of a checkpoint sees.
        out: checkpoint of the version.
        state: file for the state of the training; beside it both ways are kept, so that an interrupted one goes on.
        report: told what is compared, before each image; may raise.
    """
    images = part.images(references, chosen.training)
    held_back = part.left_out + len(part.pictures) - len(images)
    beside = (
        f" {_pictures(held_back)} took no part: a reference that they were painted on was removed or held back, or no "
        "label of their type is there."
    ) * bool(held_back)
    if not images:
        train(Attempt(chosen, (), out, state))
        return Outcome(reason=beside.strip())
    count = len(images)
    if part.mode == ALWAYS:
        train(Attempt(chosen, images, out, state))
        return Outcome(True, count, f"{_pictures(count)} took part, as somebody chose.{beside}")

    trial = split_for_generated(chosen, part.learned_from)
    if not trial.held_out:
        train(Attempt(chosen, (), out, state))
        said = (
            f"Whether {_pictures(count)} would help was not tried, and they took no part: to judge it takes "
            f"{FEWEST_TO_LEAVE} images with a mask of one type. The page Generated defects can have them always used."
        )
        return Outcome(False, count, f"{said}{beside}")
    ways = _Ways(trial, chosen, part.images(references, trial.training), train, out, state)
    ways.without()
    if (needed := ways.seconds * (ways.trainings - 1)) > BUDGET_S:
        ways.settle(with_them=False)
        said = (
            f"Whether {_pictures(count)} would help was not tried, and they took no part: it would take "
            f"{needed / 60:.0f} minutes more, and {BUDGET_S // 60} are allowed for it."
        )
        return Outcome(False, count, f"{said}{beside}")
    ways.with_them()
    comparison = compare(
        look(ways.folder("with") / WEIGHTS),
        look(ways.folder("without") / WEIGHTS),
        trial,
        lambda share: report("Comparing what was trained with and without generated pictures."),
    )
    helps = comparison.promoted and any(is_better(name, comparison.images) for name in ("iou", "ap"))
    ways.settle(with_them=helps)
    reason = _verdict(comparison, helps, count, trial, part.learned_from)
    return Outcome(helps, count, f"{reason}{beside}", comparison)


class _Ways:
    """Both trainings, each in a folder of its own until one of them is chosen."""

    def __init__(
        self,
        trial: Split,
        chosen: Split,
        images: Sequence[GeneratedImage],
        train: Callable[[Attempt], object],
        out: Path,
        state: Path,
    ) -> None:
        self._trial, self._chosen, self._images = trial, chosen, images
        self._train, self._out, self._state = train, out, state
        self.again = trial is not chosen  # the trial has left out images that the version is to learn from
        self.trainings = 3 if self.again else 2

    def folder(self, name: str) -> Path:
        return self._state.with_name(name)

    def without(self) -> None:
        self._do("without", (), 0, "without generated pictures")

    def with_them(self) -> None:
        self._do("with", self._images, 1, "with generated pictures")

    @property
    def seconds(self) -> float:
        """That the training without them took."""
        about = read_manifest(self.folder("without") / WEIGHTS).get("training", {})
        return float(about.get("seconds", 0.0))

    def settle(self, *, with_them: bool) -> None:
        """Write the checkpoint of the version."""
        if self.again:
            images = self._images if with_them else ()
            resume = self._state.with_name("all.safetensors")
            words = "once more, with all images"
            self._train(Attempt(self._chosen, images, self._out, resume, 2, 3, words))
            return
        found = self.folder("with" if with_them else "without") / WEIGHTS
        for file, place in ((found, self._out), (manifest_path(found), manifest_path(self._out))):
            shutil.copyfile(file, place)

    def _do(self, name: str, images: Sequence[GeneratedImage], number: int, words: str) -> None:
        out = self.folder(name) / WEIGHTS
        if manifest_path(out).exists() and out.exists():
            log.info("The training %s was done before this one was interrupted.", words)
            return
        out.parent.mkdir(parents=True, exist_ok=True)
        resume = self._state.with_name(f"{name}.safetensors")
        self._train(Attempt(self._trial, images, out, resume, number, self.trainings, words))


def _verdict(
    comparison: Comparison, helps: bool, count: int, trial: Split, learned_from: Collection[str]
) -> str:
    ours, theirs = comparison.candidate, comparison.serving
    figures = "; ".join(
        f"{NAMES[name]} {theirs[name]:.1%} without, {ours[name]:.1%} with them"
        for name in ours
        if name in theirs
    )
    judged = len(trial.labelled)
    on = f"On {judged} labelled image{'' if judged == 1 else 's'} that neither way has learned from: {figures}."
    known = sum(image.name in learned_from for image in trial.labelled)
    leak = (
        f" Their look was learned from {known} of these images as well, so that the figures with them are too good."
    ) * bool(known)
    end = "they help, and took part" if helps else "they do not help, and took no part"
    return f"{_pictures(count)} were tried: {end}. {on}{leak}"


def _pictures(count: int) -> str:
    return f"{count} generated picture{'' if count == 1 else 's'}"
