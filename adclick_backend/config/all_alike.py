"""The labeling config with one more key point label for each defect: one click marks all that is alike."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from adclick_backend.config.alike_labels import ENDINGS, Regions, read_alike_label
from adclick_backend.config.controls import pick_controls
from adclick_backend.config.xml import ConfigError, exact, is_dynamic, name_of, options, read_tree

_COPIED = ("background",)


def with_all_alike(
    xml: str, regions: Regions = "all", *, background_labels: Iterable[str] = ("background",)
) -> tuple[str, tuple[str, ...]]:
    """Add, to the key points of each image, a label ``X (all)`` or ``X (each)`` for every brush label ``X``.

    Nothing else changes, and what is there already is not added again. Labels that come with each task
    (``value="$..."``) cannot be added to.

    Args:
        xml: a labeling config that clicks are answered with.
        regions: whether all places become one region, or a region each.
        background_labels: labels, without case, that are clicked but never painted.

    Returns:
        The config, and what was changed, one sentence each; the config as it is and () when there is nothing to add.
    """
    try:
        controls = pick_controls(read_tree(xml))
    except ConfigError:
        return xml, ()
    background, changes = {name.lower() for name in background_labels}, []
    for image in controls.clickable:
        if image.brush is None or image.click is None or is_dynamic(image.brush) or is_dynamic(image.click):
            continue
        known = {name.strip().lower() for name in options(image.click)}
        added = []
        for name, label in options(image.brush).items():
            wanted = f"{name.strip()}{ENDINGS[regions]}"
            if name.strip().lower() in background or wanted.lower() in known or read_alike_label(name):
                continue
            attributes = {key: exact(label, key) for key in _COPIED if exact(label, key)}
            ET.SubElement(image.click, "Label", {"value": wanted, **attributes})
            added.append(wanted)
        if added:
            names = ", ".join(f'"{name}"' for name in added)
            changes.append(
                f"{name_of(image.click)} gets the labels {names}: a click with one of them marks every place that "
                "looks like the clicked one."
            )
    if not changes:
        return xml, ()
    tree = copy.deepcopy(controls.root)
    ET.indent(tree)
    return ET.tostring(tree, encoding="unicode"), tuple(changes)
