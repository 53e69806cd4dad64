"""Labeling config -> which Image, BrushLabels, KeyPointLabels and Choices belong together, and its faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from xml.etree.ElementTree import Element

from adclick_backend.config.advice import corrected_config, recommended_config
from adclick_backend.config.xml import (
    ConfigError,
    Controls,
    find,
    get,
    is_dynamic,
    is_smart,
    options,
    pick_controls,
    read_tree,
)

__all__ = ["LabelingConfig", "parse_labeling_config", "recommended_config", "summary_sentence"]


_DRAWING = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "labels")


@dataclass(frozen=True)
class LabelingConfig:
    """The parts of a labeling config that this backend answers with; a missing part is "" or ().

    Attributes:
        image_name: name of the ``<Image>``, the ``to_name`` of regions.
        image_value: key of the task data that holds the image's URL.
        brush_name: name of the ``<BrushLabels>``, the ``from_name`` of masks.
        brush_labels: labels as regions store them, that is the alias where there is one.
        click_name: name of the ``<KeyPointLabels>``.
        click_labels: its labels.
        choices_name: name of the ``<Choices>`` about the whole image.
        choices: its choices.
        drawn_labels: labels of every control that draws regions, brushes first, as regions store them.
        labels_from_task: the brush labels come with each task, so every label may be the right one.
        problems: what keeps a person's click from becoming a mask, one sentence each.
        can_click: a click can be answered with a mask; Label Studio's side may still be in the way of it.
        corrected: the config to paste; the config as it is when there is no problem.
    """

    image_name: str = ""
    image_value: str = ""
    brush_name: str = ""
    brush_labels: tuple[str, ...] = ()
    click_name: str = ""
    click_labels: tuple[str, ...] = ()
    choices_name: str = ""
    choices: tuple[str, ...] = ()
    drawn_labels: tuple[str, ...] = ()
    labels_from_task: bool = False
    problems: tuple[str, ...] = ()
    can_click: bool = False
    corrected: str = ""

    def brush_label_for(self, label: str) -> str | None:
        """The brush label to paint a click of ``label`` with, None when there is no right one.

        Case does not matter. A config with one brush label paints everything with it.
        """
        if label in self.brush_labels:
            return label
        matches = [name for name in self.brush_labels if name.lower() == label.strip().lower()]
        if matches:
            return matches[0]
        if self.labels_from_task and label:
            return label
        return self.brush_labels[0] if len(self.brush_labels) == 1 else None


def parse_labeling_config(xml: str, *, background_labels: Sequence[str] = ("background",)) -> LabelingConfig:
    """Read a labeling config; whatever is wrong with it ends up in ``problems``, nothing is raised.

    Args:
        xml: the ``label_config`` of a project.
        background_labels: key point labels, without case, that say "not here" and need no brush label.
    """
    background = {label.lower() for label in background_labels}
    try:
        controls = pick_controls(read_tree(xml))
    except ConfigError as error:
        return LabelingConfig(problems=(str(error),), corrected=recommended_config(("defect",)))
    problems = tuple(_find_problems(controls, background))
    brush_labels, click_labels = tuple(options(controls.brush)), tuple(options(controls.click))
    from_task = controls.brush is not None and is_dynamic(controls.brush)
    image_value = get(controls.image, "value")
    return LabelingConfig(
        image_name=get(controls.image, "name"),
        image_value=image_value.removeprefix("$") if image_value.startswith("$") else "",
        brush_name=get(controls.brush, "name"),
        brush_labels=brush_labels,
        click_name=get(controls.click, "name"),
        click_labels=click_labels,
        choices_name=get(controls.choices, "name"),
        choices=tuple(options(controls.choices)),
        drawn_labels=tuple(dict.fromkeys(chain(brush_labels, *map(options, find(controls.root, *_DRAWING))))),
        labels_from_task=from_task,
        problems=problems,
        can_click=controls.is_pair and image_value.startswith("$") and bool(brush_labels or from_task),
        # Last, because it completes the tree in place.
        corrected=corrected_config(controls, background_labels=background) if problems else xml,
    )


def summary_sentence(config: LabelingConfig) -> str:
    """One sentence about the config, for the answer to ``/setup`` and for the status page."""
    if not config.problems:
        labels = "labels of the task" if config.labels_from_task else ", ".join(config.brush_labels)
        return (
            f'The labeling config is ready: a click with "{config.click_name}" is answered with a mask '
            f'in "{config.brush_name}" ({labels}).'
        )
    count = len(config.problems)
    changes = "one change" if count == 1 else f"{count} changes, first"
    return f"The labeling config needs {changes}: {config.problems[0]}"


def _find_problems(controls: Controls, background: set[str]) -> Iterator[str]:
    yield from _image_problems(controls)
    yield from _brush_problems(controls)
    yield from _click_problems(controls)
    yield from _pair_problems(controls, background)


def _image_problems(controls: Controls) -> Iterator[str]:
    images = list(find(controls.root, "image"))
    if not images:
        yield "There is no <Image>; add one, or there is nothing to click on."
        return
    if len(images) > 1:
        names = _listed(get(image, "name") for image in images)
        yield f"There are {len(images)} images ({names}); only {_name(controls.image)} can be clicked on."
    if not get(controls.image, "value").startswith("$"):
        yield (
            f'The <Image> {_name(controls.image)} has value="{get(controls.image, "value")}", but needs a'
            ' field of the task, such as value="$image".'
        )


def _brush_problems(controls: Controls) -> Iterator[str]:
    if controls.brush is None:
        yield "There is no <BrushLabels>; add one with a label for each kind of defect to hold the masks."
    elif not options(controls.brush) and not is_dynamic(controls.brush):
        yield f"The <BrushLabels> {_name(controls.brush)} has no <Label>; add one for each kind of defect."


def _click_problems(controls: Controls) -> Iterator[str]:
    if controls.click is None:
        yield "There is no <KeyPointLabels>; add one with the labels of the <BrushLabels> to click with."
        return
    if not is_smart(controls.click):
        yield f'The <KeyPointLabels> {_name(controls.click)} needs smart="true", or no click is sent.'
    if not options(controls.click) and not is_dynamic(controls.click):
        yield f"The <KeyPointLabels> {_name(controls.click)} has no <Label>; add those of the <BrushLabels>."
    for rival in controls.rivals:
        yield (
            f'The <{rival.tag}> {_name(rival)} needs smart="false": its own smart tool takes the place of the'
            " smart click, so that no click is sent."
        )


def _pair_problems(controls: Controls, background: set[str]) -> Iterator[str]:
    brush, click = controls.brush, controls.click
    if brush is None or click is None:
        return
    if controls.image is not None and not controls.is_pair:
        found = _listed(get(control, "toName") for control in (brush, click))
        yield (
            f"The <BrushLabels> {_name(brush)} and the <KeyPointLabels> {_name(click)} both need "
            f"toName={_name(controls.image)}, but have {found}."
        )
    for tag, used in (("BrushLabels", brush), ("KeyPointLabels", click)):
        names = [get(control, "name") for control in find(controls.root, tag.lower())]
        if len(names) > 1:
            yield f"There are {len(names)} <{tag}> ({_listed(names)}); only {_name(used)} answers clicks."
    if not is_dynamic(brush) and not is_dynamic(click):
        yield from _label_problems(list(options(brush)), list(options(click)), background)


def _label_problems(painted: list[str], clicked: list[str], background: set[str]) -> Iterator[str]:
    if not painted or not clicked:
        return  # said already, in other words
    for names, other, consequence in (
        (clicked, painted, "can be clicked but not painted; add to <BrushLabels>"),
        (painted, clicked, "can be painted but not clicked; add to <KeyPointLabels>"),
    ):
        known = background | {name.lower() for name in other}
        missing = [name for name in names if name.lower() not in known]
        if missing:
            yield f"Labels that {consequence}: {_listed(missing)}."


def _name(element: Element | None) -> str:
    return f'"{get(element, "name")}"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
