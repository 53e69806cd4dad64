"""One click, all alike: every place of an image that looks like the clicked one, each with a mask of its own.

The clicked part is cut by ADClick's own answer. What it looks like (:mod:`model.interactive.likeness`) is searched in
the whole image; each place that is like it is clicked, alone, by the same network, in a crop round it
(:mod:`model.interactive.parts`); and what comes of that is kept if it is like the clicked part as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.answer import Answer, Look
from model.interactive.candidates import cut_at, likest_places
from model.interactive.likeness import Likeness
from model.interactive.mask import Map, Mask
from model.interactive.parts import Part, View, boxed, connected, cut_parts, distinct, side_for
from model.interactive.predictor import Predictor
from model.interactive.traits import Traits, likeness, traits_of
from model.language.vocabulary import Words

AnswerTo = Callable[[tuple[Click, ...]], Answer]
"""ADClick's answer to some clicks alone, image pixels, oldest first."""


@dataclass(frozen=True)
class AlikeConfig:
    """What counts as alike."""

    least: float = 0.25  # likeness of the single place from which on it is clicked, 1 at the example
    most: int = 40  # places that are clicked
    accepted: float = 0.7  # likeness of a part from which on it is taken
    loosest: float = 0.6  # ... where a second example is less like the first than that
    other: float = 0.1  # cosine by which a part has to be more like a counter-example than like any example
    covered: float = 0.3  # share of a part that better ones may cover
    beside: float = 0.5  # a click so far from an example, in its own mean radii, still is about it
    windows: int = 6  # that are looked at from near, at most


ALIKE = AlikeConfig()


@dataclass(frozen=True)
class Alike:
    """One part that is like the clicked ones.

    Attributes:
        part: its mask.
        likeness: in [0, 1]; 1 for a part that was clicked.
    """

    part: Part
    likeness: float


@dataclass(frozen=True)
class AllAlike:
    """All parts that are like the clicked ones.

    Attributes:
        frame: working frame of the image.
        found: the clicked ones first, then the likest; no two of them cover each other.
    """

    frame: Frame
    found: tuple[Alike, ...]

    def mask(self) -> Mask:
        """All of them together, (frame.image_height, frame.image_width) bool."""
        mask = np.zeros((self.frame.image_height, self.frame.image_width), bool)
        for alike in self.found:
            mask[alike.part.box] |= alike.part.mask
        return mask

    def probability(self) -> Map:
        """(frame.height, frame.width) float32 in [0, 1]: of each place that it belongs to one of them."""
        merged = np.zeros((self.frame.height, self.frame.width), np.float32)
        sx, sy = self.frame.scale_xy
        for alike in self.found:
            rows, columns = alike.part.box
            top, left = int(rows.start * sy), int(columns.start * sx)
            bottom, right = max(round(rows.stop * sy), top + 1), max(round(columns.stop * sx), left + 1)
            here = merged[top:bottom, left:right]
            size = here.shape[1], here.shape[0]
            near = cv2.resize(alike.part.probability, size, interpolation=cv2.INTER_AREA)
            inside = cv2.resize(alike.part.mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA)
            np.maximum(here, np.where(inside > 0, near, np.minimum(near, 0.5)), out=here)
        return merged


@dataclass
class _Example:
    """A part that was clicked, by one click or several."""

    clicks: tuple[Click, ...]
    answer: Answer
    part: Part | None

    def reaches(self, click: Click, config: AlikeConfig) -> bool:
        """Whether a click is about this part: on it, or nearly."""
        if self.part is None:
            return False
        reach = config.beside * math.sqrt(self.part.area / math.pi)
        rows, columns = self.part.box
        row, column = int(click.y) - rows.start, int(click.x) - columns.start
        margin = math.ceil(reach)
        height, width = self.part.mask.shape
        if not (-margin <= row < height + margin and -margin <= column < width + margin):
            return False
        free = np.pad(~self.part.mask, margin, constant_values=True).astype(np.uint8)
        away = float(cv2.distanceTransform(free, cv2.DIST_L2, 5)[row + margin, column + margin])
        return away <= reach


def find_alike(
    predictor: Predictor,
    whole: View,
    clicks: Sequence[Click],
    answer_to: AnswerTo,
    look: Look,
    words: Words | None = None,
    config: AlikeConfig = ALIKE,
) -> AllAlike:
    """Every part of an image that is like the clicked ones.

    A positive click on a part that was clicked before, or next to it, corrects that part; elsewhere it is one more
    example. A negative one next to an example corrects it; elsewhere it is a counter-example: the part under
    it is left out, and what is clearly more like that than like any example.

    Args:
        predictor: the network.
        whole: the whole image.
        clicks: image pixels, oldest first, one of them positive at least.
        answer_to: answers some of them alone.
        look: opens a window of the image, where the example is small.
        words: for the defect.
        config: what counts as alike.

    Raises:
        ValueError: the network compares no features (the ``base`` preset).
    """
    if not whole.prepared.levels:
        raise ValueError("This click network does not compare places by their features.")
    examples, counter = _sorted_out(clicks, answer_to, config)
    parts = [example.part for example in examples if example.part is not None]
    if not parts:
        return AllAlike(whole.frame, ())
    space = Likeness(whole.prepared)
    known = [traits_of(space, whole.prepared, part, whole.frame) for part in parts]
    extent = float(max(max(part.mask.shape) for part in parts))
    side = side_for(extent * max(whole.frame.scale_xy))
    against = [part for part in cut_parts(predictor, whole, counter, side, words) if part is not None]
    refused = [traits_of(space, whole.prepared, part, whole.frame) for part in against]

    maps, areas = space.to([one.look for one in known]), [part.area for part in parts]
    points = likest_places(maps, areas, whole.frame, config.least, config.most)
    points = [point for point in points if not any(part.holds(point) for part in parts)]
    accepted = _threshold(known, parts, config)
    found = [Alike(part, 1.0) for part in parts]
    for part in cut_at(predictor, whole, points, extent, look, words, config.windows):
        if any(part.holds(click) for click in counter):
            continue
        seen = traits_of(space, whole.prepared, part, whole.frame)
        best = max(one.look.cosine(seen.look) for one in known)
        if any(one.look.cosine(seen.look) > best + config.other for one in refused):
            continue
        value = likeness(seen, part.expected_iou, known)
        if value >= accepted:
            found.append(Alike(part, value))
    found.sort(key=lambda alike: -alike.likeness)  # stable: the clicked ones stay first
    shape = whole.frame.image_height, whole.frame.image_width
    kept = distinct([alike.part for alike in found], shape, config.covered)
    return AllAlike(whole.frame, tuple(found[number] for number in kept))


def _sorted_out(
    clicks: Sequence[Click], answer_to: AnswerTo, config: AlikeConfig
) -> tuple[list[_Example], list[Click]]:
    """The examples that were clicked, and the clicks that are counter-examples."""
    examples: list[_Example] = []
    counter: list[Click] = []
    for click in clicks:
        about = next((example for example in examples if example.reaches(click, config)), None)
        if about is None and not click.positive:
            counter.append(click)
            continue
        shown = (click,) if about is None else (*about.clicks, click)
        answered = answer_to(shown)
        example = _Example(shown, answered, _clicked_part(answered, shown))
        if about is None:
            examples.append(example)
        else:
            examples[examples.index(about)] = example
    return examples, counter


def _clicked_part(answered: Answer, clicks: Sequence[Click]) -> Part | None:
    """What was clicked of an answer; None when it is empty."""
    mask = answered.mask()
    if not mask.any():
        return None
    mask = connected(mask, [click for click in clicks if click.positive])
    return boxed(mask, answered.probability, answered.score())


def _threshold(known: Sequence[Traits], parts: Sequence[Part], config: AlikeConfig) -> float:
    """The likeness to ask for: as much as the examples are like each other, where that is less than usual."""
    accepted = config.accepted
    for number, (one, part) in enumerate(zip(known, parts, strict=True)):
        if others := [*known[:number], *known[number + 1 :]]:
            accepted = min(accepted, likeness(one, part.expected_iou, others))
    return max(accepted, min(config.loosest, config.accepted))
