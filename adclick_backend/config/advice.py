"""The labeling config to paste: the person's own, changed only where a click would not reach the backend."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from adclick_backend.config.xml import Controls, find, get, is_dynamic, options, put, targets

_LABEL_ATTRIBUTES = ("value", "alias", "background")


def recommended_config(labels: Sequence[str]) -> str:
    """The config for a new project with these defect labels."""
    return corrected_config(Controls(ET.Element("View")), background_labels=(), fallback_labels=labels)


def corrected_config(
    controls: Controls, *, background_labels: Iterable[str], fallback_labels: Sequence[str] = ("defect",)
) -> str:
    """Complete the tree of ``controls`` in place and write it.

    Labels, names, colours and every other control stay. A label that only one of brush and key points knows
    is given to the other, except a background label, which is clicked but never painted.

    Args:
        controls: what the config has.
        background_labels: lower-case names of labels whose clicks say "not here".
        fallback_labels: the labels of a config that has none.
    """
    root = _as_view(controls.root)
    image = _named(root, controls.image, "Image", "image")
    if not get(image, "value").startswith("$"):
        put(image, "value", "$image")
        put(image, "zoom", "true")
    name = get(image, "name")
    brush = _named(root, controls.brush, "BrushLabels", "brush")
    click = _named(root, controls.click, "KeyPointLabels", "click")
    for control in (brush, click):
        if name not in targets(control):
            put(control, "toName", name)
    _share_labels(brush, click, set(background_labels), fallback_labels)

    for rival in controls.rivals:
        put(rival, "smart", "false")
        if get(rival, "smartOnly"):
            put(rival, "smartOnly", "false")
    put(brush, "smart", "false")
    put(click, "smart", "true")
    put(click, "smartOnly", "true")  # with it, a click that would only draw a plain point draws nothing
    if next(find(root, "choices"), None) is None:
        choices = _named(root, None, "Choices", "state")
        put(choices, "toName", name)
        for value in ("normal", "defective"):
            ET.SubElement(choices, "Choice", value=value)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _as_view(root: ET.Element) -> ET.Element:
    if isinstance(root.tag, str) and root.tag.lower() == "view":
        return root
    view = ET.Element("View")
    view.append(root)
    return view


def _named(root: ET.Element, element: ET.Element | None, tag: str, wanted: str) -> ET.Element:
    """The element, appended to ``root`` if there is none, under a name that nothing else has."""
    if element is None:
        element = ET.SubElement(root, tag)
    if not get(element, "name"):
        taken = {get(other, "name") for other in root.iter()}
        put(element, "name", next(n for n in _numbered(wanted) if n not in taken))
    return element


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{k}" for k in count(2))


def _share_labels(
    brush: ET.Element, click: ET.Element, background: set[str], fallback: Sequence[str]
) -> None:
    """Give brush and key points each other's labels."""
    if is_dynamic(brush) or is_dynamic(click):
        source = get(brush if is_dynamic(brush) else click, "value")
        put(brush, "value", source)
        put(click, "value", source)
        return
    painted, clicked = options(brush), options(click)
    to_paint = {name: label for name, label in clicked.items() if name.lower() not in background}
    if not painted and not to_paint:
        to_paint = {name: ET.Element("Label", value=name) for name in fallback}
    _add_labels(brush, to_paint)
    _add_labels(click, options(brush))


def _add_labels(control: ET.Element, labels: dict[str, ET.Element]) -> None:
    known = {name.lower() for name in options(control)}
    for name, label in labels.items():
        if name.lower() not in known:
            attributes = {key: get(label, key) for key in _LABEL_ATTRIBUTES if get(label, key)}
            ET.SubElement(control, "Label", attributes)
