"""The phrases that describe a project's defect types."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from adclick_backend.store.database import Database

PromptSource = Literal["person", "llm", "built-in"]


@dataclass(frozen=True)
class Prompt:
    """One phrase of one label. A phrase that a person took out stays, with `valid` False, so that it does not return.

    Attributes:
        project: id.
        label: defect type, as the project calls it.
        phrase: in lower case.
        source: who wrote it.
        valid: whether it may be used.
        added: Unix seconds; 0 for a built-in sentence that is not in the table.
    """

    project: str
    label: str
    phrase: str
    source: PromptSource
    valid: bool = True
    added: float = 0.0


class PromptTable:
    """Table ``prompts``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_label(self, project: str, label: str) -> list[Prompt]:
        """Every phrase of a label, valid or not: a person's first, then a language model's, the oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT project, label, phrase, source, valid, added FROM prompts WHERE project = ? AND label = ? "
                "ORDER BY CASE source WHEN 'person' THEN 0 WHEN 'llm' THEN 1 ELSE 2 END, added, phrase",
                (project, label),
            ).fetchall()
        return [Prompt(**{**row, "valid": bool(row["valid"])}) for row in rows]

    def labels(self, project: str) -> list[str]:
        """The labels that have phrases in the table."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT DISTINCT label FROM prompts WHERE project = ? ORDER BY label", (project,)
            ).fetchall()
        return [str(row["label"]) for row in rows]

    def add(self, project: str, label: str, phrases: Iterable[str], source: PromptSource) -> int:
        """Add phrases; answer how many were new.

        What a person adds is theirs and valid, whatever it was before. Others leave what is there as it is, so that a
        phrase taken out by a person stays out.
        """
        conflict = (
            "UPDATE SET source = 'person', valid = 1 WHERE source != 'person' OR valid = 0"
            if source == "person"
            else "NOTHING"
        )
        now, new = time.time(), 0
        with self._database.write() as connection:
            for i, phrase in enumerate(phrases):
                done = connection.execute(
                    "INSERT INTO prompts (project, label, phrase, source, added) VALUES (?, ?, ?, ?, ?) "  # noqa: S608
                    f"ON CONFLICT DO {conflict}",  # one of two constants
                    (project, label, phrase, source, now + i * 1e-6),  # keeps their order
                )
                new += done.rowcount
        return new

    def replace_written(self, project: str, label: str, phrases: Iterable[str]) -> int:
        """Put phrases of a language model in place of its earlier ones; answer how many are new.

        Those that a person took out stay out.
        """
        kept = list(phrases)
        before = {row.phrase for row in self.of_label(project, label)}
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM prompts WHERE project = ? AND label = ? AND source = 'llm' AND valid = 1",
                (project, label),
            )
        self.add(project, label, kept, "llm")
        return len(set(kept) - before)

    def mark(self, prompt: Prompt, valid: bool) -> None:
        """Write down whether a phrase may be used; one that is not in the table yet is put there."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO prompts (project, label, phrase, source, valid, added) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET valid = excluded.valid",
                (prompt.project, prompt.label, prompt.phrase, prompt.source, valid, time.time()),
            )
