"""The card of shortcuts: what a person presses in Label Studio's editor, with the keys of the project's own labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint
from flask.typing import ResponseReturnValue

from adclick_backend.config.xml import ConfigError, exact, find, get, options, read_tree
from adclick_backend.dashboard.pages import Pages

MOST = 24  # keys of labels on the card: what fits on one printed page
TOOLS = {"keypointlabels": "click", "brushlabels": "paint", "choices": "choose"}

# As Label Studio 1.23.2 has them (its file of key bindings); a person may change them in Account & Settings > Hotkeys.
GROUPS: Mapping[str, Sequence[tuple[str, str]]] = {
    "Clicking": (
        ("M", "the purple tool: what is clicked gets a mask"),
        ("Click", "this belongs to the defect"),
        ("Alt + click", "this does not"),
        ("Ctrl + click", "click through a mask that lies there (with Alt as well: this does not belong)"),
        ("Tick in the bottom bar", "accept the mask"),
    ),
    "Painting": (
        ("B, E", "brush, eraser"),
        ("[ and ]", "smaller, larger"),
    ),
    "Masks that are there": (
        ("Escape, U", "select nothing"),
        ("Backspace", "delete the selected one"),
        ("Ctrl + Backspace", "delete all"),
        ("Alt + H, Ctrl + H", "hide or show the selected one, all"),
    ),
    "Looking": (
        ("Ctrl + plus, Ctrl + minus", "larger, smaller"),
        ("H, V", "move the image; back to selecting"),
    ),
    "Ending": (
        ("Ctrl + Z, Ctrl + Shift + Z", "undo, redo"),
        ("Ctrl + Enter", "submit"),
        ("Ctrl + Space", "skip the task"),
    ),
}


@dataclass(frozen=True)
class LabelKey:
    """A key that the labeling config gives to a label or a choice."""

    key: str  # "1", "Shift + 1"
    what: str  # "click scratch"


def label_keys(xml: str) -> list[LabelKey]:
    """The keys that a labeling config gives to its labels and choices, in its order; none when it cannot be read."""
    try:
        root = read_tree(xml)
    except ConfigError:
        return []
    return [
        LabelKey(
            _said(get(element, "hotkey")), f"{TOOLS[control.tag.lower()]} {exact(element, 'value') or name}"
        )
        for control in find(root, *TOOLS)
        for name, element in options(control).items()
        if get(element, "hotkey")
    ][:MOST]


def _said(hotkey: str) -> str:
    """``"shift+1"`` as it stands on a card: ``"Shift + 1"``."""
    return " + ".join(part if len(part) < 2 else part.capitalize() for part in hotkey.split("+") if part)


def add_shortcuts(blueprint: Blueprint, pages: Pages) -> None:
    """Add the route of the page that is made for printing."""

    @blueprint.get("/projects/<project>/shortcuts")
    def shortcuts(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        keys = label_keys(pages.services.store.projects.get(project).label_config)
        return pages.show("overview", project, template="shortcuts.html", keys=keys, groups=GROUPS)
