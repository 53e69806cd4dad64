"""What a training does for clicks: adapt the click network, judge it, give the version the better one."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.jobs.control import JobControl
from adclick_backend.services import Services
from adclick_backend.store.disk import is_full
from adclick_backend.store.version import CLICKS, Version
from adclick_backend.training.click_verdict import ClickVerdict, Press, judge_clicks
from adclick_backend.training.holdout import FEWEST_CLICKED, Split, split_for_clicks
from adclick_backend.training.memory import halved, is_out_of_memory, train_within_memory
from adclick_backend.training.training_set import key_of, whole
from model.checkpoint.atomic import write_atomically
from model.checkpoint.manifest import CheckpointError, manifest_path, read_manifest
from model.clicks import Click
from model.labels.labelled import LabelledImage

if TYPE_CHECKING:
    from model.training.progress import Progress

log = logging.getLogger(__name__)

Adapt = Callable[..., Mapping[str, Any]]

STAGES = {"preparing": (0.08, 0.15), "training": (0.15, 0.3)}
"""Where the stages of the adaptation lie in the progress of the job."""

WORDS = {"preparing": "Preparing images for clicks.", "training": "Adapting how clicks are answered."}


class ClickAdaptation:
    """What a training does for clicks.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        serving: the version that serves; None for the packaged networks.
        chosen: how the images are divided for the segmentation network.
        adapt: ``model.training.interactive.adaptation.adapt_click_network``.

    Attributes:
        training: images that the click network is adapted with.
        judged: images that it is judged by; empty when it is not adapted.
    """

    def __init__(
        self,
        project: str,
        services: Services,
        control: JobControl,
        serving: Version | None,
        chosen: Split,
        adapt: Adapt,
    ) -> None:
        self._project, self._services, self._control = project, services, control
        self._serving, self._adapt = serving, adapt
        self.training, self.judged = split_for_clicks(chosen, learned_by(serving))
        self._masks = sum(image.has_mask for image in chosen.training)
        self._why_not = ""  # a sentence, when nothing was adapted

    def fit(
        self,
        references: Mapping[str, Sequence[NDArray[np.uint8]]],
        out: Path,
        version: str,
        state: Path,
    ) -> None:
        """Adapt the click network; what keeps it from that is told by `judge`, and no reason to end the training.

        Args:
            references: product -> its defect-free images.
            out: checkpoint to write.
            version: its name.
            state: folder for samples and the state of an interrupted training.

        Raises:
            JobCancelled: somebody cancelled the job.
            OSError: a file cannot be written; the disk is full, say.
        """
        if not self.judged:
            self._why_not = (
                f"they are adapted to a project once {FEWEST_CLICKED} images have an accepted mask, to judge the "
                f"result by, and {self._masks or 'none'} {'has' if self._masks == 1 else 'have'} one."
            )
            return

        def attempt(**more: Any) -> None:
            self._adapt(
                self.training,
                references,
                out,
                version=version,
                start=self._services.engine.weights,  # the click network that all projects share
                resume=state,
                report=self._report,
                cancelled=self._control.cancelled,
                asked=self._services.settings.number_format,
                **more,
            )

        try:
            train_within_memory(attempt, lambda: attempt(config=_with_smaller_batches()))
        except (MemoryError, RuntimeError, ValueError, ArithmeticError) as error:
            if is_full(error) or not (is_out_of_memory(error) or isinstance(error, _TOLD)):
                raise
            log.warning("Clicks were not adapted: %s", error)
            self._why_not = (
                f"they could not be adapted. {'Memory ran out.' if is_out_of_memory(error) else error}"
            )
            shutil.rmtree(state, ignore_errors=True)
            for file in (out, manifest_path(out)):
                file.unlink(missing_ok=True)

    def judge(self, candidate: Path) -> ClickVerdict:
        """Decide whether the adapted network in the folder ``candidate`` answers better than the one that does now.

        Raises:
            JobCancelled: somebody cancelled the job.
        """
        answering = "the network that all projects share"
        if self._serving is not None and self._serving.clicks is not None:
            answering = f"the network of {self._serving.name}"
        if self._why_not:
            return ClickVerdict(False, f"Clicks go on being answered by {answering}: {self._why_not}")
        return judge_clicks(
            self._press(candidate / CLICKS),
            self._press(None if self._serving is None else self._serving.clicks),
            self.judged,
            answering,
            lambda share: self._control.report("Comparing how clicks are answered.", 0.94 + 0.04 * share),
        )

    def settle(self, verdict: ClickVerdict, candidate: Path) -> None:
        """Leave in the folder ``candidate`` the click network that its version is to answer with: the better one."""
        if verdict.adopted:
            describe(
                candidate / CLICKS, created=time.time(), data={"images": [i.name for i in self.training]}
            )
            return
        for file in (candidate / CLICKS, manifest_path(candidate / CLICKS)):
            file.unlink(missing_ok=True)
        if self._serving is not None and self._serving.clicks is not None:
            copy_checkpoint(self._serving.clicks, candidate)
            describe(candidate / CLICKS, alone=False)

    def _press(self, weights: Path | None) -> Press:
        def press(image: LabelledImage, clicks: Sequence[Click]) -> NDArray[np.bool_]:
            bank = self._services.references.bank(self._project, image.product)
            key = key_of(self._project, image)
            return self._services.engine.click(key, bank, whole(image), clicks, weights).mask

        return press

    def _report(self, progress: Progress) -> None:
        first, last = STAGES[progress.stage]
        self._control.report(WORDS[progress.stage], first + (last - first) * progress.share, progress.stage)


_TOLD = (ValueError, ArithmeticError, CheckpointError)
"""Errors of an adaptation that say in a sentence why there is none."""


def learned_by(version: Version | None) -> frozenset[str]:
    """Names of the images that the click network of a version was adapted with."""
    if version is None or version.clicks is None:
        return frozenset()
    return frozenset(read_manifest(version.clicks).get("data", {}).get("images", ()))


def copy_checkpoint(weights: Path, folder: Path) -> None:
    """A copy of a checkpoint and its manifest in another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (weights, manifest_path(weights)):
        shutil.copyfile(file, folder / file.name)


def describe(weights: Path, **more: Any) -> None:
    """Add to the manifest of a checkpoint."""
    described = {**read_manifest(weights), **more}
    write_atomically(manifest_path(weights), (json.dumps(described, indent=2) + "\n").encode())


def _with_smaller_batches() -> Any:
    """The default settings of the adaptation with half as many crops in a step."""
    from dataclasses import replace

    from model.training.interactive.adaptation import Adaptation

    usual = Adaptation()
    return replace(usual, training=replace(usual.training, crops=halved(usual.training.crops)))
