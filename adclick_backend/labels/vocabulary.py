"""What the labels and choices of a project mean for training."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from adclick_backend.config.labeling_config import ImageSettings, LabelingConfig
from adclick_backend.config.statement_controls import StatementControl
from adclick_backend.labels.meanings import (
    Meaning,
    Meanings,
    is_defective_word,
    is_normal_word,
    read_meanings,
    simplified,
    unclear,
)
from adclick_backend.settings import Settings


@dataclass(frozen=True)
class Vocabulary:
    """The words that annotations of a project may use.

    Attributes:
        labels: of the controls that draw; () when they come with each task or no config is known, then every label
            is good.
        normal: words that call an image, or a place, free of defects.
        background: labels, in lower case, that mark no defect.
        controls: about the whole image; None when no config is known, then a plain word counts whatever it stands in.
        assigned: what a person said of their values.
    """

    labels: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    controls: tuple[StatementControl, ...] | None = None
    assigned: Meanings = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        image: ImageSettings,
        settings: Settings,
        controls: tuple[StatementControl, ...] | None = None,
        assigned: Meanings | None = None,
    ) -> Vocabulary:
        """The vocabulary for one image of a labeling config."""
        labels = () if image.labels_from_task else image.drawn_labels
        return cls(labels, settings.normal_choices, settings.background_labels, controls, assigned or {})

    @classmethod
    def of_any(
        cls,
        config: LabelingConfig,
        settings: Settings,
        controls: tuple[StatementControl, ...] | None = None,
        assigned: Meanings | None = None,
    ) -> Vocabulary:
        """The vocabulary for all images of a labeling config together."""
        each = [cls.of(image, settings).labels for image in config.images]
        labels = tuple(dict.fromkeys(chain.from_iterable(each))) if all(each) else ()
        return cls(labels, settings.normal_choices, settings.background_labels, controls, assigned or {})

    def label(self, word: str) -> str | None:
        """The label as the config has it, whatever the case of the word; None when it has none like it."""
        if not self.labels or word in self.labels:
            return word
        return next((label for label in self.labels if label.strip().lower() == word.strip().lower()), None)

    def type(self, word: str) -> str | None:
        """The defect type that a word names: a label that marks defects; None for any other word."""
        label = self.label(word) if self.labels else None
        return None if label is None or self.is_background(label) or self.calls_good(label) else label

    def is_background(self, label: str) -> bool:
        """Whether the label says "not here"."""
        return label.strip().lower() in self.background

    def calls_good(self, label: str) -> bool:
        """Whether a label calls the place it marks free of defects, as ``OK`` does."""
        return is_normal_word(label, self.normal)

    def knows(self, control: str) -> bool:
        """Whether a control about the image is known to speak of defects."""
        return self.controls is None or control in self.meanings

    def meaning(self, control: str, value: str) -> Meaning:
        """What a value that was picked in a control says about defects in the image."""
        if self.controls is None:
            return self._by_word(value)
        return self.meanings.get(control, {}).get(value, "nothing")

    def normal_choice(self, image: ImageSettings) -> str | None:
        """The choice that calls an image free of defects, as the words or a person say it; None when none does."""
        return next((one for one in image.choices if self.meaning(image.choices_name, one) == "normal"), None)

    @cached_property
    def meanings(self) -> Meanings:
        """What the values of all controls mean, as far as it is known."""
        types = {simplified(label) for label in self.labels if self.type(label) is not None}
        return read_meanings(self.controls or (), types, self.normal, self.assigned)

    @property
    def unclear(self) -> list[StatementControl]:
        """The controls of which a person has to say what their values mean."""
        return unclear(self.controls or (), self.meanings)

    def _by_word(self, value: str) -> Meaning:
        if is_normal_word(value, self.normal):
            return "normal"
        return "defective" if is_defective_word(value, self.normal) else "nothing"
