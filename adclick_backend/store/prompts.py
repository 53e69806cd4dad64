"""The phrases that describe a project's defect types."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import case, delete, or_, select

from adclick_backend.store.database import Database
from adclick_backend.store.statements import insert_into, upsert
from adclick_backend.store.tables import prompts

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
            rows = (
                connection.execute(
                    select(prompts)
                    .where(prompts.c.project == project, prompts.c.label == label)
                    .order_by(
                        case({"person": 0, "llm": 1}, value=prompts.c.source, else_=2),
                        prompts.c.added,
                        prompts.c.phrase,
                    )
                )
                .mappings()
                .all()
            )
        return [Prompt(**{**row, "valid": bool(row["valid"])}) for row in rows]

    def labels(self, project: str) -> list[str]:
        """The labels that have phrases in the table."""
        with self._database.read() as connection:
            labels = connection.execute(
                select(prompts.c.label)
                .where(prompts.c.project == project)
                .distinct()
                .order_by(prompts.c.label)
            ).scalars()
            return list(labels)

    def add(self, project: str, label: str, phrases: Iterable[str], source: PromptSource) -> int:
        """Add phrases; answer how many were new.

        What a person adds is theirs and valid, whatever it was before. Others leave what is there as it is, so that a
        phrase taken out by a person stays out.
        """
        now, new = self._database.now(), 0
        with self._database.write() as connection:
            known = insert_into(connection.dialect.name, prompts)
            key = [column.name for column in prompts.primary_key]
            if source == "person":
                adding = known.on_conflict_do_update(
                    index_elements=key,
                    set_={"source": "person", "valid": 1},
                    where=or_(prompts.c.source != "person", prompts.c.valid == 0),
                )
            else:
                adding = known.on_conflict_do_nothing(index_elements=key)
            for i, phrase in enumerate(phrases):
                row = {"project": project, "label": label, "phrase": phrase, "source": source}
                done = connection.execute(
                    adding.values(**row, added=now + i * 1e-6),  # keeps their order
                    execution_options={"preserve_rowcount": True},
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
                delete(prompts).where(
                    prompts.c.project == project,
                    prompts.c.label == label,
                    prompts.c.source == "llm",
                    prompts.c.valid == 1,
                )
            )
        self.add(project, label, kept, "llm")
        return len(set(kept) - before)

    def mark(self, prompt: Prompt, valid: bool) -> None:
        """Write down whether a phrase may be used; one that is not in the table yet is put there."""
        with self._database.write() as connection:
            row = {**vars(prompt), "valid": int(valid), "added": self._database.now()}
            upsert(connection, prompts, row, change=["valid"])
