"""``adclick serve`` that takes a fifth of the steps for its detectors and click networks.

SEGMENTATION_STEPS says how many its segmentation network takes. What a whole training is worth, studies measure.

    python -m tests.e2e.short_trainings serve --port 9090
    python -m tests.e2e.short_trainings --job 7

The second is what the first starts for each job.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from unittest.mock import patch

from adclick_backend import services
from adclick_backend.jobs.queue import Jobs

if TYPE_CHECKING:
    from adclick_backend.training.job import Trainers

MODULE = "tests.e2e.short_trainings"


def main(words: Sequence[str]) -> int:
    """Serve, or do a job; returns the exit status."""
    from adclick_backend import cli
    from adclick_backend.workers import process

    if "--job" in words:
        return process.main(words, trainers=short())
    with patch.object(services, "Jobs", partial(Jobs, program=(sys.executable, "-m", MODULE))):
        return cli.main(words)


def short() -> Trainers:
    """The trainers of the model, with settings of their own."""
    from adclick_backend.training.job import Trainers
    from model.training.detectors.project import train_detector
    from model.training.detectors.settings import DetectorTraining
    from model.training.interactive.adaptation import Adaptation, adapt_click_network
    from model.training.segmentation.project import train_segmentation
    from model.training.segmentation.trainer import SegTraining

    clicks = Adaptation()
    segmentation = SegTraining(steps=int(os.environ["SEGMENTATION_STEPS"]))
    return Trainers(
        segmentation=partial(train_segmentation, config=segmentation),
        clicks=partial(
            adapt_click_network,
            config=replace(clicks, training=replace(clicks.training, steps=40), synthetic=6),
        ),
        detectors=partial(train_detector, config=DetectorTraining(steps=24, checks=2, defects=1)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
