"""What keeps a person's click from becoming a mask, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from adclick_backend.config.alike_labels import painted_label
from adclick_backend.config.controls import Controls, ImageControls
from adclick_backend.config.task_value import is_filled
from adclick_backend.config.xml import find, get, is_dynamic, is_smart, name_of, options, quoted

LISTED = 20  # labels in one sentence


def find_problems(controls: Controls, background: set[str]) -> Iterator[str]:
    """The problems of a config; none means that a click gets a mask, on each of its images.

    Args:
        controls: what the config has.
        background: labels, in lower case, that are clicked but never painted.
    """
    yield from _image_problems(controls)
    for control in controls.shared:
        yield (
            f'The {name_of(control)} has toName="{get(control, "toName")}", so that nobody can tell which image a '
            "click or a mask belongs to; give each image a control of its own."
        )
    for image in controls.clickable:
        if image.element is not None:
            yield from _value_problems(image.element)
        yield from _brush_problems(image, controls)
        yield from _click_problems(image, controls)
        yield from _pair_problems(image, background)


def _image_problems(controls: Controls) -> Iterator[str]:
    if controls.images[0].element is None:
        yield "There is no <Image>; add one, or there is nothing to click on."
        return
    count, clickable = len(list(find(controls.root, "image"))), controls.clickable
    if count > len(clickable):
        names = quoted(get(image, "name") for image in find(controls.root, "image"))
        only = quoted(image.name for image in clickable)
        yield f"There are {count} images ({names}); only {only} can be clicked on."


def _value_problems(image: Element) -> Iterator[str]:
    value, several = get(image, "value"), get(image, "valueList")
    if several:
        yield (
            f'The {name_of(image)} shows a list of images (valueList="{several}"), which cannot be clicked on; '
            f'give it one image, such as value="{several}[0]", or make a task of each.'
        )
    elif "{{" in value or "{{" in get(image, "name"):
        yield (
            f"The {name_of(image)} stands in a <Repeater>, which cannot be clicked on; make a task of each image, "
            'with value="$image".'
        )
    elif not is_filled(value):
        yield (
            f'The {name_of(image)} has value="{value}", but needs a field of the task, such as value="$image".'
        )


def _brush_problems(image: ImageControls, controls: Controls) -> Iterator[str]:
    if image.brush is None:
        if not _is_shared(image, "brushlabels"):
            yield (
                f"There is no <BrushLabels>{_for(image, controls)}; add one with a label for each kind of defect to "
                "hold the masks."
            )
    elif not options(image.brush) and not is_dynamic(image.brush):
        yield f"The {name_of(image.brush)} has no <Label>; add one for each kind of defect."


def _click_problems(image: ImageControls, controls: Controls) -> Iterator[str]:
    click = image.click
    if click is None:
        if not _is_shared(image, "keypointlabels"):
            yield (
                f"There is no <KeyPointLabels>{_for(image, controls)}; add one with the labels of the <BrushLabels> "
                "to click with."
            )
        return
    if not is_smart(click):
        yield f'The {name_of(click)} needs smart="true", or no click is sent.'
    if not options(click) and not is_dynamic(click):
        yield f"The {name_of(click)} has no <Label>; add those of the <BrushLabels>."
    for rival in image.rivals:
        yield (
            f'The {name_of(rival)} needs smart="false": its own smart tool takes the place of the smart click, so '
            "that no click is sent."
        )


def _is_shared(image: ImageControls, kind: str) -> bool:
    """Whether a control for several images was said to be the problem already."""
    return any(control.tag.lower() == kind for control in image.shared)


def _for(image: ImageControls, controls: Controls) -> str:
    return f' with toName="{image.name}"' if len(controls.clickable) > 1 else ""


def _pair_problems(image: ImageControls, background: set[str]) -> Iterator[str]:
    brush, click = image.brush, image.click
    if brush is None or click is None:
        return
    if image.element is not None and not image.is_pair:
        found = quoted(get(control, "toName") for control in (brush, click))
        yield (
            f'The {name_of(brush)} and the {name_of(click)} both need toName="{image.name}", but have {found}.'
        )
    for same, used in ((image.brushes, brush), (image.clicks, click)):
        if len(same) > 1:
            names = quoted(get(control, "name") for control in same)
            yield f'There are {len(same)} <{used.tag}> ({names}); only "{get(used, "name")}" answers clicks.'
    if not is_dynamic(brush) and not is_dynamic(click):
        yield from _label_problems(list(options(brush)), list(options(click)), background)


def _label_problems(painted: list[str], clicked: list[str], background: set[str]) -> Iterator[str]:
    if not painted or not clicked:
        return  # said already, in other words
    for names, other, consequence in (
        (clicked, painted, "can be clicked but not painted; add to <BrushLabels>"),
        (painted, clicked, "can be painted but not clicked; add to <KeyPointLabels>"),
    ):
        known = background | {name.strip().lower() for name in other}
        missing = [name for name in names if not {name.strip().lower(), painted_label(name).lower()} & known]
        if missing:
            more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
            yield f"Labels that {consequence}: {quoted(missing[:LISTED])}{more}."
