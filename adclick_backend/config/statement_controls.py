"""The controls that speak of the image as a whole, ``<Choices>`` and ``<Taxonomy>``, with the values they offer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from adclick_backend.config.xml import find, get, option

MOST_VALUES = 500
"""Values that are read of one control: a taxonomy of ten thousand leaves is no statement about defects."""


@dataclass(frozen=True)
class StatementControl:
    """A control about the whole image.

    Attributes:
        name: the ``from_name`` of its results.
        values: what a person can pick, as results store it, in document order; nested ones each for itself.
    """

    name: str
    values: tuple[str, ...]


def statement_controls(root: Element) -> tuple[StatementControl, ...]:
    """The controls of a labeling config about the image as a whole."""
    return tuple(
        StatementControl(get(control, "name"), tuple(dict.fromkeys(_values(control)))[:MOST_VALUES])
        for control in find(root, "choices", "taxonomy")
        if get(control, "name") and get(control, "perRegion").lower() != "true"
    )


def _values(control: Element) -> Iterator[str]:
    yield from (option(choice) for choice in find(control, "choice") if option(choice))
