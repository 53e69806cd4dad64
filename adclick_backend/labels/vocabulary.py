"""What the labels and choices of a project mean for training."""

from __future__ import annotations

from dataclasses import dataclass

from adclick_backend.config.labeling_config import LabelingConfig
from adclick_backend.settings import Settings


@dataclass(frozen=True)
class Vocabulary:
    """The words that annotations of a project may use.

    Attributes:
        labels: of the controls that draw; () when they come with each task or no config is known, then every label
            is good.
        normal: choices, in lower case, that call an image free of defects.
        background: labels, in lower case, that mark no defect.
    """

    labels: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    background: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: LabelingConfig, settings: Settings) -> Vocabulary:
        """The vocabulary of a labeling config."""
        labels = () if config.labels_from_task else config.drawn_labels
        return cls(labels, settings.normal_choices, settings.background_labels)

    def label(self, word: str) -> str | None:
        """The label as the config has it, whatever the case of the word; None when it has none like it."""
        if not self.labels or word in self.labels:
            return word
        return next((label for label in self.labels if label.lower() == word.strip().lower()), None)

    def is_background(self, label: str) -> bool:
        """Whether the label says "not here"."""
        return label.strip().lower() in self.background

    def is_normal(self, choice: str) -> bool:
        """Whether the choice calls the image free of defects."""
        return choice.strip().lower() in self.normal
