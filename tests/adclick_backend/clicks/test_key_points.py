"""Key points of a context, as Label Studio and as careless clients send them."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adclick_backend.clicks.key_points import ClickError, ClickObject, read_context
from adclick_backend.config.labeling_config import LabelingConfig, parse_labeling_config, recommended_config
from model.clicks import Click

FIXTURES = Path(__file__).parents[2] / "fixtures"
CONFIG = parse_labeling_config(recommended_config(["scratch", "dent"]))


def read(context: object, *, config: LabelingConfig = CONFIG, max_clicks: int = 256) -> ClickObject | None:
    return read_context(context, config, background_labels=("background",), max_clicks=max_clicks)


def must_read(context: object, **options: Any) -> ClickObject:
    clicked = read(context, **options)
    assert clicked is not None
    return clicked


def key_point(x: object = 50, y: object = 50, label: str | None = "scratch", **fields: Any) -> dict[str, Any]:
    """A key point as Label Studio sends it, on an image of 200 x 100 pixels."""
    value: dict[str, Any] = {"x": x, "y": y, "width": 0.23}
    if label is not None:
        value |= {"labels": [label], "keypointlabels": [label]}
    point = {
        **{"id": f"{label} {x} {y}", "type": "keypointlabels", "from_name": "click", "to_name": "image"},
        **{"original_width": 200, "original_height": 100, "image_rotation": 0, "value": value},
        "is_positive": True,
    }
    return point | fields


def context(*points: object) -> dict[str, Any]:
    return {"result": list(points)}


def recorded(name: str) -> Any:
    requests = json.loads((FIXTURES / "requests_to_backend.json").read_text())
    return requests[f"POST /predict interactive, {name}"]["body"]["params"]["context"]


def test_recorded_clicks_of_a_browser() -> None:
    """Two clicks and an Alt-click on an image of 320 x 240 pixels."""
    clicked = must_read(recorded("3 region(s) +annotation"))
    assert [click.positive for click in clicked.clicks] == [True, True, False]
    assert clicked.clicks[0] == pytest.approx((0.4050146412884333 * 320, 0.40483162518301604 * 240, True))
    assert (clicked.label, clicked.width, clicked.height) == ("scratch", 320, 240)
    assert clicked.warnings == ()
    assert not clicked.background


def test_the_region_id_stays_while_clicks_are_added() -> None:
    contexts = [recorded(f"{count} region(s) +annotation") for count in (1, 2, 3)]
    assert len({must_read(each).region_id for each in contexts}) == 1
    assert must_read(recorded("3 region(s)")).region_id != must_read(contexts[0]).region_id


def test_a_recorded_background_click_is_negative() -> None:
    clicked = must_read(recorded("1 region(s) +draft"))
    assert clicked.background
    assert clicked.label == "background"
    assert [click.positive for click in clicked.clicks] == [False]  # though it says is_positive


BRUSH_REGION = {"type": "brushlabels", "value": {"format": "rle", "rle": [], "brushlabels": ["scratch"]}}


@pytest.mark.parametrize(
    "nothing",
    [
        None,
        {},
        {"result": []},
        recorded("0 region(s) +annotation"),
        context(BRUSH_REGION),
        context(
            {"type": "choices", "value": {"choices": ["normal"]}}, {"type": "keypointlabels"}, None, "x", 3
        ),
    ],
)
def test_a_context_without_key_points_is_no_click(nothing: object) -> None:
    assert read(nothing) is None


@pytest.mark.parametrize("malformed", [[], "x", 3, {"result": None}, {"result": {"0": key_point()}}])
def test_a_malformed_context_is_named(malformed: object) -> None:
    with pytest.raises(ClickError, match="a list of regions in 'result'"):
        read(malformed)


def test_other_regions_beside_the_key_points_are_passed_over() -> None:
    assert must_read(context(BRUSH_REGION, key_point(25, 75), None)).clicks == (Click(50, 75, True),)


@pytest.mark.parametrize(
    ("fields", "positive"),
    [
        ({}, True),
        ({"is_positive": False}, False),
        ({"is_positive": None}, True),
        ({"is_positive": 0}, False),
        ({"is_positive": None, "positive": False}, False),
        (
            {"is_positive": None, "value": {"x": 1, "y": 1, "keypointlabels": ["dent"], "positive": False}},
            False,
        ),
        ({"type": None}, True),
        ({"type": "keypoint", "value": {"x": 1, "y": 1, "labels": ["dent"]}}, True),
    ],
)
def test_every_way_to_say_what_is_positive(fields: dict[str, Any], positive: bool) -> None:
    assert [click.positive for click in must_read(context(key_point(**fields))).clicks] == [positive]


def test_a_missing_is_positive_is_positive() -> None:
    point = key_point()
    del point["is_positive"]
    assert must_read(context(point)).clicks[0].positive


def test_the_label_of_a_mixed_context_is_the_first_that_is_not_background() -> None:
    points = [key_point(1, 1, "background"), key_point(2, 2, "dent"), key_point(3, 3, "scratch")]
    clicked = must_read(context(*points))
    assert clicked.label == "dent"
    assert clicked.region_id == must_read(context(points[1])).region_id
    assert [click.positive for click in clicked.clicks] == [False, True, True]
    assert not clicked.background


def test_a_key_point_without_a_label_takes_the_only_one() -> None:
    one = parse_labeling_config(recommended_config(["scratch"]))
    assert must_read(context(key_point(label=None)), config=one).label == "scratch"
    assert must_read(context(key_point(label=None))).label == ""


def test_a_key_point_without_an_id_still_names_its_object() -> None:
    first, again, other = (must_read(context(key_point(x, id=None))) for x in (1, 1, 2))
    assert first.region_id == again.region_id != other.region_id
    assert first.region_id.startswith("adclick-")


@pytest.mark.parametrize("side", [None, 0, -1, 0.5, "200", True, math.nan, math.inf, 10**9, [200]])
@pytest.mark.parametrize("name", ["original_width", "original_height"])
def test_a_context_without_an_image_size_is_named(name: str, side: object) -> None:
    """reliability row 12"""
    with pytest.raises(ClickError, match=f"need the size of the image in pixels, but {name} is "):
        read(context(key_point() | {name: side}))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, "50", True, [50]])
def test_a_click_without_a_position_is_dropped_and_said(bad: object) -> None:
    """reliability row 12"""
    clicked = must_read(context(key_point(bad, 50), key_point(50, 50), key_point(50, bad)))
    assert clicked.clicks == (Click(100, 50, True),)
    assert clicked.warnings == ("2 of 3 clicks had no position and were dropped.",)
    assert clicked.region_id == must_read(context(key_point(bad, 50), key_point(1, 1))).region_id
    with pytest.raises(ClickError, match="None of the 1 key points has a position"):
        read(context(key_point(bad, 50)))


@pytest.mark.parametrize(
    ("percent", "pixel"),
    [
        ((-3, 50), (0.5, 50)),
        ((100, 50), (199.5, 50)),
        ((1e300, -1e300), (199.5, 0.5)),
        ((10**400, 50), (199.5, 50)),
        ((50, 100.001), (100, 99.5)),
    ],
)
def test_a_click_outside_the_image_moves_to_the_border_pixel(
    percent: tuple[float, float], pixel: tuple[float, float]
) -> None:
    """reliability row 12"""
    clicked = must_read(context(key_point(*percent), key_point(0, 0), key_point(99.999, 99.999)))
    assert clicked.clicks[0] == Click(*pixel, True)
    assert clicked.clicks[1] == Click(0, 0, True)
    assert clicked.clicks[2] == pytest.approx((199.998, 99.999, True))
    assert clicked.warnings == ("1 of 3 clicks lay outside the image and were moved to its edge.",)


def test_a_one_pixel_image_can_be_clicked() -> None:
    point = key_point(100, 100, original_width=1, original_height=1)
    assert must_read(context(point)).clicks == (Click(0.5, 0.5, True),)


def test_duplicates_count_once() -> None:
    """reliability row 12"""
    points = [key_point(1, 1, id=str(i), is_positive=i % 2 == 0) for i in range(8)]
    assert must_read(context(*points)).clicks == (Click(2, 1, True), Click(2, 1, False))


def test_of_thousands_of_clicks_the_newest_are_kept() -> None:
    """reliability row 12"""
    points = [key_point(i / 100, 50, id=str(i)) for i in range(5000)]
    began = time.perf_counter()
    clicked = must_read(context(*points))
    assert time.perf_counter() - began < 1
    assert len(clicked.clicks) == 256
    assert clicked.clicks[-1] == pytest.approx((99.98, 50, True))
    assert clicked.warnings == ("Only the newest 256 of 5000 clicks were used.",)
    assert clicked.region_id == must_read(context(points[0])).region_id


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
key_points = st.builds(
    key_point,
    st.floats() | st.integers() | anything,
    st.floats(-10, 110),
    st.sampled_from(["scratch", "background", None]),
    is_positive=anything,
    id=anything,
    original_width=st.just(200) | anything,
)


@settings(derandomize=True, deadline=None)
@given(st.lists(key_points | anything, max_size=12).map(lambda points: {"result": points}) | anything)
def test_whatever_comes_the_clicks_lie_inside_the_image(anything: object) -> None:
    """reliability row 12"""
    try:
        clicked = read(anything, max_clicks=4)
    except ClickError as error:
        assert str(error).endswith(".")
        return
    if clicked is None:
        return
    assert 1 <= len(clicked.clicks) == len(set(clicked.clicks)) <= 4
    assert all(0 <= x < clicked.width and 0 <= y < clicked.height for x, y, _ in clicked.clicks)
    assert all(type(positive) is bool for _, _, positive in clicked.clicks)
    if clicked.background:
        assert not any(positive for _, _, positive in clicked.clicks)


def test_a_label_that_is_an_item_of_its_own_is_the_key_points() -> None:
    """As Label Studio stores a <KeyPoint> with <Labels>."""
    point = key_point(label=None, type="keypoint", id="a")
    label = {"id": "a", "type": "labels", "value": {"labels": ["dent"]}}
    assert must_read(context(point, label)).label == "dent"
