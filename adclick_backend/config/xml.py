"""The XML of a labeling config: read safely, and its elements asked for what they say.

Label Studio reads tag and attribute names without case, so everything here does too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 100
MAX_NAMES = 1000
"""Elements with a name, that is controls and what they are for: a hundred times what fits on a screen."""


class ConfigError(ValueError):
    """A labeling config that cannot be read; the message is one sentence for a person."""


class _BoundedTree(ET.TreeBuilder):
    """Keeps comments, as they are the person's, and refuses nesting that would exhaust the stack later."""

    def __init__(self) -> None:
        super().__init__(insert_comments=True)
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConfigError(f"The labeling config is nested more than {MAX_DEPTH} tags deep.")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self._depth -= 1
        return super().end(tag)


def read_tree(xml: str) -> ET.Element:
    """Parse a labeling config.

    Raises:
        ConfigError: it is empty, not XML, longer than a million characters, nested deeper than 100 tags, has
            more than 1000 elements with a name, or declares a DTD or entities.
    """
    if not xml.strip():
        raise ConfigError("The labeling config is empty.")
    if len(xml) > MAX_CHARACTERS:
        raise ConfigError(
            f"The labeling config is longer than {MAX_CHARACTERS} characters and is not read. Take out what the "
            "annotators do not need, such as lists of thousands of labels."
        )
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # where XML bombs and file inclusion begin
        raise ConfigError("The labeling config declares a DTD or entities; remove them.")
    try:
        root: ET.Element = ET.fromstring(xml, ET.XMLParser(target=_BoundedTree()))  # noqa: S314
    except (ET.ParseError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"The labeling config is not valid XML ({error}).") from None
    names = sum(1 for element in root.iter() if get(element, "name"))
    if names > MAX_NAMES:
        raise ConfigError(f"The labeling config has {names} elements with a name, more than {MAX_NAMES}.")
    return root


def find(root: ET.Element, *tags: str) -> Iterator[ET.Element]:
    """All elements with one of these (lower-case) tags, in document order, ``root`` included."""
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.lower() in tags:  # a comment's tag is a function
            yield element


def exact(element: ET.Element, name: str) -> str:
    """The value of an attribute as it is written, blanks at its ends included; "" where there is none."""
    return next((value for key, value in element.items() if key.lower() == name.lower()), "")


def get(element: ET.Element | None, name: str) -> str:
    """The value of an attribute without blanks at its ends, "" where there is none or no element."""
    return "" if element is None else exact(element, name).strip()


def put(element: ET.Element, name: str, value: str) -> None:
    """Set an attribute, replacing it however its name is written."""
    key = next((key for key in element.attrib if key.lower() == name.lower()), name)
    element.set(key, value)


def targets(control: ET.Element) -> list[str]:
    """Names of the objects that a control belongs to."""
    return [name.strip() for name in get(control, "toName").split(",") if name.strip()]


def is_smart(control: ET.Element) -> bool:
    """Whether Label Studio offers a smart tool for the control: unless told otherwise, it does."""
    return get(control, "smart").lower() != "false" or get(control, "smartOnly").lower() == "true"


def is_dynamic(control: ET.Element) -> bool:
    """Whether the labels come with each task instead of with the config."""
    return get(control, "value").startswith("$")


def option(element: ET.Element) -> str:
    """What a region of this ``<Label>`` or ``<Choice>`` is stored with, exactly: the alias, where there is one."""
    return exact(element, "alias") or exact(element, "value")


def options(control: ET.Element | None) -> dict[str, ET.Element]:
    """The ``<Label>`` or ``<Choice>`` elements of a control, by the name their regions are stored with."""
    if control is None:
        return {}
    found: dict[str, ET.Element] = {}
    for element in find(control, "label", "choice"):
        if option(element):
            found.setdefault(option(element), element)
    return found


def name_of(element: ET.Element) -> str:
    """An element as sentences call it: ``<BrushLabels> "brush"``."""
    return f'<{element.tag}> "{get(element, "name")}"'


def quoted(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(f'"{name}"' for name in names)
