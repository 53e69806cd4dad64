"""What a training tells whoever waits for it, and how it is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Progress:
    """Where a training stands.

    Attributes:
        stage: what it is doing.
        share: of that stage, in [0, 1].
        loss: mean of the last steps, when training.
        metrics: what is known of the result so far.
    """

    stage: Literal["preparing", "training", "evaluating"]
    share: float
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Cancelled(Exception):
    """The training was stopped on request; with a resume file it can be gone on with."""
