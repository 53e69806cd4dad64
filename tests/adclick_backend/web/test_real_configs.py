"""Labeling configs of real projects: what `/setup` promises is what a click gets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.backend import HEIGHT, WIDTH, Backend, mask_of, square
from tests.helpers.real_configs import CONFIGS, clicked, drawn

EMPTY = {"results": [{"result": [], "score": 0}]}
READY = {"model_version", "message"}


def ask(backend: Backend, config: str, data: dict[str, Any], *regions: dict[str, Any]) -> Any:
    task = {"id": 1, "data": data, "annotations": [], "predictions": [], "drafts": []}
    return backend.click(task, regions, config=config).json


def last_problem(backend: Backend) -> str:
    (problem,) = backend.services.store.problems.latest("1")
    return problem.sentence


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$photo.url", {"photo": {"url": "{}"}}),
        ("$photo.url", {"photo.url": "{}"}),
        ("$images[0]", {"images": ["{}", "other.png"]}),
        ("$shots[1].url", {"shots": [{"url": "other.png"}, {"url": "{}"}]}),
        ("/data/local-files/?d=$file", {"file": "{name}"}),
        ("/data/local-files/?number=$number&amp;d=$file", {"number": 7, "file": "{name}"}),
        ("/data/local-files/?d=$folder$file", {"folder": "part_", "file": "7.png"}),
    ],
)
def test_an_address_put_together_from_the_task_gets_the_mask(
    backend: Backend, value: str, data: dict[str, Any]
) -> None:
    url = backend.draw("part_7.png", [(20, 20, 200)])

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: filled(one) for key, one in part.items()}
        if isinstance(part, list):
            return [filled(one) for one in part]
        return part.replace("{}", url).replace("{name}", "part_7.png") if isinstance(part, str) else part

    config = CONFIGS["nested field"].replace("$photo.url", value)
    assert backend.setup(config=config).json.keys() == READY
    (answer,) = ask(backend, config, filled(data), clicked(20, 20))["results"]
    assert (mask_of(answer["result"][0]) == square(20, 20)).all()


def test_the_configs_of_the_nested_field_and_of_the_prefix_are_ready_as_they_are(backend: Backend) -> None:
    for name in ("nested field", "prefix and field"):
        assert backend.setup(config=CONFIGS[name]).json.keys() == READY


@pytest.mark.parametrize(
    "data", [{}, {"photo": "a.png"}, {"photo": {"url": 7}}, {"photo": {"link": "a.png"}}]
)
def test_a_task_without_the_nested_field_is_said(backend: Backend, data: dict[str, Any]) -> None:
    assert ask(backend, CONFIGS["nested field"], data, clicked(20, 20)) == EMPTY
    assert "takes the image from the task's field 'photo.url', but the task has the fields" in last_problem(
        backend
    )


def test_a_wrong_prefix_is_never_replaced_by_a_field_that_the_tasks_lack(backend: Backend) -> None:
    config = CONFIGS["prefix and field"].replace(' smart="false"', "")
    corrected = backend.setup(config=config).json["labeling_config"]
    assert 'value="/data/upload/1/$file"' in corrected


@pytest.mark.parametrize(
    ("tag", "labels"),
    [
        ("BitmaskLabels", True), ("Bitmask", False), ("BrushLabels", True), ("Brush", False), ("MagicWand", False),
        ("RectangleLabels", True), ("Rectangle", False), ("KeyPoint", False),
    ],
)  # fmt: skip
def test_a_smart_tool_before_the_key_points_is_named_with_the_attribute_to_change(
    backend: Backend, tag: str, labels: bool
) -> None:
    """Measured in Label Studio 1.23.2: the first press of the purple tool takes this one, and no click is sent."""
    inside = '<Label value="hole"/>' if labels else ""
    config = CONFIGS["bitmask labels before the key points"]
    start = config.index("<BitmaskLabels")
    end = config.index("</BitmaskLabels>") + len("</BitmaskLabels>")
    config = f'{config[:start]}<{tag} name="pix" toName="image">{inside}</{tag}>{config[end:]}'
    answer = backend.setup(config=config).json
    assert f'The <{tag}> "pix" needs smart="false"' in answer["problems"][0]
    assert f'<{tag}> "pix" gets smart="false".' in answer["changes"]
    again = backend.setup(config=answer["labeling_config"]).json
    if tag == "BrushLabels":  # two brushes on one image are for a person to decide
        assert [problem[:27] for problem in again["problems"]] == ["There are 2 <BrushLabels> ("]
    else:
        assert again.keys() == READY


@pytest.mark.parametrize("tag", ["PolygonLabels", "EllipseLabels", "VectorLabels"])
def test_tools_that_have_no_smart_copy_are_left_alone(backend: Backend, tag: str) -> None:
    config = CONFIGS["bitmask labels before the key points"].replace("BitmaskLabels", tag)
    assert backend.setup(config=config).json.keys() == READY


def test_a_label_comes_back_exactly_as_it_is_written(backend: Backend) -> None:
    config = CONFIGS["label with a space at its end"]
    url = backend.draw("a.png", [(20, 20, 200)])
    (answer,) = ask(backend, config, {"image": url}, clicked(20, 20, label="scratch "))["results"]
    assert answer["result"][0]["value"]["brushlabels"] == ["scratch "]
    (answer,) = ask(backend, config, {"image": url}, clicked(20, 20, label="Scratch"))["results"]
    assert answer["result"][0]["value"]["brushlabels"] == ["scratch "]


def test_of_two_brushes_on_one_image_the_one_with_the_label_is_painted_with(backend: Backend) -> None:
    config = (
        '<View><Image name="image" value="$image"/>'
        '<BrushLabels name="b1" toName="image" smart="false"><Label value="scratch"/></BrushLabels>'
        '<KeyPointLabels name="k1" toName="image"><Label value="scratch"/></KeyPointLabels>'
        '<BrushLabels name="b2" toName="image" smart="false"><Label value="dent"/></BrushLabels>'
        '<KeyPointLabels name="k2" toName="image"><Label value="dent"/></KeyPointLabels></View>'
    )
    data = {"image": backend.draw("a.png", [(20, 20, 200)])}
    for key_points, brush, label in (("k1", "b1", "scratch"), ("k2", "b2", "dent")):
        point = {**clicked(20, 20, key_points, label=label), "id": key_points}
        (region,) = ask(backend, config, data, point)["results"][0]["result"]
        assert (region["from_name"], region["value"]["brushlabels"]) == (brush, [label])
    assert ask(backend, config, data, clicked(20, 20, "k2", label="stain")) == EMPTY
    assert '"stain" was clicked, but the brush labels are scratch, dent' in last_problem(backend)


def test_a_list_of_images_is_said_and_corrected_to_its_first(backend: Backend) -> None:
    config = CONFIGS["list of images"]
    answer = backend.setup(config=config).json
    assert 'shows a list of images (valueList="$images")' in answer["problems"][0]
    assert "valueList" not in answer["labeling_config"]
    assert any("it shows the first image of the list, and no other" in change for change in answer["changes"])
    url = backend.draw("a.png", [(20, 20, 200)])
    data = {"images": [url, url]}
    assert ask(backend, config, data, clicked(20, 20)) == EMPTY
    assert "list of images" in last_problem(backend)
    backend.setup(config=answer["labeling_config"])
    (mended,) = ask(backend, answer["labeling_config"], data, clicked(20, 20))["results"]
    assert (mask_of(mended["result"][0]) == square(20, 20)).all()


def test_a_repeater_is_said_and_nothing_is_promised(backend: Backend) -> None:
    config = CONFIGS["nested field"].replace("$photo.url", "$images[{{i}}].url")
    config = config.replace("<Image ", '<Repeater on="$images" indexFlag="{{i}}"><Image ')
    config = config.replace('value="$images[{{i}}].url"/>', 'value="$images[{{i}}].url"/></Repeater>')
    answer = backend.setup(config=config).json
    assert "stands in a <Repeater>" in answer["problems"][0]
    assert "labeling_config" not in answer


def smart_rectangle(left: float, top: float, across: float, down: float, **more: Any) -> dict[str, Any]:
    """A smart rectangle in pixels."""
    sides = {"x": left / WIDTH, "y": top / HEIGHT, "width": across / WIDTH, "height": down / HEIGHT}
    percent = {name: 100 * side for name, side in sides.items()}
    return drawn("rectanglelabels", "box", "image", "scratch", **{**percent, "rotation": 0, **more})


def test_a_smart_rectangle_is_answered_with_the_mask_inside_it(backend: Backend) -> None:
    config = CONFIGS["smart rectangle"]
    assert backend.setup(config=config).json.keys() == READY
    data = {"image": backend.draw("a.png", [(20, 20, 200), (44, 30, 200)])}
    (answer,) = ask(backend, config, data, smart_rectangle(14, 14, 12, 12))["results"]
    (region,) = answer["result"]
    assert (region["type"], region["from_name"], region["value"]["brushlabels"]) == (
        "brushlabels",
        "brush",
        ["scratch"],
    )
    assert (mask_of(region) == square(20, 20)).all()  # and not what looks the same outside of it
    again = ask(backend, config, data, {**smart_rectangle(38, 24, 12, 12), "id": "r2"})["results"][0][
        "result"
    ][0]
    assert again["id"] != region["id"]
    assert (mask_of(again) == square(44, 30)).all()


def test_a_turned_rectangle_asks_for_what_is_inside_it_as_it_lies(backend: Backend) -> None:
    data = {"image": backend.draw("a.png", [(20, 20, 200)])}
    # Turned by a right angle round its first corner, it reaches to the left and down.
    turned = smart_rectangle(26, 14, 12, 12, rotation=90)
    (answer,) = ask(backend, CONFIGS["smart rectangle"], data, turned)["results"]
    assert (mask_of(answer["result"][0]) == square(20, 20)).all()


@pytest.mark.parametrize("broken", [{"width": None}, {"x": "left"}, {"rotation": "a bit"}])
def test_a_rectangle_without_a_place_is_said(backend: Backend, broken: dict[str, Any]) -> None:
    data = {"image": backend.draw("a.png", [(20, 20, 200)])}
    assert ask(backend, CONFIGS["smart rectangle"], data, smart_rectangle(14, 14, 12, 12, **broken)) == EMPTY
    assert "A rectangle needs x, y, width and height as numbers" in last_problem(backend)


@pytest.mark.parametrize("kind", ["ellipselabels", "polygonlabels", "brushlabels", "bitmasklabels"])
def test_another_smart_tool_is_answered_in_words(backend: Backend, kind: str) -> None:
    config = CONFIGS["smart rectangle"].replace("RectangleLabels", "BitmaskLabels")
    data = {"image": backend.draw("a.png")}
    assert ask(backend, config, data, drawn(kind, "box", "image", "scratch")) == EMPTY
    assert f'"{kind}" with "box"' in last_problem(backend)
    assert "choose the key points" in last_problem(backend)


def test_polygons_hand_their_labels_colours_and_keys_on(backend: Backend) -> None:
    config = CONFIGS["polygons only"].replace(
        '<Label value="dent"/>', '<Label value="dent" background="#ff0000" hotkey="d"/>'
    )
    answer = backend.setup(config=config).json
    corrected = answer["labeling_config"]
    assert backend.setup(config=corrected).json.keys() == READY
    assert '<Label value="defect"' not in corrected
    brush = corrected[corrected.index("<BrushLabels") : corrected.index("</BrushLabels>")]
    click = corrected[corrected.index("<KeyPointLabels") : corrected.index("</KeyPointLabels>")]
    for control, key in ((brush, "shift+1"), (click, "1")):
        assert f'<Label value="scratch" hotkey="{key}" />' in control
        assert '<Label value="dent" background="#ff0000"' in control
    assert 'hotkey="d"' in brush
    assert any('"dent" (background="#ff0000", hotkey="d")' in change for change in answer["changes"])


@pytest.mark.parametrize(
    "tag", ["BitmaskLabels", "Labels", "RectangleLabels", "EllipseLabels", "KeyPointLabels"]
)
def test_every_kind_of_control_hands_its_labels_on(backend: Backend, tag: str) -> None:
    answer = backend.setup(config=CONFIGS["polygons only"].replace("PolygonLabels", tag)).json
    corrected = answer["labeling_config"]
    assert backend.setup(config=corrected).json.keys() == READY
    assert corrected.count('value="scratch"') >= 2
    assert "defect" not in corrected.partition("<Choices")[0]
