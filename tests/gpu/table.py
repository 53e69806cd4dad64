"""What was measured, as one table."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One thing that was measured."""

    what: str
    on: str
    memory: str
    time: str
    result: str


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | on | memory | time | result |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
