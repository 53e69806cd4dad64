"""What a project's defect types are described with: a person's phrases, a language model's, or built-in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adclick_backend.config.labeling_config import parse_labeling_config
from adclick_backend.prompts.writer import PromptWriter, PromptWriterError
from adclick_backend.settings import Settings
from adclick_backend.store import Prompt, Store
from model.language.prompts import builtin_prompts, clean_phrase


@dataclass(frozen=True)
class Written:
    """What came of asking a language model: how many phrases are new, and a sentence for the person."""

    new: int
    sentence: str
    failed: bool = False


@dataclass(frozen=True)
class Added:
    """What came of a person's lines: how many phrases are new, and the lines that are no phrase."""

    new: int
    refused: tuple[str, ...]


class Prompts:
    """The phrases of every project's labels.

    Args:
        settings: where the language model is, if there is one.
        store: where the phrases are kept.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._writer = PromptWriter(settings)

    @property
    def can_write(self) -> bool:
        """Whether a language model is set up."""
        return self._writer.configured

    def for_label(self, project: str, label: str) -> list[str]:
        """The phrases that training uses, at least one.

        Those of the person and of the language model, the person's first; without any, the built-in sentences that
        nobody took out; without these, one that says that there is a defect.
        """
        rows = [row for row in self.listed(project, label) if row.valid]
        chosen = [row.phrase for row in rows if row.source != "built-in"] or [row.phrase for row in rows]
        return chosen or ["a defect on the product"]

    def for_labels(self, project: str, labels: Iterable[str]) -> dict[str, list[str]]:
        """:meth:`for_label` of several labels."""
        return {label: self.for_label(project, label) for label in labels}

    def listed(self, project: str, label: str) -> list[Prompt]:
        """Every phrase of a label, also those taken out, the person's first and the built-in sentences last."""
        rows = self._store.prompts.of_label(project, label)
        known = {row.phrase for row in rows}
        missing = [phrase for phrase in builtin_prompts(label) if phrase not in known]
        return [*rows, *(Prompt(project, label, phrase, "built-in") for phrase in missing)]

    def labels(self, project: str) -> list[str]:
        """The brush labels of the project, and any other label that somebody wrote phrases for."""
        config = parse_labeling_config(self._store.projects.get(project).label_config)
        return list(dict.fromkeys([*config.brush_labels, *self._store.prompts.labels(project)]))

    def add(self, project: str, label: str, lines: Iterable[str]) -> Added:
        """Add a person's lines, one phrase each; empty lines and lines that begin with # are passed over.

        Raises:
            ValueError: the label is empty.
        """
        if not label.strip():
            raise ValueError("The label is empty. Name the label of the project that the phrases describe.")
        texts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        phrases = {text: clean_phrase(text) for text in texts}
        good = dict.fromkeys(phrase for phrase in phrases.values() if phrase)
        new = self._store.prompts.add(project, label, good, "person")
        return Added(new, tuple(text for text, phrase in phrases.items() if not phrase))

    def invalidate(self, project: str, label: str, phrase: str) -> bool:
        """Take a phrase out of use; False when the label has none such."""
        return self._mark(project, label, phrase, valid=False)

    def restore(self, project: str, label: str, phrase: str) -> bool:
        """Use a phrase again; False when the label has none such."""
        return self._mark(project, label, phrase, valid=True)

    def write(self, project: str, label: str, product: str = "") -> Written:
        """Ask the language model, and put its phrases in place of those it wrote before; never raises for it.

        Phrases of a person stay, and what a person took out stays out.
        """
        try:
            phrases = self._writer.write(label, product)
        except PromptWriterError as error:
            used = "The phrases stay as they are"
            if all(row.source == "built-in" for row in self._store.prompts.of_label(project, label)):
                used = "The built-in sentences are used"
            return Written(0, f"{error} {used}.", failed=True)
        new = self._store.prompts.replace_written(project, label, phrases)
        return Written(
            new, f"The language model wrote {len(phrases)} phrases for {label}, {new} of them new."
        )

    def _mark(self, project: str, label: str, phrase: str, *, valid: bool) -> bool:
        for row in self.listed(project, label):
            if row.phrase == phrase:
                self._store.prompts.mark(row, valid)
                return True
        return False
