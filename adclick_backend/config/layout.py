"""Labels in a row above the image, which takes the rest of the window: the layout of a new labeling config.

Below the image they would lie under the fold of a laptop's screen, and choosing one would scroll the image away. The
figures are those of Label Studio 1.23.2 in a window of 1366 x 768 pixels.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from math import ceil

CLASS = "adclick-labels"
STYLE = (
    f".{CLASS} {{ display: flex; flex-wrap: wrap; align-items: center; margin: -10px 0 4px; "
    "position: sticky; top: 0; z-index: 2; background: var(--color-neutral-background); } "
    f".{CLASS} .lsf-labels {{ display: contents; }} .{CLASS} .lsf-choices {{ margin: 0; }}"
)
"""Without ``>``, which Label Studio escapes; it stays at the top where an image is scrolled all the same."""
STATES = {"normal": "n", "defective": "d"}
"""The choices about the whole image, with their keys."""
PAINT_WITH = "shift+"
KEYS = 9
"""Labels with a digit for a key; Label Studio finds keys for those after them."""

IMAGE = {"name": "image", "value": "$image", "zoom": "true"}
"""Not aligned to the right or the centre: Label Studio 1.23.2 takes no click in the right part of such an image."""
CLICK = {"name": "click", "toName": "image", "smart": "true", "smartOnly": "true"}
BRUSH = {"name": "brush", "toName": "image", "smart": "false"}

_WINDOW_PX = 770  # for labels, in a window of 1366 pixels with both of Label Studio's panels open
_ABOVE_AND_BELOW_PX = 188  # what the page needs besides the image: its bars, and one row of labels
_ROW_PX = 34


def recommended_config(labels: Sequence[str]) -> str:
    """The config for a new project with these defect labels.

    The keys 1 to 9 choose what is clicked, with Shift what is painted, n and d the choice about the whole image.
    """
    view = ET.Element("View")
    style, row = label_row()
    view.extend((style, row))
    row.append(header("Click"))
    click = ET.SubElement(row, "KeyPointLabels", CLICK)
    _labels(click, labels, "")
    if (
        len(labels) == 1
    ):  # nothing to choose: it is chosen, also when Label Studio opens the task a second time
        click[0].set("selected", "true")
    row.append(header("Paint"))
    _labels(ET.SubElement(row, "BrushLabels", BRUSH), labels, PAINT_WITH)
    state = ET.SubElement(row, "Choices", name="state", toName="image", showInline="true")
    for value, letter in STATES.items():
        ET.SubElement(state, "Choice", value=value, hotkey=letter)
    height = image_height(_rows(labels))
    ET.SubElement(view, "Image", IMAGE, maxHeight=height)
    return written(view)


def label_row() -> tuple[ET.Element, ET.Element]:
    """The style of the row, and the row, empty."""
    style = ET.Element("Style")
    style.text = STYLE
    return style, ET.Element("View", className=CLASS)


def header(words: str) -> ET.Element:
    """What stands before the labels of one tool."""
    return ET.Element("Header", value=words, size="5", style="margin: 0 8px")


def key(number: int, modifier: str = "") -> dict[str, str]:
    """The key of the label with that number, counted from 1, as an attribute; none beyond the ninth."""
    return {"hotkey": f"{modifier}{number}"} if number <= KEYS else {}


def image_height(rows: int = 1) -> str:
    """The ``maxHeight`` of an image under so many rows of labels: what the window leaves."""
    return f"calc(100vh - {_ABOVE_AND_BELOW_PX + (rows - 1) * _ROW_PX}px)"


def former_config(labels: Sequence[str]) -> str:
    """What was recommended before there was a layout: the labels stood below the image."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true")
    for tag, attributes in (("BrushLabels", BRUSH), ("KeyPointLabels", CLICK)):
        control = ET.SubElement(view, tag, attributes)
        for name in labels:
            ET.SubElement(control, "Label", value=name)
    state = ET.SubElement(view, "Choices", name="state", toName="image")
    for value in STATES:
        ET.SubElement(state, "Choice", value=value)
    return written(view)


def is_former(root: ET.Element, labels: Sequence[str]) -> bool:
    """Whether a config is the one that was recommended before, untouched."""
    return _skeleton(root) == _skeleton(ET.fromstring(former_config(labels)))  # noqa: S314


def written(root: ET.Element) -> str:
    """A config as it is pasted."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _labels(control: ET.Element, labels: Sequence[str], modifier: str) -> None:
    for number, name in enumerate(labels, start=1):
        ET.SubElement(control, "Label", {"value": name, **key(number, modifier)})


def _rows(labels: Sequence[str]) -> int:
    """How many rows the labels take, about: a label is as wide as its letters and some 50 pixels round them."""
    letters = sum(map(len, labels))
    return ceil((326 + 2 * (7 * letters + 48 * len(labels)) + 34 * min(len(labels), KEYS)) / _WINDOW_PX)


def _skeleton(element: ET.Element) -> object:
    """An element as it can be compared, however it is indented."""
    text = (element.text or "").strip()
    return element.tag, sorted(element.items()), text, [_skeleton(child) for child in element]
