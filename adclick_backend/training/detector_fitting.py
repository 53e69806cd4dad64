"""What a training does with good images alone: fit detectors, and say why not where it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.jobs.control import JobCancelled, JobControl
from adclick_backend.services import Services
from adclick_backend.store.disk import is_full
from adclick_backend.store.proposal_source import words_of_source
from adclick_backend.training.memory import is_out_of_memory
from model.checkpoint.manifest import CheckpointError, manifest_path, read_manifest

if TYPE_CHECKING:
    from model.training.progress import Progress

log = logging.getLogger(__name__)

Fit = Callable[..., Mapping[str, Any]]

FIRST, LAST = 0.62, 0.8
"""Where the training of detectors lies in the progress of the job."""

STAGES = {"preparing": (0.0, 0.2), "training": (0.2, 0.9), "evaluating": (0.9, 1.0)}
"""And its stages in that of it."""

_TOLD = (ValueError, ArithmeticError, CheckpointError)
"""Errors that say in a sentence why there are no detectors."""


def fit_detectors(
    fit: Fit,
    references: Mapping[str, Sequence[NDArray[np.uint8]]],
    out: Path,
    version: str,
    services: Services,
    control: JobControl,
    state: Path,
) -> str:
    """Fit detectors to the good images of a project; what keeps them from it is no reason to end the training.

    Args:
        fit: ``model.training.detectors.project.train_detector``.
        references: product -> its defect-free images, (H, W, 3) uint8 RGB.
        out: checkpoint to write; none is left where detectors cannot be fitted.
        version: its name.
        services: of this process.
        control: of the job.
        state: file beside which the state of an interrupted training is kept.

    Returns:
        Why there are no detectors, as a sentence; "" when there are.

    Raises:
        JobCancelled: somebody cancelled the job.
        OSError: a file cannot be written; the disk is full, say.
    """

    def report(progress: Progress) -> None:
        first, last = STAGES[progress.stage]
        share = first + (last - first) * progress.share
        control.report(
            "Learning what good images are like.",
            FIRST + (LAST - FIRST) * share,
            progress.stage,
            loss=progress.loss,
            metrics={f"{words_of_source(name)}, drawn defects": v for name, v in progress.metrics.items()},
        )

    try:
        fit(
            references,
            out,
            version=version,
            click=services.engine.weights,
            resume=state,
            report=report,
            cancelled=control.cancelled,
            asked=services.settings.number_format,
        )
    except (JobCancelled, OSError):
        raise
    except Exception as error:
        if is_full(error) or _is_cancellation(error):
            raise
        for file in (out, manifest_path(out)):
            file.unlink(missing_ok=True)
        if is_out_of_memory(error):
            said = "Memory ran out."
        elif isinstance(error, _TOLD):
            said = str(error)
        else:
            log.exception("The detectors ran into an error that nobody expected")
            said = (
                "Their training ran into an error that nobody expected; the log of the job has the details."
            )
        log.warning("No detectors were trained: %s", said)
        return f"There are no detectors among the sources of masks: {said}"
    return ""


def notes_of(detector: Path) -> list[str]:
    """What a person is told of the training of detectors; nothing where there are none."""
    if not manifest_path(detector).exists():
        return []
    return [str(note) for note in read_manifest(detector)["training"].get("notes", [])]


def _is_cancellation(error: Exception) -> bool:
    from model.training.progress import Cancelled

    return isinstance(error, Cancelled)
