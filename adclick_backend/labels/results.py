"""What an annotation says about the defects in an image, each at the strength it deserves.

====================================================  =============  ==========================================
in Label Studio                                       kind           learned as
====================================================  =============  ==========================================
brush, polygon                                        mask           these pixels, no others
brush whose clicks ADClick answered                   clicked        its probability map, strengthened (Eq. 8)
brush that ADClick proposed before any click          clicked        these pixels but for an undecided edge
rectangle, ellipse                                    box            somewhere inside
choice that names a defect type, or ``defective``     tag            somewhere in the image
choice such as ``normal``; nothing at all             (normal)       free of defects
``normal``, and a defect that a person marked         contradiction  nothing, until somebody decides
anything else: a camera, a comment, key points alone  (nothing)      nothing
====================================================  =============  ==========================================

Which choices speak of defects is said in :mod:`adclick_backend.labels.meanings`. ``normal`` beside a proposal that
nobody touched is normal: the person left the proposal aside. A ``normal`` that was itself only proposed gives way to
what a person drew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.shapes import RegionError, draw, shape_of
from adclick_backend.labels.clicked import clicked_target
from adclick_backend.labels.proposed import KEPT, PREFIX, proposed_target
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.protocol.events import is_click, is_region, picked_for_image
from adclick_backend.store import Annotated, Answer
from model.labels.labelled import DEFECT, Kind, WeakLabel

CONTRADICTION = (
    "It is called normal, and a defect is marked in it. Neither is learned until you correct one of them in Label "
    "Studio."
)
NOT_ACCEPTED = (
    "The mask was not accepted, only its key points are there, and they say nothing about pixels: press the tick in "
    "the bottom bar before Submit."
)
EMPTY_AFTER_CLICKS = (
    "It was submitted empty after somebody had clicked in it, so whether it is free of defects is not known: choose "
    "normal, or click the defect again."
)

_KIND_OF_SHAPE: dict[str, Kind] = {"brush": "mask", "polygon": "mask", "rectangle": "box", "ellipse": "box"}
_WEAKEST_LAST: tuple[Kind, ...] = ("mask", "clicked", "box")


@dataclass(frozen=True)
class _Mask:
    """A region in pixels, (H, W); of ``clicked``, with what is known of its pixels."""

    kind: Kind
    pixels: NDArray[np.bool_]
    target: NDArray[np.float32] | None = None
    by_hand: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Drawn:
    """A region with a defect type; ``region`` is as Label Studio stores it."""

    type: str
    kind: Kind
    region: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id of the region in Label Studio."""
        return str(self.region.get("id", ""))


@dataclass(frozen=True)
class Statement:
    """What an annotation says, before any pixel of it is drawn.

    Attributes:
        drawn: its regions; a region with two labels is here twice.
        tags: defect types that are somewhere in the image.
        normal: the image is free of defects.
        problems: sentences about what had to be left out.
        contradictory: it calls the image normal and marks a defect; nothing is learned until somebody decides.
        unaccepted: it holds key points whose mask was not accepted, and says nothing else.
    """

    drawn: tuple[Drawn, ...] = ()
    tags: tuple[str, ...] = ()
    normal: bool = False
    problems: tuple[str, ...] = ()
    contradictory: bool = False
    unaccepted: bool = False

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of label by defect type; of several regions, the weakest one's."""
        found: dict[str, str] = dict.fromkeys(self.tags, "tag")
        for kind in _WEAKEST_LAST:
            found |= {drawn.type: kind for drawn in self.drawn if drawn.kind == kind}
        return found


def newest(annotations: Sequence[Annotated]) -> Annotated | None:
    """The annotation that counts for a task: the one changed last, without those that were skipped."""
    valid = [annotation for annotation in annotations if not annotation["was_cancelled"]]
    return max(valid, key=lambda annotation: (annotation["changed_at"], annotation["id"]), default=None)


def read_result(
    result: Sequence[Mapping[str, Any]],
    vocabulary: Vocabulary,
    answered: Collection[str],
    *,
    clicked: bool = False,
) -> Statement:
    """Read the result of an annotation.

    Args:
        result: as Label Studio stores it.
        vocabulary: what the project's labels and choices mean.
        answered: ids of regions that answered clicks.
        clicked: whether somebody clicked in the task just before: an empty annotation then says nothing.
    """
    regions = _by_id(result)
    drawn: list[Drawn] = []
    problems: list[str] = []
    for items in regions.values():
        shaped = next((item for item in items if shape_of(item)), None)
        if shaped is None:
            problems += [f"Regions of the type {kind} cannot be learned from." for kind in _strange(items)]
            continue
        labels = [label for item in items if is_region(item) for label in _labels(item)]
        if not labels:
            problems.append("A region has no label and was left out.")
        for label in dict.fromkeys(labels):
            if vocabulary.is_background(label):
                continue
            if vocabulary.calls_good(label):
                problems.append(f'A region labelled "{label[:80]}" calls its place good: it marks no defect.')
                continue
            if (known := vocabulary.label(label)) is None:
                problems.append(
                    f'The label "{label[:80]}" is no longer in the labeling config; its regions were left out.'
                )
                continue
            drawn.append(Drawn(known, _kind(shaped, answered), shaped))
    return _with_choices(
        result,
        drawn,
        list(dict.fromkeys(problems)),
        vocabulary,
        has_regions=bool(regions),
        clicked=clicked,
    )


def draw_label(
    statement: Statement, name: str, height: int, width: int, answers: Mapping[str, Answer]
) -> tuple[WeakLabel | None, list[str]]:
    """The label of one defect type in an image of height x width pixels, and sentences about what was left out.

    Args:
        statement: what the annotation says.
        name: the defect type, one of ``statement.kinds``.
        height: of the upright image.
        width: of the upright image.
        answers: region id -> the answer to its clicks, of this very image file.

    Returns:
        None for the label when every region of the type is empty.
    """
    merged = _Merged(height, width)
    problems: list[str] = []
    for drawn in (drawn for drawn in statement.drawn if drawn.type == name):
        try:
            mask = draw(drawn.region, height, width)
        except RegionError as error:
            problems.append(f'A region labelled "{name}" was left out: {error}')
            continue
        if mask.any():
            merged.add(_known_of(drawn, mask, answers))
    if (label := merged.label()) is not None:
        return label, problems
    if problems or name in statement.tags:  # a region that cannot be read still says that the defect is there
        return WeakLabel(
            "tag", np.ones((height, width), np.float32), np.zeros((height, width), bool)
        ), problems
    return None, problems


def _known_of(drawn: Drawn, mask: NDArray[np.bool_], answers: Mapping[str, Answer]) -> _Mask:
    """A drawn region with what its origin says of its pixels."""
    if drawn.kind != "clicked":
        return _Mask(drawn.kind, mask)
    if (answer := answers.get(drawn.id)) is not None:
        return _Mask("clicked", mask, *clicked_target(mask, answer))
    if drawn.id.startswith(PREFIX):
        return _Mask("clicked", mask, *proposed_target(mask, _proposed(drawn.region, *mask.shape)))
    return _Mask("mask", mask)  # the answer was to clicks on another file


def _proposed(region: Mapping[str, Any], height: int, width: int) -> NDArray[np.bool_] | None:
    """What had been proposed in the place of a region that a person changed; None when that is not known."""
    before = region.get(KEPT)
    try:
        return draw(before, height, width) if isinstance(before, Mapping) else None
    except RegionError:
        return None


class _Merged:
    """The regions of one type, one after the other: as many as there may be, in the memory of a few."""

    def __init__(self, height: int, width: int) -> None:
        self._shape = height, width
        self._kinds: set[Kind] = set()
        self._union = np.zeros(self._shape, bool)
        self._painted: NDArray[np.bool_] | None = None
        self._clicked: NDArray[np.bool_] | None = None
        self._by_hand: NDArray[np.bool_] | None = None
        self._target: NDArray[np.float32] | None = None

    def add(self, mask: _Mask) -> None:
        """Add a region; it may be forgotten then."""
        self._kinds.add(mask.kind)
        self._union |= mask.pixels
        if mask.kind == "mask":
            self._painted = _or(self._painted, mask.pixels)
        if mask.kind == "clicked":
            self._clicked = _or(self._clicked, mask.pixels)
        if mask.target is not None and mask.by_hand is not None:
            self._by_hand = _or(self._by_hand, mask.by_hand)
            if self._target is None:
                self._target = np.zeros(self._shape, np.float32)
            np.maximum(self._target, mask.target, out=self._target)

    def label(self) -> WeakLabel | None:
        """The label; the weakest region says how it is learned. None when none was added."""
        if not self._kinds:
            return None
        union, kind = self._union, max(self._kinds, key=_WEAKEST_LAST.index)
        if kind == "mask":
            return WeakLabel(kind, union.astype(np.float32), np.ones(self._shape, bool))
        # What was painted is certain, and so is an accepted mask inside a box.
        certain = np.zeros(self._shape, bool) if self._painted is None else self._painted
        if kind == "box":
            if self._clicked is not None:
                certain = certain | self._clicked
            return WeakLabel(kind, union.astype(np.float32), certain)
        target = certain.astype(np.float32)
        if self._target is not None and self._by_hand is not None:
            np.maximum(target, self._target, out=target)
            certain = certain | self._by_hand
        return WeakLabel(kind, np.where(certain, union, target).astype(np.float32, copy=False), certain)


def _or(known: NDArray[np.bool_] | None, more: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if known is None:
        return more.copy()
    known |= more
    return known


def _with_choices(
    result: Sequence[Mapping[str, Any]],
    drawn: list[Drawn],
    problems: list[str],
    vocabulary: Vocabulary,
    *,
    has_regions: bool,
    clicked: bool,
) -> Statement:
    """The statement of regions and choices together."""
    said = _Said.of(result, vocabulary)
    if said.normal or (said.proposed_normal and not drawn):
        by_person = [one for one in drawn if not _is_unchanged_proposal(one.region)]
        if by_person or said.defective or said.types:
            return Statement(problems=(CONTRADICTION, *problems), contradictory=True)
        return Statement(normal=not problems, problems=tuple(problems))
    marked = {one.type for one in drawn}
    tags = [name for name in said.types if name not in marked]
    if said.defective and not tags and not drawn:
        tags = [DEFECT]
    if drawn or tags or problems:
        return Statement(tuple(drawn), tuple(tags), problems=tuple(problems))
    if has_regions:
        return Statement(problems=(NOT_ACCEPTED,) if any(map(is_click, result)) else (), unaccepted=True)
    if result:
        return Statement()  # a comment, a camera: nothing that speaks of defects
    return Statement(problems=(EMPTY_AFTER_CLICKS,)) if clicked else Statement(normal=True)


@dataclass(frozen=True)
class _Said:
    """What was picked for the image as a whole."""

    normal: bool
    proposed_normal: bool  # by a prediction, and left as it was
    defective: bool
    types: tuple[str, ...]  # defect types that were named

    @classmethod
    def of(cls, result: Sequence[Mapping[str, Any]], vocabulary: Vocabulary) -> _Said:
        normal = proposed = defective = False
        types: list[str] = []
        for picked in picked_for_image(result):
            named = [vocabulary.type(word) for word in picked.path if vocabulary.knows(picked.control)]
            meanings = {vocabulary.meaning(picked.control, word) for word in picked.path}
            types += [name for name in named if name is not None]
            defective |= "defective" in meanings
            if "normal" in meanings and "defective" not in meanings and not any(named):
                by_machine = picked.region.startswith(PREFIX)
                normal, proposed = normal or not by_machine, proposed or by_machine
        return cls(normal, proposed, defective, tuple(dict.fromkeys(types)))


def _is_unchanged_proposal(region: Mapping[str, Any]) -> bool:
    """Whether nobody touched a region that ADClick proposed; Label Studio notes in ``origin`` when somebody did."""
    return (
        str(region.get("id", "")).startswith(PREFIX)
        and KEPT not in region
        and region.get("origin") not in ("prediction-changed", "manual")  # manual: clicks on it were answered
    )


def _by_id(result: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The regions of a result, each with everything that shares its id, such as labels chosen for it."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for number, item in enumerate(result):
        groups.setdefault(str(item.get("id") or f"#{number}"), []).append(item)
    return {name: items for name, items in groups.items() if any(map(is_region, items))}


def _strange(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The types of regions that are neither drawn nor clicks."""
    return [str(item.get("type"))[:40] for item in items if is_region(item) and not is_click(item)]


def _labels(item: Mapping[str, Any]) -> list[str]:
    """The labels that an item of a result carries: under its own type's name, or under ``labels``."""
    value = item.get("value")
    lists = [value.get(str(item.get("type"))), value.get("labels")] if isinstance(value, Mapping) else []
    return [label for found in lists if isinstance(found, list) for label in found if isinstance(label, str)]


def _kind(region: Mapping[str, Any], answered: Collection[str]) -> Kind:
    shape, name = shape_of(region) or "", str(region.get("id", ""))
    by_machine = name in answered or name.startswith(PREFIX)
    return "clicked" if shape == "brush" and by_machine else _KIND_OF_SHAPE[shape]
