"""The page of a project's phrases: what each label is described with, added to and taken out by a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.words import count
from adclick_backend.errors import ApiError, bad_request
from adclick_backend.prompts.phrases import Added, Prompts
from adclick_backend.store import Prompt

LONGEST_TEXT = 20_000  # characters that are read of a form
SOURCES = {"person": "yours", "llm": "language model", "built-in": "built-in"}


@dataclass(frozen=True)
class Phrase:
    """A phrase, and whether training uses it."""

    prompt: Prompt
    used: bool

    @property
    def source(self) -> str:
        """Who wrote it, in words."""
        return SOURCES[self.prompt.source]

    @property
    def state(self) -> str:
        """Why it is used or not, in words."""
        if self.used:
            return "in use"
        return "taken out" if not self.prompt.valid else "not needed"


@dataclass(frozen=True)
class LabelPhrases:
    """The phrases of one label, the person's first."""

    label: str
    phrases: Sequence[Phrase]

    @property
    def used(self) -> int:
        """How many are in use."""
        return sum(phrase.used for phrase in self.phrases)

    @property
    def own(self) -> Sequence[Phrase]:
        """Those of a person or of a language model."""
        return [phrase for phrase in self.phrases if phrase.prompt.source != "built-in"]

    @property
    def built_in(self) -> Sequence[Phrase]:
        """The built-in sentences."""
        return [phrase for phrase in self.phrases if phrase.prompt.source == "built-in"]

    @property
    def lost_built_in(self) -> Sequence[str]:
        """The built-in sentences that were taken out."""
        return [phrase.prompt.phrase for phrase in self.built_in if not phrase.prompt.valid]


def list_phrases(prompts: Prompts, project: str) -> list[LabelPhrases]:
    """The phrases of every label of a project."""
    found = []
    for label in prompts.labels(project):
        used = set(prompts.for_label(project, label))
        rows = prompts.listed(project, label)
        found.append(LabelPhrases(label, [Phrase(row, row.phrase in used) for row in rows]))
    return found


def say_added(added: Added, label: str) -> str:
    """What came of a person's lines, in a sentence or two."""
    sentence = f"{count(added.new, 'phrase')} added for {label}."
    if added.refused:
        lines = "; ".join(line[:60] for line in added.refused[:3])
        sentence += f" Not a phrase, for it has no letters or more than 18 words: {lines}."
    return sentence


def add_prompts(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    prompts = pages.services.prompts

    def known_label(project: str) -> tuple[str, str]:
        project = pages.known(project)
        label = request.form.get("label", "")
        if label not in prompts.labels(project):
            raise bad_request(f"Project {project} has no label {label[:60]!r}.", "label")
        return project, label

    def mark(project: str, valid: bool) -> ResponseReturnValue:
        project, label = known_label(project)
        phrase = request.form.get("phrase", "")
        act = prompts.restore if valid else prompts.invalidate
        if not act(project, label, phrase):
            raise ApiError(404, "not_found", f"{label} has no phrase {phrase[:60]!r}.")
        return pages.back("prompts", project, said=f"“{phrase}” is {'used again' if valid else 'taken out'}.")

    @blueprint.get("/projects/<project>/prompts", endpoint="prompts")
    def show(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        view = list_phrases(prompts, project)
        return pages.show("prompts", project, labels=view, can_write=prompts.can_write)

    @blueprint.post("/projects/<project>/prompts")
    def add_phrases(project: str) -> ResponseReturnValue:
        project, label = known_label(project)
        added = prompts.add(project, label, request.form.get("phrases", "")[:LONGEST_TEXT].splitlines())
        return pages.back("prompts", project, said=say_added(added, label))

    @blueprint.post("/projects/<project>/prompts/take-out")
    def take_out(project: str) -> ResponseReturnValue:
        return mark(project, valid=False)

    @blueprint.post("/projects/<project>/prompts/use-again")
    def use_again(project: str) -> ResponseReturnValue:
        return mark(project, valid=True)

    @blueprint.post("/projects/<project>/prompts/built-in")
    def restore_built_in(project: str) -> ResponseReturnValue:
        project, label = known_label(project)
        for listed in list_phrases(prompts, project):
            if listed.label == label:
                for phrase in listed.lost_built_in:
                    prompts.restore(project, label, phrase)
        return pages.back("prompts", project, said=f"The built-in sentences of {label} may be used again.")

    @blueprint.post("/projects/<project>/prompts/write")
    def write(project: str) -> ResponseReturnValue:
        project, label = known_label(project)
        return pages.back("prompts", project, said=prompts.write(project, label).sentence)
