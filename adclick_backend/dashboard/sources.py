"""The sources of masks before the first click: how each did, which serves, and which a person may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adclick_backend.store.proposal_source import (
    AUTOMATIC,
    PACKAGED,
    RESIDUAL,
    TRAINED,
    parts_of,
    words_of_source,
)
from adclick_backend.store.version import Version

COLUMNS = ("labelled", "drawn", "ap", "false_area")
"""Measures in the table, where a source has them."""


@dataclass(frozen=True)
class SourceRow:
    """One source and how it did in the trial of a version."""

    words: str
    automatic: bool  # it serves unless somebody chose another one
    figures: Sequence[float | None]  # of the table's columns
    milliseconds: float | None


@dataclass(frozen=True)
class SourceTable:
    """The sources that a version was tried with, and why the best one serves."""

    columns: Sequence[str]
    rows: Sequence[SourceRow]
    reason: str
    notes: Sequence[str]  # on the training of detectors


@dataclass(frozen=True)
class SourceChoice:
    """What masks come from, and what they may come from."""

    serving: str  # in words
    chosen: str  # name of the source that somebody chose; "" for automatic
    options: Mapping[str, str]  # name -> words
    automatic: str  # in words, what serves when nobody chooses


def source_table(version: Version) -> SourceTable | None:
    """How the sources did when a version was trained; None when it was not tried with several."""
    tried = version.comparison.get("sources")
    rows: list[Mapping[str, Any]] = tried.get("rows", []) if isinstance(tried, Mapping) else []
    if not isinstance(tried, Mapping) or not rows:
        return None
    columns = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
    found = [
        SourceRow(
            words_of_source(str(row["name"])),
            row["name"] == tried.get("serves"),
            [row.get(name) for name in columns],
            row.get("milliseconds"),
        )
        for row in rows
    ]
    return SourceTable(columns, found, str(tried.get("reason", "")), list(tried.get("notes", [])))


def source_choice(version: Version | None, chosen: str, shared: str) -> SourceChoice:
    """What a person may choose from.

    Args:
        version: the version that serves.
        chosen: what was chosen; `AUTOMATIC` for nothing.
        shared: the source that proposes for projects without a version.
    """
    own = shared if version is None else version.source
    names = [PACKAGED, RESIDUAL]
    if version is not None:
        tried = version.comparison.get("sources")
        rows = tried.get("rows", []) if isinstance(tried, Mapping) else []
        measured = [str(row["name"]) for row in rows]
        detectors = [name for name in version.parts if name not in names]
        joint = [name for name in measured if len(parts_of(name)) > 1]
        wanted = dict.fromkeys((TRAINED, *names, *detectors, *joint, *filter(None, [chosen])))
        names = [name for name in wanted if version.offers(name)]
    offered = chosen if chosen in names else AUTOMATIC
    return SourceChoice(
        words_of_source(offered or own),
        offered,
        {name: words_of_source(name) for name in names},
        words_of_source(own),
    )


def roll_back_masks(serving: Version, before: Version | None, chosen: str, shared: str) -> tuple[str, str]:
    """What masks before the first click come from now, and after a roll back, in words.

    Args:
        serving: the version that serves.
        before: the one that would; None for the packaged network.
        chosen: the source that somebody chose; `AUTOMATIC` for nothing.
        shared: the source that proposes for projects without a version.
    """
    words = []
    for version in (serving, before):
        choice = source_choice(version, chosen, shared)
        words.append(choice.serving)
    return words[0], words[1]
