"""Labeling config -> its images, each with the controls that answer a click on it, and its faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from adclick_backend.config.advice import corrected_config
from adclick_backend.config.alike_labels import Regions, read_alike_label
from adclick_backend.config.controls import ASKING, DRAWING, Controls, ImageControls, pick_controls
from adclick_backend.config.layout import is_former, recommended_config
from adclick_backend.config.problems import find_problems
from adclick_backend.config.recent import Recent, size_of
from adclick_backend.config.statement_controls import StatementControl, statement_controls
from adclick_backend.config.task_value import fill, is_filled
from adclick_backend.config.xml import ConfigError, find, get, is_dynamic, options, quoted, read_tree

__all__ = [
    "BelongingError",
    "ImageSettings",
    "LabelingConfig",
    "parse_labeling_config",
    "recommended_config",
    "summary_sentence",
]

LAYOUT_CHANGES = (
    "The labels come above the image, in one row, and the image takes the rest of the window.",
    'Keys: 1 to 9 choose what is clicked, with Shift what is painted; n is "normal", d is "defective".',
)
"""What a config that was recommended before gains by today's."""

KEPT_BYTES = 8_000_000
"""Of labeling configs that were taken apart: a server sees the same few over and over."""


class BelongingError(ValueError):
    """An item of a result whose image nobody can tell; the message is one sentence for a person."""


@dataclass(frozen=True)
class ImageSettings:
    """One ``<Image>`` and the controls that belong to it; a missing part is "" or ().

    Attributes:
        name: of the ``<Image>``, the ``to_name`` of regions.
        key: what tells it from the other images of a task: its name, or "" when it is the only one.
        value: where a task says the image's URL, such as ``$image`` or ``/data/upload/1/$file``.
        brush_name: name of the ``<BrushLabels>``, the ``from_name`` of masks.
        brush_labels: labels as regions store them, that is the alias where there is one.
        other_brushes: name and labels of each further ``<BrushLabels>``.
        click_name: name of the ``<KeyPointLabels>``.
        click_labels: its labels.
        clicked_with: names of all controls whose regions are answered with masks: key points and rectangles.
        choices_name: name of the ``<Choices>`` about the whole image.
        choices: its choices.
        drawn_labels: labels of every control that draws regions, brushes first, as regions store them.
        labels_from_task: the brush labels come with each task, so every label may be the right one.
        can_click: a click can be answered with a mask; Label Studio's side may still be in the way of it.
    """

    name: str = ""
    key: str = ""
    value: str = ""
    brush_name: str = ""
    brush_labels: tuple[str, ...] = ()
    other_brushes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    click_name: str = ""
    click_labels: tuple[str, ...] = ()
    clicked_with: tuple[str, ...] = ()
    choices_name: str = ""
    choices: tuple[str, ...] = ()
    drawn_labels: tuple[str, ...] = ()
    labels_from_task: bool = False
    can_click: bool = False

    @property
    def can_propose(self) -> bool:
        """Whether its masks have a place to go to."""
        return bool(self.value and self.brush_name)

    def url(self, task_data: Mapping[str, Any]) -> str:
        """The URL of the image in a task with these data, "" when the task has none."""
        return fill(self.value, task_data)

    @property
    def all_brush_labels(self) -> tuple[str, ...]:
        """The labels of all its brushes, those of the brush that masks go to first."""
        return (*self.brush_labels, *(name for _, labels in self.other_brushes for name in labels))

    def brush_label_for(self, label: str) -> str | None:
        """The brush label to paint a click of ``label`` with, None when there is no right one.

        Case does not matter, and neither do blanks at the ends. One label alone paints everything. A label that asks
        for all that is alike paints with the label that it is of.
        """
        if self.asks_for_alike(label) and (alike := read_alike_label(label)):
            return self.brush_label_for(alike.painted)
        known = self.all_brush_labels
        if label in known:
            return label
        matches = [name for name in known if name.strip().lower() == label.strip().lower()]
        if matches:
            return matches[0]
        if self.labels_from_task and label:
            return label
        return known[0] if len(known) == 1 else None

    def asks_for_alike(self, label: str) -> Regions | None:
        """Whether a click of ``label`` asks for every place that is alike, and as one region or a region each."""
        known = {name.strip().lower() for name in self.all_brush_labels}
        alike = None if label.strip().lower() in known else read_alike_label(label)
        return None if alike is None else alike.regions

    def brush_with(self, label: str) -> str:
        """Name of the brush that has the label."""
        others = (name for name, labels in self.other_brushes if label in labels)
        return self.brush_name if label in self.brush_labels else next(others, self.brush_name)


@dataclass(frozen=True)
class LabelingConfig:
    """The parts of a labeling config that this backend answers with.

    Attributes:
        images: its images, at least one.
        targets: name of a control -> names of the images that it is for.
        others: names of what is labelled besides images.
        problems: what keeps a person's click from becoming a mask, one sentence each.
        corrected: the config to paste; the config as it is when there is nothing to correct. One that was recommended
            before, and was not touched since, gets today's layout.
        changes: what ``corrected`` changes, one sentence each.
        statements: its controls about the image as a whole; None when no config is known.
    """

    images: tuple[ImageSettings, ...] = (ImageSettings(),)
    targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()
    corrected: str = ""
    changes: tuple[str, ...] = ()
    statements: tuple[StatementControl, ...] | None = None

    @property
    def main(self) -> ImageSettings:
        """The first image that can be clicked on, else the first."""
        return next((image for image in self.images if image.can_click), self.images[0])

    @property
    def can_click(self) -> bool:
        """Whether a click on any of the images can be answered with a mask."""
        return any(image.can_click for image in self.images)

    @property
    def offers_alike(self) -> bool:
        """Whether a key point label asks for every place that is alike."""
        return any(
            image.asks_for_alike(label) is not None for image in self.images for label in image.click_labels
        )

    @property
    def brush_labels(self) -> tuple[str, ...]:
        """The brush labels of all images, each once."""
        return _union(image.brush_labels for image in self.images)

    def image(self, key: str) -> ImageSettings | None:
        """The image with that key."""
        return next((image for image in self.images if image.key == key), None)

    def shown_images(self, task_data: Mapping[str, Any]) -> list[ImageSettings]:
        """The images that a task with these data shows; the first of the config when it shows none."""
        return [image for image in self.images if image.url(task_data)] or [*self.images[:1]]

    def image_of(self, item: Mapping[str, Any]) -> ImageSettings:
        """The image that an item of a result is about, by its ``to_name`` and ``from_name``.

        API clients leave names out: the other one, or a config with one image, says it then.

        Raises:
            BelongingError: neither says it, the two contradict each other, or no image is called so.
        """
        if not self.images[0].name:
            return self.images[0]  # nothing is known of the config, or it has no image
        source, target = str(item.get("from_name") or ""), str(item.get("to_name") or "")
        targets = self.targets.get(source, ())
        if len(targets) > 1:
            raise BelongingError(
                f'"{source}" is for several images ({quoted(targets)}), so that nobody can tell which of them it is '
                "about: give each image a control of its own."
            )
        named = target or (targets[0] if targets else "")
        if not named and len(self.images) == 1:
            return self.images[0]
        image = next((image for image in self.images if image.name == named), None)
        if image is None:
            known = quoted(image.name for image in self.images)
            raise BelongingError(
                f'It is about "{named[:80]}", but the images of the labeling config are {known}.'
                if named
                else f"It does not say which of the images {known} it is about."
            )
        if targets and targets[0] != named:
            raise BelongingError(
                f'It is about "{named}", but "{source}" belongs to "{targets[0]}" in the labeling config.'
            )
        return image


_kept: Recent[LabelingConfig] = Recent(KEPT_BYTES)


def parse_labeling_config(xml: str, *, background_labels: Sequence[str] = ("background",)) -> LabelingConfig:
    """Read a labeling config; whatever is wrong with it ends up in ``problems``, nothing is raised.

    Args:
        xml: the ``label_config`` of a project.
        background_labels: key point labels, without case, that say "not here" and need no brush label.
    """
    background = frozenset(label.lower() for label in background_labels)
    found = _kept.get((xml, background))
    if found is None:
        found = _parse(xml, set(background))
        _kept.put((xml, background), found, size_of((xml, background, found)))
    return found


def _parse(xml: str, background: set[str]) -> LabelingConfig:
    try:
        controls = pick_controls(read_tree(xml))
    except ConfigError as error:
        return LabelingConfig(
            problems=(str(error),),
            corrected=recommended_config(("defect",)),
            changes=("It is replaced by the recommended labeling config.",),
            statements=() if xml else None,
        )
    problems = tuple(find_problems(controls, background))
    images, statements = _settings(controls), statement_controls(controls.root)
    corrected, changes = xml, tuple[str, ...]()
    if problems:
        written, made = corrected_config(
            controls, background_labels=background
        )  # completes the tree in place
        if tuple(find_problems(pick_controls(read_tree(written)), background)) != problems:
            corrected, changes = written, made
    elif is_former(controls.root, images[0].brush_labels):
        corrected, changes = recommended_config(images[0].brush_labels), LAYOUT_CHANGES
    return LabelingConfig(images, controls.targets, controls.others, problems, corrected, changes, statements)


def _settings(controls: Controls) -> tuple[ImageSettings, ...]:
    alone = len(controls.images) == 1
    found = []
    for image in controls.images:
        # What draws without being for one image alone still names defects, if there is but one image.
        drawing = list(find(controls.root, *DRAWING)) if alone else image.drawing
        found.append(_image_settings(image, "" if alone else image.name, drawing))
    return tuple(found)


def _image_settings(image: ImageControls, key: str, drawing: Sequence[Any]) -> ImageSettings:
    brush_labels, from_task = tuple(options(image.brush)), image.brush is not None and is_dynamic(image.brush)
    choices = next(iter(image.choices), None)
    value = "" if get(image.element, "valueList") else get(image.element, "value")
    value = value if is_filled(value) else ""
    answered = [*image.clicks, *(control for control in image.smart if control.tag.lower() in ASKING)]
    return ImageSettings(
        name=image.name,
        key=key,
        value=value,
        brush_name=get(image.brush, "name"),
        brush_labels=brush_labels,
        other_brushes=tuple((get(other, "name"), tuple(options(other))) for other in image.brushes[1:]),
        click_name=get(image.click, "name"),
        click_labels=tuple(options(image.click)),
        clicked_with=tuple(dict.fromkeys(get(control, "name") for control in answered)),
        choices_name=get(choices, "name"),
        choices=tuple(options(choices)),
        drawn_labels=_union([brush_labels, *map(options, drawing)]),
        labels_from_task=from_task,
        can_click=image.is_pair and bool(value and (brush_labels or from_task)),
    )


def _union(names: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(names)))


def summary_sentence(config: LabelingConfig) -> str:
    """One sentence about the config, for the answer to ``/setup`` and for the status page."""
    if not config.problems:
        answers = [
            f'with "{image.click_name}" is answered with a mask in "{image.brush_name}" ({_labels(image)})'
            for image in config.images
        ]
        return f"The labeling config is ready: a click {', one '.join(answers)}."
    count = len(config.problems)
    changes = "one change" if count == 1 else f"{count} changes, first"
    return f"The labeling config needs {changes}: {config.problems[0]}"


def _labels(image: ImageSettings) -> str:
    return "labels of the task" if image.labels_from_task else ", ".join(image.brush_labels)
