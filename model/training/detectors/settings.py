"""The settings of a training of detectors."""

from __future__ import annotations

from dataclasses import dataclass

from model.checkpoint.ranges import COUNT, NONE_OR_MORE, NOT_NEGATIVE, POSITIVE, SEED, SHARE, check


@dataclass(frozen=True)
class DetectorTraining:
    """Settings of the training of one or several detectors, which learn one after the other.

    The defaults are what two processor cores do in about two minutes a detector, for 30 good images.
    """

    steps: int | None = None  # of each detector; None: those that belong to the method
    batch: int | None = None  # images a step; None: those that belong to the method
    seed: int = 0
    learning_rate: float = 1.0  # times the one that belongs to the method
    checks: int = 6  # how often the held-out check is made, evenly spaced; the best state is kept
    held_out: float = 0.2  # share of the good images of a product that is kept back for it
    most_held_out: int = 8  # of a product
    defects: int = 3  # synthetic ones drawn on each image that is kept back, one at a time
    checked: int = (
        64  # images of the check at most, whole and with defects, over all products; 15 MB of memory each
    )
    images: int = 120  # good images at most, over all products; their features are kept in memory
    save_seconds: float = 30.0  # between two writings of the resume file

    def __post_init__(self) -> None:
        given = tuple(name for name in ("steps", "batch") if getattr(self, name) is not None)
        check(
            self,
            {
                **dict.fromkeys((*given, "checks", "checked", "defects", "images"), COUNT),
                "learning_rate": POSITIVE,
                "seed": SEED,
                "held_out": SHARE,
                "most_held_out": NONE_OR_MORE,
                "save_seconds": NOT_NEGATIVE,
            },
        )
