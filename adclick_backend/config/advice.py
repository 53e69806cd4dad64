"""The labeling config to paste: the person's own, changed only where a click would not reach the backend."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count

from adclick_backend.config import layout
from adclick_backend.config.alike_labels import read_alike_label
from adclick_backend.config.controls import Controls, ImageControls
from adclick_backend.config.task_value import is_filled
from adclick_backend.config.xml import exact, find, get, is_dynamic, name_of, options, put, targets

_NEW = {"KeyPointLabels": ("Click", ""), "BrushLabels": ("Paint", layout.PAINT_WITH)}
"""What stands before the labels of a control that is added, and what is held with their keys."""
_SHARED_ATTRIBUTES = ("value", "alias", "background")
_OWN_ATTRIBUTES = (*_SHARED_ATTRIBUTES, "hotkey")
"""With labels that another kind of control had. Of two labels with one key Label Studio takes the one further down."""


def corrected_config(
    controls: Controls, *, background_labels: Iterable[str], fallback_labels: Sequence[str] = ("defect",)
) -> tuple[str, tuple[str, ...]]:
    """Complete the tree of ``controls`` in place and write it.

    Labels, names, colours and every other control stay. A label that only one of brush and key points knows
    is given to the other, except a background label, which is clicked but never painted. A brush without labels
    gets those that polygons, rectangles and the like have. What is added comes into a row above the image
    (:mod:`adclick_backend.config.layout`); what is there stays where it is.

    Args:
        controls: what the config has.
        background_labels: lower-case names of labels whose clicks say "not here".
        fallback_labels: the labels of a config that has none.

    Returns:
        The config, and what was changed, one sentence each.
    """
    pen = _Pen(controls)
    pen.wrap()
    pen.separate(controls)
    for image in controls.clickable:
        pen.complete(image, set(background_labels), fallback_labels)
    if len(controls.images) == 1 and next(find(pen.root, "choices"), None) is None:
        pen.add_choices(pen.image_name(controls.images[0]))
    return layout.written(pen.root), tuple(pen.changes)


class _Pen:
    """Writes into the tree of a config, and writes down what it wrote."""

    def __init__(self, controls: Controls) -> None:
        self.root = controls.root
        self.changes: list[str] = []
        self._several = len(controls.images) > 1
        self._taken = {get(element, "name") for element in self.root.iter()}
        self._keys = {get(element, "hotkey").lower() for element in self.root.iter()}
        self._images: dict[int, ET.Element] = {}  # by the identity of their controls
        self._places: dict[str, ET.Element] = {}  # of new controls, by the name of their image
        self._modifiers: dict[
            int, str
        ] = {}  # of the keys of new labels, by the identity of their new control

    def wrap(self) -> None:
        """Put everything into a ``<View>``, unless it is in one."""
        if isinstance(self.root.tag, str) and self.root.tag.lower() == "view":
            return
        view = ET.Element("View")
        view.append(self.root)
        self.changes.append(
            f"Everything is put into a <View>, as <{self.root.tag}> alone is no labeling config."
        )
        self.root = view

    def separate(self, controls: Controls) -> None:
        """Give each image a brush and key points of its own, where one is for several."""
        for control in controls.shared:
            place = "brushes" if control.tag.lower() == "brushlabels" else "clicks"
            sharing = [image for image in controls.images if any(control is one for one in image.shared)]
            first, *others = [image for image in sharing if not getattr(image, place)] or sharing[:1]
            self._put(control, "toName", first.name)
            getattr(first, place).append(control)
            for image in others:
                twin = copy.deepcopy(control)
                twin.set("name", self._free(f"{get(control, 'name')}_{image.name}"))
                put(twin, "toName", image.name)
                self.root.append(twin)
                getattr(image, place).append(twin)
                self.changes.append(f'A copy of it is added for "{image.name}": {name_of(twin)}.')

    def complete(self, image: ImageControls, background: set[str], fallback: Sequence[str]) -> None:
        """See that a click on an image gets a mask."""
        rivals = image.rivals
        name = self.image_name(image)
        self._correct_value(self._images[id(image)])
        click, click_is_new = self._control(image.click, "KeyPointLabels", "click", name)
        brush, brush_is_new = self._control(image.brush, "BrushLabels", "brush", name)
        for rival in rivals:
            self._put(rival, "smart", "false")
            if get(rival, "smartOnly"):
                self._put(rival, "smartOnly", "false")
        self._set(brush, brush_is_new, smart="false")
        # With smartOnly, a click that would only draw a plain point draws nothing.
        self._set(click, click_is_new, smart="true", smartOnly="true")
        before = len(self.changes)
        self._share_labels(brush, click, background, fallback, image.drawing)
        labelled, self.changes[before:] = self.changes[before:], []
        for control, is_new in ((brush, brush_is_new), (click, click_is_new)):
            if is_new:
                self.changes.append(f"{name_of(control)} is added, with {_written(control)}.")
        self.changes += labelled

    def image_name(self, image: ImageControls) -> str:
        """The name of an image, which is added if there is none, or given a name."""
        element = self._images.get(id(image), image.element)
        if element is None:
            element = ET.SubElement(self.root, "Image", name=self._free("image"), value="$image", zoom="true")
            put(element, "maxHeight", layout.image_height())
            self.changes.append(f"{name_of(element)} is added, with {_written(element)}.")
        elif not get(element, "name"):
            self._put(element, "name", self._free("image"))
        self._images[id(image)] = element
        return get(element, "name")

    def add_choices(self, name: str) -> None:
        """Add the choice between normal and defective."""
        choices = ET.SubElement(self._place(name), "Choices", name=self._free("state"), toName=name)
        choices.set("showInline", "true")
        for value, key in layout.STATES.items():
            ET.SubElement(choices, "Choice", {"value": value, **self._unused({"hotkey": key})})
        added = " and ".join(map(_label, choices))
        self.changes.append(f"{name_of(choices)} is added, with {_written(choices)} and the choices {added}.")

    def _correct_value(self, image: ET.Element) -> None:
        several = get(image, "valueList")
        if several:
            del image.attrib[next(key for key in image.attrib if key.lower() == "valuelist")]
            self.changes.append(
                f'{name_of(image)} loses valueList="{several}": it shows the first image of the list, and no other.'
            )
            if not is_filled(get(image, "value")):
                self._put(image, "value", f"{several}[0]")
        elif not is_filled(get(image, "value")) and "{{" not in get(image, "value"):
            name = get(image, "name")
            self._put(image, "value", f"${name}" if self._several and name.isidentifier() else "$image")
            self._put(image, "zoom", "true")

    def _control(
        self, control: ET.Element | None, tag: str, wanted: str, image: str
    ) -> tuple[ET.Element, bool]:
        """The control, for that image, and whether it is new."""
        if control is None:
            wanted = f"{wanted}_{image}" if self._several else wanted
            row, words, modifier = self._place(image), *_NEW[tag]
            if row is not self.root:
                row.append(layout.header(f"{words} on {image}" if self._several else words))
                self.changes.append(f"{_unnamed(row[-1])} is added above the image.")
            control = ET.SubElement(row, tag, name=self._free(wanted), toName=image)
            self._modifiers[id(control)] = modifier
            return control, True
        if not get(control, "name"):
            self._put(control, "name", self._free(wanted))
        if image not in targets(control):
            self._put(control, "toName", image)
        return control, False

    def _place(self, image: str) -> ET.Element:
        """Where what is new for an image comes: a row above it; to the end of a view that a person laid out."""
        if image in self._places:
            return self._places[image]
        if any(get(self.root, name) for name in ("style", "className", "display")):
            return self._places.setdefault(image, self.root)
        style, row = layout.label_row()
        shown = next(element for element in self._images.values() if get(element, "name") == image)
        at = next(place for place, child in enumerate(self.root) if shown in child.iter())
        self.root.insert(at, row)
        if not self._places:
            self.root.insert(at, style)
        self.changes.append(
            f"A row for what is added comes above the image, a <View> with {_written(row)}"
            + ("" if self._places else " and a <Style> for it")
            + "."
        )
        return self._places.setdefault(image, row)

    def _unused(self, key: dict[str, str]) -> dict[str, str]:
        """A hotkey as an attribute, unless another element has it."""
        if key.get("hotkey") in self._keys:
            return {}
        self._keys.update(key.values())
        return key

    def _set(self, control: ET.Element, is_new: bool, **attributes: str) -> None:
        for name, value in attributes.items():
            if is_new:
                control.set(name, value)
            else:
                self._put(control, name, value)

    def _put(self, element: ET.Element, name: str, value: str) -> None:
        before = exact(element, name)
        if before == value:
            return
        called = name_of(element) if get(element, "name") else f"<{element.tag}>"
        instead = f' in the place of "{before}"' if before else ""
        self.changes.append(f'{called} gets {name}="{value}"{instead}.')
        put(element, name, value)

    def _share_labels(
        self,
        brush: ET.Element,
        click: ET.Element,
        background: set[str],
        fallback: Sequence[str],
        drawing: Sequence[ET.Element],
    ) -> None:
        """Give brush and key points each other's labels."""
        if is_dynamic(brush) or is_dynamic(click):
            source = get(brush if is_dynamic(brush) else click, "value")
            self._put(brush, "value", source)
            self._put(click, "value", source)
            return
        painted, clicked = options(brush), options(click)
        self._add_labels(brush, _without(clicked, background), _SHARED_ATTRIBUTES)
        if not painted:
            for control in drawing:
                if control is not brush:
                    self._add_labels(brush, _without(options(control), background), _OWN_ATTRIBUTES)
        if not options(brush):
            labels = {name: ET.Element("Label", value=name) for name in fallback}
            self._add_labels(brush, labels, _SHARED_ATTRIBUTES)
        self._add_labels(click, options(brush), _SHARED_ATTRIBUTES)

    def _add_labels(
        self, control: ET.Element, labels: Mapping[str, ET.Element], attributes: Sequence[str]
    ) -> None:
        known = {name.strip().lower() for name in options(control)}
        keys = {get(label, "hotkey") for label in options(control).values()}
        modifier = self._modifiers.get(id(control))
        added: list[ET.Element] = []
        for name, label in labels.items():
            if name.strip().lower() in known:
                continue
            copied = {key: exact(label, key) for key in attributes if exact(label, key)}
            if copied.get("hotkey") in keys:
                del copied["hotkey"]
            if modifier is not None and "hotkey" not in copied:
                copied |= self._unused(layout.key(len(known) + len(added) + 1, modifier))
            keys.add(copied.get("hotkey", ""))
            added.append(ET.SubElement(control, "Label", copied))
        if added:
            self.changes.append(f"{name_of(control)} gets the labels {', '.join(map(_label, added))}.")

    def _free(self, wanted: str) -> str:
        """A name like the wanted one that nothing else has."""
        name = next(name for name in _numbered(wanted) if name not in self._taken)
        self._taken.add(name)
        return name


def _without(labels: Mapping[str, ET.Element], background: set[str]) -> dict[str, ET.Element]:
    """Without those that are clicked but never painted: background, and what asks for all that is alike."""
    return {
        name: label
        for name, label in labels.items()
        if name.strip().lower() not in background and read_alike_label(name) is None
    }


def _label(label: ET.Element) -> str:
    """A label in a sentence, with what comes along."""
    more = ", ".join(f'{key}="{value}"' for key, value in label.items() if key != "value")
    return f'"{exact(label, "value")}"' + (f" ({more})" if more else "")


def _written(control: ET.Element) -> str:
    """The attributes of a new control in a sentence."""
    return " ".join(f'{key}="{value}"' for key, value in control.items() if key != "name")


def _unnamed(element: ET.Element) -> str:
    """An element without a name in a sentence."""
    return f"<{element.tag} {_written(element)}>"


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}{k}" for k in count(2))
