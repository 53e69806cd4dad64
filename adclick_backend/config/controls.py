"""Which controls of a labeling config belong to which image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from adclick_backend.config.xml import find, get, is_smart, targets

PAINTING, CLICKING = ("brushlabels",), ("keypointlabels",)
ASKING = ("keypointlabels", "keypoint", "rectanglelabels", "rectangle")
"""Tags whose smart tool is answered with a mask."""
DRAWING = (
    *("brushlabels", "bitmasklabels", "polygonlabels", "vectorlabels", "rectanglelabels", "ellipselabels"),
    "labels",
)
"""Tags whose labels name what is drawn in an image."""
SMART = (*ASKING, "brush", "brushlabels", "bitmask", "bitmasklabels", "magicwand")
"""Tags that have a smart tool in Label Studio 1.23.2; polygons, ellipses and vectors have none."""


@dataclass(frozen=True)
class ImageControls:
    """An ``<Image>`` and the controls that are for it alone, in document order.

    Attributes:
        element: the ``<Image>``; None in a config that has none.
        brushes: its ``<BrushLabels>``; masks go to the first.
        clicks: its ``<KeyPointLabels>``, those that are smart first.
        drawing: everything of it that names what is drawn.
        smart: everything of it that has a smart tool, in the order in which Label Studio offers them.
        choices: the ``<Choices>`` about it as a whole.
        shared: brushes and key points that are for this image and another one.
    """

    element: Element | None = None
    brushes: list[Element] = field(default_factory=list)
    clicks: list[Element] = field(default_factory=list)
    drawing: list[Element] = field(default_factory=list)
    smart: list[Element] = field(default_factory=list)
    choices: list[Element] = field(default_factory=list)
    shared: list[Element] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name, the ``to_name`` of regions."""
        return get(self.element, "name")

    @property
    def brush(self) -> Element | None:
        """The brush that masks go to."""
        return next(iter(self.brushes), None)

    @property
    def click(self) -> Element | None:
        """The key points that are clicked with."""
        return next(iter(self.clicks), None)

    @property
    def is_pair(self) -> bool:
        """Whether brush and key points are there and are for this image."""
        controls = (self.brush, self.click)
        return self.element is not None and all(
            control is not None and self.name in targets(control) for control in controls
        )

    @property
    def rivals(self) -> list[Element]:
        """Controls whose smart tool sits where the smart key point should be, or sends what nothing answers.

        Label Studio offers the first smart tool of an image first. What comes after the key points and is answered
        with a mask as well is no rival.
        """
        found: list[Element] = []
        before = True
        for control in self.smart:
            if control is self.click:
                before = False
            elif is_smart(control) and control.tag.lower() not in CLICKING:
                found += [control] * (before or control.tag.lower() not in ASKING)
        return found

    @property
    def is_meant(self) -> bool:
        """Whether somebody meant this image to be clicked or painted on."""
        return bool(self.brushes or self.clicks or self.shared)


@dataclass(frozen=True)
class Controls:
    """A labeling config, sorted by image.

    Attributes:
        root: of the whole config.
        images: at least one.
        shared: brushes and key points that are for several images.
        targets: control -> the images it is for, by name.
        others: names of what is labelled besides images, such as a text.
    """

    root: Element
    images: list[ImageControls]
    shared: list[Element]
    targets: dict[str, tuple[str, ...]]
    others: frozenset[str]

    @property
    def clickable(self) -> list[ImageControls]:
        """The images that are, or are meant to be, clicked on; the first image when there is none of these."""
        return [image for image in self.images if image.is_meant] or self.images[:1]


def pick_controls(root: Element) -> Controls:
    """Sort the controls of a config by image, each element looked at once.

    A brush or key points for no image there is are taken for an image that has none: the one that was meant.
    """
    images: dict[str, ImageControls] = {}
    for element in find(root, "image"):
        images.setdefault(get(element, "name"), ImageControls(element))
    by_control: dict[str, tuple[str, ...]] = {}
    shared: list[Element] = []
    lost: defaultdict[str, list[Element]] = defaultdict(list)
    for control, kind in _controls(root):
        names = tuple(name for name in dict.fromkeys(targets(control)) if name in images)
        by_control.setdefault(get(control, "name"), names)
        if len(names) == 1:
            _sort_in(images[names[0]], control, kind)
        elif kind not in (*PAINTING, *CLICKING):
            continue
        elif names:
            shared.append(control)
            for name in names:
                images[name].shared.append(control)
        else:
            lost[kind].append(control)
    found = list(images.values()) or [ImageControls()]
    for image in found:
        image.clicks.sort(key=lambda click: not is_smart(click))  # stable
    _give_lost(found, lost)
    others = {
        get(element, "name") for element in root.iter() if get(element, "value") and not targets(element)
    }
    return Controls(root, found, shared, by_control, frozenset(others - {"", *images}))


def _controls(root: Element) -> Iterator[tuple[Element, str]]:
    """Every element that is for another one, with its lower-case tag."""
    for element in root.iter():
        if isinstance(element.tag, str) and (
            targets(element) or element.tag.lower() in (*PAINTING, *CLICKING)
        ):
            yield element, element.tag.lower()


def _sort_in(image: ImageControls, control: Element, kind: str) -> None:
    if kind in PAINTING:
        image.brushes.append(control)
    if kind in CLICKING:
        image.clicks.append(control)
    if kind in SMART:
        image.smart.append(control)
    if kind in DRAWING:
        image.drawing.append(control)
    if kind == "choices" and get(control, "perRegion").lower() != "true":
        image.choices.append(control)


def _give_lost(images: list[ImageControls], lost: dict[str, list[Element]]) -> None:
    meant = [image for image in images if image.is_meant] or images[:1]
    for kind, place in (*((kind, "brushes") for kind in PAINTING), *((kind, "clicks") for kind in CLICKING)):
        without = [image for image in meant if not getattr(image, place)]
        for image in without:
            found = lost.get(kind, [])
            if len(meant) == 1:
                getattr(image, place).extend(found)
            elif found:
                getattr(image, place).append(found.pop(0))
