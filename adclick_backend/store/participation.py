"""Whether generated pictures take part in the trainings of a project, as a person chose."""

from __future__ import annotations

from adclick_backend.store.projects import KeyValueTable

TRIED, ALWAYS, NEVER = "tried", "always", "never"
"""Both ways are tried and the better one is kept; always; never."""

PARTICIPATION = {
    TRIED: "used only when they help",
    ALWAYS: "always used",
    NEVER: "not used",
}
"""The same, as a person reads it; the first is the usual one."""

_KEY = "generated_take_part"


def participation(values: KeyValueTable, project: str) -> str:
    """What was chosen, one of `PARTICIPATION`."""
    kept = values.get(project, _KEY)
    return kept if kept in PARTICIPATION else TRIED


def choose_participation(values: KeyValueTable, project: str, chosen: str) -> None:
    """Keep a choice.

    Raises:
        ValueError: there is no such choice.
    """
    if chosen not in PARTICIPATION:
        raise ValueError(f"{chosen[:40]!r} is no choice; there are {', '.join(PARTICIPATION)}.")
    values.set(project, _KEY, chosen)
