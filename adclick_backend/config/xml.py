"""The XML of a labeling config: read safely, and the controls in it that belong together.

Label Studio reads tag and attribute names without case, so everything here does too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 100


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
        ConfigError: it is empty, not XML, longer than a million characters, nested deeper than 100 tags, or
            declares a DTD or entities.
    """
    if not xml.strip():
        raise ConfigError("The labeling config is empty.")
    if len(xml) > MAX_CHARACTERS:
        raise ConfigError(f"The labeling config is longer than {MAX_CHARACTERS} characters.")
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # where XML bombs and file inclusion begin
        raise ConfigError("The labeling config declares a DTD or entities; remove them.")
    try:
        root: ET.Element = ET.fromstring(xml, ET.XMLParser(target=_BoundedTree()))  # noqa: S314
    except (ET.ParseError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"The labeling config is not valid XML ({error}).") from None
    return root


def find(root: ET.Element, *tags: str) -> Iterator[ET.Element]:
    """All elements with one of these (lower-case) tags, in document order, ``root`` included."""
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.lower() in tags:  # a comment's tag is a function
            yield element


def get(element: ET.Element | None, name: str) -> str:
    """The value of an attribute, "" where there is none or no element."""
    if element is None:
        return ""
    return next((value.strip() for key, value in element.items() if key.lower() == name.lower()), "")


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
    """What a region of this ``<Label>`` or ``<Choice>`` is stored with: the alias, where there is one."""
    return get(element, "alias") or get(element, "value")


def options(control: ET.Element | None) -> dict[str, ET.Element]:
    """The ``<Label>`` or ``<Choice>`` elements of a control, by the name their regions are stored with."""
    if control is None:
        return {}
    found: dict[str, ET.Element] = {}
    for element in find(control, "label", "choice"):
        if option(element):
            found.setdefault(option(element), element)
    return found


@dataclass(frozen=True)
class Controls:
    """The elements that answer a click: key points in, a brush region out, on one image."""

    root: ET.Element
    image: ET.Element | None = None
    brush: ET.Element | None = None
    click: ET.Element | None = None
    choices: ET.Element | None = None

    @property
    def rivals(self) -> list[ET.Element]:
        """Controls whose smart tool sits in the one place where the smart key point should be."""
        kinds = ("brush", "brushlabels", "rectangle", "rectanglelabels")
        return [control for control in find(self.root, *kinds) if is_smart(control)]

    @property
    def is_pair(self) -> bool:
        """Whether brush and key points are there and share the image."""
        if self.image is None or self.brush is None or self.click is None:
            return False
        return get(self.image, "name") in set(targets(self.brush)) & set(targets(self.click))


def pick_controls(root: ET.Element) -> Controls:
    """The first brush and key points that share an image, else the first of each kind."""
    images = list(find(root, "image"))
    brushes = list(find(root, "brushlabels"))
    # sorted() is stable: smart key points first, in document order.
    clicks = sorted(find(root, "keypointlabels"), key=lambda click: not is_smart(click))
    candidates = (
        Controls(root, image, brush, click, _choices_of(root, image))
        for brush in brushes
        for click in clicks
        for image in images
    )
    pair = next((candidate for candidate in candidates if candidate.is_pair), None)
    if pair is not None:
        return pair
    image = images[0] if images else None
    return Controls(
        root, image, brushes[0] if brushes else None, clicks[0] if clicks else None, _choices_of(root, image)
    )


def _choices_of(root: ET.Element, image: ET.Element | None) -> ET.Element | None:
    """The first choices about the image as a whole."""
    for choices in find(root, "choices"):
        about_region = get(choices, "perRegion").lower() == "true"
        if image is not None and get(image, "name") in targets(choices) and not about_region:
            return choices
    return None
