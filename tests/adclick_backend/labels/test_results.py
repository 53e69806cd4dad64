"""Annotations -> weak labels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adclick_backend.brush.rle import encode_rle
from adclick_backend.config.statement_controls import StatementControl
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.labels.results import (
    Statement,
    _Mask,
    _Merged,
    draw_label,
    newest,
    read_result,
)
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.store import Answer
from adclick_backend.store.answers import pack_map, pack_mask
from model.labels.labelled import WeakLabel
from tests.helpers.labels import SHAPE, block, brush, choice, rectangle, region

WORDS = Vocabulary(("scratch", "dent"), ("normal", "good"), ("background",))


def read(*result: dict[str, Any], answered: Any = (), words: Vocabulary = WORDS) -> Statement:
    return read_result(result, words, answered)


def drawn(
    *result: dict[str, Any], answers: Any = None, name: str = "scratch", shape: Any = SHAPE
) -> WeakLabel:
    label, problems = draw_label(read(*result, answered=answers or {}), name, *shape, answers or {})
    assert label is not None
    assert not problems
    assert label.target.shape == label.certain.shape == shape
    assert (label.target.dtype, label.certain.dtype) == (np.float32, bool)
    return label


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


# --- what is painted


def test_a_brush_is_a_mask_pixel_by_pixel() -> None:
    mask = block(10, 20, 18, 40)
    label = drawn(brush(mask))
    assert label.kind == "mask"
    np.testing.assert_array_equal(label.target, mask.astype(np.float32))
    assert label.certain.all()


def test_a_polygon_covers_the_pixels_inside_it() -> None:
    points = [[25, 25], [75, 25], [75, 75], [25, 75]]  # percent of 64 x 48
    label = drawn(region("polygonlabels", "scratch", points=points, closed=True))
    assert label.kind == "mask"
    assert iou(label.target > 0, block(12, 16, 36, 48)) > 0.93  # OpenCV includes the border


def test_a_rectangle_is_a_box_within_which_nothing_is_certain() -> None:
    label = drawn(rectangle(16, 12, 20, 8))
    assert label.kind == "box"
    assert iou(label.target > 0, block(12, 16, 20, 36)) > 0.8
    assert not label.certain.any()


@pytest.mark.parametrize("degrees", [90, 45, -30, 200])
def test_a_rectangle_turns_clockwise_round_its_first_corner_in_pixels(degrees: float) -> None:
    shape = (4 * SHAPE[0], 4 * SHAPE[1])
    label = drawn(rectangle(32, 24, 16, 6, rotation=degrees), shape=shape)
    rows, columns = (np.mgrid[: shape[0], : shape[1]] + 0.5) / 4
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    dx, dy = columns - 32, rows - 24
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    expected = (along >= 0) & (along <= 16) & (across >= 0) & (across <= 6)
    assert iou(label.target > 0, expected) > 0.9


def test_an_ellipse_is_a_box_too() -> None:
    label = drawn(region("ellipselabels", "scratch", x=50, y=50, radiusX=25, radiusY=25, rotation=0))
    assert label.kind == "box"
    assert (label.target > 0).sum() == pytest.approx(math.pi * 16 * 12, rel=0.1)


def test_a_picture_seen_turned_or_scaled_keeps_its_coordinates() -> None:
    """Label Studio's ``image_rotation`` turns the view only; a proxy may have shown a smaller copy."""
    turned = {**brush(block(10, 20, 18, 40)), "image_rotation": 90}
    np.testing.assert_array_equal(drawn(turned).target > 0, block(10, 20, 18, 40))
    label = drawn(brush(block(10, 20, 18, 40)), shape=(96, 128))
    np.testing.assert_array_equal(label.target > 0, block(20, 40, 36, 80, (96, 128)))


def test_labels_chosen_for_a_plain_shape_share_its_id() -> None:
    plain = region("brush", None, format="rle", rle=encode_rle(block(1, 1, 5, 5)))
    named = region("labels", "dent")
    np.testing.assert_array_equal(drawn(plain, named, name="dent").target > 0, block(1, 1, 5, 5))


# --- several of them


def test_regions_of_one_type_are_one_label_and_types_may_overlap() -> None:
    a, b, c = block(0, 0, 10, 10), block(5, 5, 15, 15), block(8, 8, 20, 20)
    result = (brush(a, name="a"), brush(b, name="b"), brush(c, "dent", "c"))
    np.testing.assert_array_equal(drawn(*result).target > 0, a | b)
    np.testing.assert_array_equal(drawn(*result, name="dent").target > 0, c)


def test_the_weakest_region_says_how_a_type_is_learned_and_what_was_painted_stays_certain() -> None:
    painted = block(30, 40, 40, 60)
    statement = read(brush(painted, name="a"), rectangle(4, 4, 20, 10, name="b"))
    assert statement.kinds == {"scratch": "box"}
    label = drawn(brush(painted, name="a"), rectangle(4, 4, 20, 10, name="b"))
    assert label.kind == "box"
    np.testing.assert_array_equal(label.certain, painted)
    assert label.target[35, 50] == label.target[8, 10] == 1


# --- choices


@pytest.mark.parametrize(
    ("result", "normal", "kinds"),
    [
        ([choice("normal")], True, {}),
        ([choice("Good")], True, {}),
        ([], True, {}),
        ([choice("defective")], False, {"defect": "tag"}),
        ([choice("dent")], False, {"dent": "tag"}),
        ([choice("defective", "dent")], False, {"dent": "tag"}),
        ([choice("defective"), brush(block(1, 1, 9, 9))], False, {"scratch": "mask"}),
        ([choice("dent"), brush(block(1, 1, 9, 9))], False, {"scratch": "mask", "dent": "tag"}),
        ([choice("scratch"), brush(block(1, 1, 9, 9))], False, {"scratch": "mask"}),
        ([{**choice("normal"), "id": "r1"}, brush(block(1, 1, 9, 9))], False, {"scratch": "mask"}),
        ([brush(block(1, 1, 9, 9), "background")], False, {}),
    ],
)
def test_choices(result: list[dict[str, Any]], normal: bool, kinds: dict[str, str]) -> None:
    statement = read(*result)
    assert (statement.normal, statement.kinds) == (normal, kinds)
    assert not statement.problems or not kinds


def test_a_tag_says_somewhere() -> None:
    label = drawn(choice("defective"), name="defect")
    assert (label.kind, label.target.min(), label.certain.any()) == ("tag", 1, False)


def test_key_points_alone_say_that_the_mask_was_not_accepted() -> None:
    statement = read(region("keypointlabels", "scratch", x=10, y=10, width=1))
    assert (statement.normal, statement.kinds, statement.unaccepted) == (False, {}, True)
    assert "press the tick" in statement.problems[0]
    assert (
        read(region("keypointlabels", "scratch", x=1, y=1), brush(block(1, 1, 5, 5), name="b")).problems == ()
    )


@pytest.mark.parametrize("marked", [brush(block(1, 1, 5, 5)), rectangle(1, 1, 9, 9), choice("dent")])
def test_normal_and_a_defect_is_a_contradiction_from_which_nothing_is_learned(marked: dict[str, Any]) -> None:
    statement = read(choice("normal"), marked)
    assert statement.contradictory
    assert (statement.normal, statement.kinds) == (False, {})
    assert "until you correct one of them" in statement.problems[0]


def test_a_normal_that_was_only_proposed_gives_way_to_what_a_person_drew() -> None:
    proposed = {**choice("normal"), "id": f"{PREFIX}0123456789ab"}
    assert read(proposed, brush(block(1, 1, 5, 5))).kinds == {"scratch": "mask"}
    assert read(proposed).normal


def test_normal_beside_a_proposal_that_nobody_touched_is_normal() -> None:
    proposal = {**brush(block(1, 1, 5, 5), name=f"{PREFIX}0123456789ab"), "origin": "prediction"}
    assert read(choice("normal"), proposal).normal
    assert read(choice("normal"), {**proposal, "origin": "prediction-changed"}).contradictory


def test_a_key_point_beside_normal_covers_nothing() -> None:
    assert read(choice("normal"), region("keypointlabels", "scratch", x=10, y=10, width=1)).normal


def test_an_empty_annotation_after_clicks_is_no_statement() -> None:
    assert read().normal
    statement = read_result([], WORDS, (), clicked=True)
    assert (statement.normal, statement.kinds) == (False, {})
    assert "submitted empty" in statement.problems[0]


def test_a_region_that_calls_its_place_good_marks_no_defect() -> None:
    """A rectangle labelled OK."""
    words = Vocabulary(("OK", "short"), ("ok",))
    statement = read(rectangle(1, 1, 9, 9, label="OK"), words=words)
    assert (statement.normal, statement.kinds) == (False, {})
    assert '"OK" calls its place good' in statement.problems[0]


# --- which choices speak of defects


def control(name: str, *values: str) -> StatementControl:
    return StatementControl(name, values)


def picked(name: str, *values: Any, kind: str = "choices") -> dict[str, Any]:
    return {
        "id": f"c-{name}",
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "value": {kind: list(values)},
    }


STATE = control("state", "normal", "defective")


@pytest.mark.parametrize(
    ("controls", "result", "normal", "kinds"),
    [
        # sharpness is about something else, whatever it calls good
        ([control("sharpness", "good", "blurred"), STATE], [picked("sharpness", "good"), picked("state", "defective")],
         False, {"defect": "tag"}),
        ([control("sharpness", "good", "blurred"), STATE], [picked("sharpness", "good")], False, {}),
        ([control("camera", "left", "right"), STATE], [picked("camera", "left")], False, {}),
        ([control("camera", "left", "right"), STATE], [picked("camera", "left"), picked("state", "normal")], True, {}),
        # words that nobody has explained
        ([control("state", "No defect", "Defect")], [picked("state", "No defect")], False, {}),
        ([control("state", "No defect", "Defect")], [picked("state", "Defect")], False, {}),
        ([control("state", "i.O.", "n.i.O.")], [picked("state", "i.O.")], False, {}),
        # plain opposites and defect types explain each other
        ([control("result", "OK", "NOK")], [picked("result", "OK")], True, {}),
        ([control("result", "OK", "not OK")], [picked("result", "not OK")], False, {"defect": "tag"}),
        ([control("kind", "good", "scratch", "dent")], [picked("kind", "dent")], False, {"dent": "tag"}),
        ([control("kind", "scratch", "dent")], [picked("kind", "scratch")], False, {"scratch": "tag"}),
        ([control("done", "normal")], [picked("done", "normal")], True, {}),
        ([control("state", "normal", "defective", "unsure")], [picked("state", "unsure")], False, {}),
        # a taxonomy, and choices in choices
        ([control("tax", "Defect", "Scratch", "OK")], [picked("tax", ["Defect", "Scratch"], kind="taxonomy")], False,
         {"scratch": "tag"}),
        ([control("tax", "Defect", "Scratch", "OK")], [picked("tax", ["OK"], kind="taxonomy")], True, {}),
        ([control("state", "OK", "Defect", "Scratch")], [picked("state", ["Defect", "Scratch"])], False,
         {"scratch": "tag"}),
        # nothing that speaks of defects
        ([STATE], [{"id": "n", "from_name": "note", "type": "textarea", "value": {"text": ["fine"]}}], False, {}),
        ([STATE], [{"id": "n", "from_name": "stars", "type": "rating", "value": {"rating": 5}}], False, {}),
        ([STATE], [picked("state", "normal"), picked("state", "defective")], False, {}),
    ],
)  # fmt: skip
def test_only_a_statement_about_defects_is_one(
    controls: list[StatementControl], result: list[dict[str, Any]], normal: bool, kinds: dict[str, str]
) -> None:
    words = Vocabulary(("scratch", "dent"), ("normal", "good", "ok", "defect-free"), (), tuple(controls))
    statement = read(*result, words=words)
    assert (statement.normal, statement.kinds) == (normal, kinds)


def test_what_a_person_assigned_counts_before_any_word() -> None:
    said: Any = {"state": {"i.O.": "normal", "n.i.O.": "defective"}, "quality": {"good": "nothing"}}
    words = Vocabulary(
        ("scratch",),
        ("good",),
        (),
        (
            control("state", "i.O.", "n.i.O."),
            control("quality", "good", "bad"),
            control("shift", "early", "late"),
        ),
        said,
    )
    assert read(picked("state", "i.O."), words=words).normal
    assert read(picked("state", "n.i.O."), words=words).kinds == {"defect": "tag"}
    assert not read(picked("quality", "good"), words=words).normal
    assert [one.name for one in words.unclear] == ["shift"]


# --- what cannot be read


def test_label_removed_from_the_config() -> None:
    """A label that was renamed or deleted: its regions are left out in words, and the image is not a normal one."""
    statement = read(brush(block(1, 1, 5, 5), "rust"), brush(block(8, 8, 12, 12), "dent", "b"))
    assert statement.kinds == {"dent": "mask"}
    assert statement.problems == (
        'The label "rust" is no longer in the labeling config; its regions were left out.',
    )
    assert not read(brush(block(1, 1, 5, 5), "rust")).normal
    assert not read(brush(block(1, 1, 5, 5), "rust"), choice("normal")).normal
    assert read(brush(block(1, 1, 5, 5), "rust"), words=Vocabulary()).kinds == {"rust": "mask"}
    assert read(brush(block(1, 1, 5, 5), "SCRATCH")).kinds == {"scratch": "mask"}


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({**brush(block(1, 1, 5, 5)), "original_width": 99}, "values"),
    ({**brush(block(1, 1, 5, 5)), "original_width": None}, "whole pixels"),
    ({**brush(block(1, 1, 5, 5, (48, 20)))}, "painted on a picture of 20 x 48"),
    (region("brushlabels", "scratch"), "list of bytes"),
    (
        {**brush(block(1, 1, 5, 5)), "value": {"rle": [1, 2], "brushlabels": ["scratch"]}},
        "ends inside its header",
    ),
    (region("polygonlabels", "scratch", points=[[1, 1], [2, 2]]), "three points"),
    (region("polygonlabels", "scratch", points=[[1, 1], [2, 2], "x"]), "pairs"),
    (region("rectanglelabels", "scratch", x=1, y="a", width=1, height=1), "must be a number"),
    (region("rectanglelabels", "scratch", x=1, y=1e5, width=1, height=1), "far outside"),
    (region("ellipselabels", "scratch", x=1, y=math.nan, radiusX=1, radiusY=1), "no coordinate"),
]


@pytest.mark.parametrize(("broken", "words"), BROKEN)
def test_malformed_regions_are_left_out_in_words(broken: dict[str, Any], words: str) -> None:
    """Reliability row 7: that a defect is there is still known; where the good regions are, too."""
    label, problems = draw_label(read(broken), "scratch", *SHAPE, {})
    assert words in problems[0]
    assert label is not None
    assert label.kind == "tag"
    good = brush(block(10, 10, 20, 20), name="good")
    label, problems = draw_label(read(broken, good), "scratch", *SHAPE, {})
    assert len(problems) == 1
    assert label is not None
    np.testing.assert_array_equal(label.target > 0, block(10, 10, 20, 20))


def test_a_type_that_is_not_known_here_is_named() -> None:
    assert "bitmask" in read(region("bitmask", "scratch")).problems[0]
    assert "has no label" in read(brush(block(1, 1, 5, 5), None)).problems[0]


def test_an_empty_mask_says_nothing() -> None:
    assert draw_label(read(brush(block(0, 0, 0, 0))), "scratch", *SHAPE, {}) == (None, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(
    ["brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "choices", "labels", "x"]
)
NAMES = st.sampled_from(
    ["rle", "points", "x", "y", "width", "height", "radiusX", "rotation", "choices", "labels"]
)


@given(
    KINDS,
    st.dictionaries(NAMES, JSON, max_size=6) | JSON,
    JSON,
    JSON,
)
def test_whatever_a_result_holds_is_read_or_left_out(kind: str, value: Any, size: Any, name: Any) -> None:
    """Reliability row 7, fuzzed."""
    if isinstance(value, dict):
        value = {kind: ["scratch"], **value}
    item = {"type": kind, "id": name, "value": value, "original_width": size, "original_height": size}
    statement = read(item)
    for type_ in statement.kinds:
        label, problems = draw_label(statement, type_, *SHAPE, {})
        assert label is None or (label.target.min() >= 0 and label.target.max() <= 1)
        assert all(problem.endswith(".") for problem in problems)


# --- accepted answers


def answer(
    mask: NDArray[np.bool_],
    probability: NDArray[np.float32],
    clicks: tuple[tuple[float, float, bool], ...] = (),
    region_id: str = "r1",
) -> Answer:
    return Answer(
        project="1",
        task_id=1,
        region=region_id,
        label="scratch",
        clicks=clicks,
        sha="a" * 64,
        model_version="v1",
        references=(),
        size=(mask.shape[0], mask.shape[1]),
        mask_rle=pack_mask(encode_rle(mask)),
        map_size=(probability.shape[0], probability.shape[1]),
        map_bytes=pack_map(probability),
        answered=0.0,
    )


SQUARE = block(12, 16, 36, 48)
MAP = np.where(SQUARE, 0.8, 0.1).astype(np.float32)


def test_an_accepted_mask_is_its_probability_map_strengthened_round_the_clicks() -> None:
    """Eq. 8."""
    clicks = ((32.5, 24.5, True), (4.5, 4.5, False))
    label = drawn(brush(SQUARE), answers={"r1": answer(SQUARE, MAP, clicks)})
    assert label.kind == "clicked"
    assert not label.certain.any()
    assert label.target[24, 32] == label.target[24, 34] == 1
    assert label.target[4, 4] == 0
    assert label.target[14, 18] == pytest.approx(0.8, abs=0.01)
    assert label.target[44, 60] == pytest.approx(0.1, abs=0.01)


def test_a_map_in_the_working_frame_is_enlarged_and_its_clicks_with_it() -> None:
    large = block(48, 64, 144, 192, (192, 256))
    label = drawn(
        brush(large), answers={"r1": answer(large, MAP, ((255.99999, 191.99999, False),))}, shape=(192, 256)
    )
    assert label.target[96, 128] == pytest.approx(0.8, abs=0.01)
    assert label.target[191, 255] == 0
    assert not label.certain.any()


def test_what_was_changed_by_hand_is_certain_and_the_border_is_not() -> None:
    final = SQUARE.copy()
    final[:, 40:] = False  # erased
    final[40:46, 4:12] = True  # painted
    label = drawn(brush(final), answers={"r1": answer(SQUARE, MAP)})
    assert label.kind == "clicked"
    np.testing.assert_array_equal(label.target[label.certain] > 0, final[label.certain])
    assert label.certain[43, 8]
    assert label.target[43, 8] == 1
    assert label.certain[24, 44]
    assert label.target[24, 44] == 0
    assert not label.certain[24, 20]
    moved = np.roll(SQUARE, 2, axis=1)  # Label Studio draws the mask anew: no hand did this
    assert not drawn(brush(moved), answers={"r1": answer(SQUARE, MAP)}).certain.any()


def test_a_speck_that_the_accepted_mask_left_out_is_no_defect() -> None:
    speckled = MAP.copy()
    speckled[0:9, 50:64] = 0.9
    label = drawn(brush(SQUARE), answers={"r1": answer(SQUARE, speckled)})
    assert label.target[2, 60] == 0
    assert label.certain[2, 60]


def test_two_accepted_masks_of_one_type_do_not_erase_each_other() -> None:
    left, right = block(10, 5, 30, 25), block(10, 35, 30, 60)
    maps = [np.where(mask, 0.8, 0.05).astype(np.float32) for mask in (left, right)]
    not_me = (47.5, 20.5, False)  # "not this" of the first is the second
    answers = {"a": answer(left, maps[0], (not_me,), "a"), "b": answer(right, maps[1], (), "b")}
    label = drawn(brush(left, name="a"), brush(right, name="b"), answers=answers)
    assert label.target[20, 15] == pytest.approx(0.8, abs=0.01)
    assert label.target[20, 47] == pytest.approx(0.8, abs=0.01)


def test_an_accepted_mask_beside_a_painted_one_and_inside_a_box() -> None:
    painted = block(40, 2, 46, 12)
    label = drawn(brush(SQUARE), brush(painted, name="p"), answers={"r1": answer(SQUARE, MAP)})
    assert label.kind == "clicked"
    assert label.certain[painted].all()
    assert (label.target[painted] == 1).all()
    label = drawn(brush(SQUARE), rectangle(0, 40, 10, 6, name="b"), answers={"r1": answer(SQUARE, MAP)})
    assert label.kind == "box"
    np.testing.assert_array_equal(label.certain, SQUARE)


def test_the_newest_annotation_counts_unless_it_was_skipped() -> None:
    def one(number: int, at: float, skipped: bool = False) -> Any:
        return {"id": number, "result": [], "was_cancelled": skipped, "changed_at": at}

    assert newest([one(1, 5.0), one(2, 9.0, True), one(3, 7.0)])["id"] == 3  # type: ignore[index]
    assert newest([one(1, 5.0, True)]) is None
    assert newest([]) is None


def _merged_at_once(masks: list[_Mask]) -> WeakLabel:
    """The label of all regions of a type, from all of them at once."""
    union = np.any([each.pixels for each in masks], axis=0)
    kind = max((each.kind for each in masks), key=("mask", "clicked", "box").index)
    if kind == "mask":
        return WeakLabel(kind, union.astype(np.float32), np.ones(union.shape, bool))
    certain = np.zeros(union.shape, bool)
    for each in masks:
        if each.kind == "mask" or (kind == "box" and each.kind == "clicked"):
            certain |= each.pixels
    if kind == "box":
        return WeakLabel(kind, union.astype(np.float32), certain)
    target = certain.astype(np.float32)
    for each in masks:
        if each.target is not None and each.by_hand is not None:
            target, certain = np.maximum(target, each.target), certain | each.by_hand
    return WeakLabel(kind, np.where(certain, union, target).astype(np.float32), certain)


@pytest.mark.parametrize(
    "kinds", ["m", "c", "b", "mc", "cm", "mb", "bm", "cb", "bc", "mcb", "cbmcbm", "ccmm"]
)
def test_regions_that_are_merged_one_by_one_are_the_same_to_the_digit(kinds: str) -> None:
    rng = np.random.default_rng(len(kinds))
    masks = []
    for letter in kinds:
        pixels, by_hand = rng.random(SHAPE) < 0.3, rng.random(SHAPE) < 0.1
        target = np.where(by_hand, pixels, rng.random(SHAPE)).astype(np.float32)
        known = (target, by_hand) if letter == "c" else ()
        masks.append(_Mask({"m": "mask", "c": "clicked", "b": "box"}[letter], pixels, *known))  # type: ignore[arg-type]
    expected, merged = _merged_at_once(masks), _Merged(*SHAPE)
    for mask in masks:
        merged.add(mask)
    found = merged.label()
    assert found is not None
    assert found.kind == expected.kind
    assert (found.target == expected.target).all() and found.target.dtype == np.float32
    assert (found.certain == expected.certain).all()
