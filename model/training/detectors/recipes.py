"""How each detector is trained: by which learner, for how long, from how many images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from model.training.detectors.good_images import GoodImages
from model.training.detectors.invad import InvADLearner
from model.training.detectors.learner import Learner
from model.training.detectors.onenip import OneNIPLearner
from model.training.detectors.settings import DetectorTraining
from model.training.distributed import Worker


class Recipe(NamedTuple):
    """How one detector is trained.

    Attributes:
        steps: unless the settings say otherwise.
        learner: makes what learns of an untrained network, the images, the settings, this process, and a function that
            says whether to stop.
        least: good images that it takes, over all products, with those that are kept back.
        lacking: what is said where there are fewer; how many there are stands for ``{images}``.
    """

    steps: int
    learner: Callable[[Any, GoodImages, DetectorTraining, Worker, Callable[[], bool]], Learner]
    least: int = 1
    lacking: str = ""


def _invad(steps: int, batch: int, pace: float = 1.0) -> Recipe:
    return Recipe(
        steps,
        lambda network, good, config, worker, _: InvADLearner(network, good, config, batch, pace, worker),
        least=3,
        lacking="InvAD learns what good images have in common, so that it takes at least 3 of them, better 8, and "
        "there are fewer: {images}. Add defect-free images.",
    )


def _onenip(steps: int, batch: int) -> Recipe:
    return Recipe(
        steps,
        lambda network, good, config, worker, cancelled: OneNIPLearner(
            network, good, config, batch, worker, cancelled
        ),
    )


RECIPES: dict[str, Recipe] = {
    # the authors' 300 epochs of MVTec AD
    "invad": _invad(33_900, 32),
    "invad-lite": _invad(33_900, 32),
    "invad-tiny": _invad(600, 4, pace=3.0),
    # the authors' 1 000 epochs of MVTec AD
    "onenip": _onenip(56_700, 64),
    "onenip-tiny": _onenip(60, 4),  # what it sees of its references counts most; more steps gain little
}
"""Name of a detector (:data:`model.detectors.methods.PRESETS`) -> how it is trained."""

TINY = ("invad-tiny", "onenip-tiny")
"""What two processor cores train behind the packaged backbone in some minutes."""
