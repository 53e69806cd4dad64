"""Tasks with several images: what is clicked, painted or said of one of them is never taken for another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import unescape
from io import BytesIO
from typing import Any

import pytest

from adclick_backend.training.training_set import build_training_set
from tests.helpers.backend import Backend, annotation, mask_of, square
from tests.helpers.dashboard import page, png, send
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.labels import annotated, brush, choice
from tests.helpers.real_configs import TWO_IMAGES, clicked, two_images

EMPTY = {"results": [{"result": [], "score": 0}]}
SHARED = (
    '<View><Image name="front" value="$front"/><Image name="back" value="$back"/>'
    '<BrushLabels name="brush" toName="front,back" smart="false"><Label value="scratch"/></BrushLabels>'
    '<KeyPointLabels name="click" toName="front,back" smart="true"><Label value="scratch"/></KeyPointLabels></View>'
)


STATED = TWO_IMAGES.replace(
    "</View>",
    '<Choices name="s1" toName="front"><Choice value="normal"/><Choice value="defective"/></Choices>'
    '<Choices name="s2" toName="back"><Choice value="normal"/><Choice value="defective"/></Choices>'
    '<Choices name="both" toName="front,back"><Choice value="normal"/><Choice value="defective"/></Choices></View>',
)


@pytest.fixture
def sides(backend: Backend) -> dict[str, Any]:
    """A task with a defect on each side, at different places."""
    backend.setup(config=TWO_IMAGES)
    return two_images(backend.draw("front.png", [(20, 20, 200)]), backend.draw("back.png", [(44, 30, 220)]))


def click(backend: Backend, task: dict[str, Any], *points: dict[str, Any], config: str = TWO_IMAGES) -> Any:
    return backend.click(task, points, config=config).json


def last_problem(backend: Backend) -> str:
    (problem,) = backend.services.store.problems.latest("1")
    return problem.sentence


def test_a_config_whose_images_have_a_brush_and_key_points_each_is_ready(backend: Backend) -> None:
    answer = backend.setup(config=TWO_IMAGES).json
    assert answer.keys() == {"model_version", "message"}
    assert '"k1" is answered with a mask in "b1"' in answer["message"]
    assert '"k2" is answered with a mask in "b2"' in answer["message"]


@pytest.mark.parametrize(
    ("names", "brush_name", "to_name", "place"),
    [
        (("k1", "front"), "b1", "front", (20, 20)),
        (("k2", "back"), "b2", "back", (44, 30)),
        (("k2", ""), "b2", "back", (44, 30)),
        (("", "back"), "b2", "back", (44, 30)),
    ],
)
def test_a_click_is_answered_on_its_own_image(
    backend: Backend,
    sides: dict[str, Any],
    names: tuple[str, str],
    brush_name: str,
    to_name: str,
    place: tuple[int, int],
) -> None:
    (answer,) = click(backend, sides, clicked(*place, *names))["results"]
    (region,) = answer["result"]
    assert (region["from_name"], region["to_name"]) == (brush_name, to_name)
    assert (mask_of(region) == square(*place)).all()


def test_clicks_on_two_images_are_two_objects_even_at_the_same_place(backend: Backend) -> None:
    task = two_images(backend.draw("front.png", [(20, 20, 200)]), backend.draw("back.png", [(20, 20, 220)]))
    regions = []
    for names in (("k1", "front"), ("k2", "back")):
        (answer,) = click(backend, task, clicked(20, 20, *names, id=None))["results"]
        regions += answer["result"]
    assert regions[0]["id"] != regions[1]["id"]
    assert [len(clicks) for _, _, clicks in backend.engine.clicked] == [1, 1]


def test_points_of_another_image_in_one_request_are_left_out(backend: Backend, sides: dict[str, Any]) -> None:
    (answer,) = click(backend, sides, clicked(20, 20, "k1", "front"), clicked(44, 30, "k2", "back", id="b"))[
        "results"
    ]
    assert [region["to_name"] for region in answer["result"]] == ["back"]
    assert (mask_of(answer["result"][0]) == square(44, 30)).all()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("", ""), 'does not say which of the images "front", "back"'),
        (("k1", "back"), 'is about "back", but "k1" belongs to "front"'),
        (("k1", "side"), 'is about "side", but the images of the labeling config are "front", "back"'),
        (("k9", "back"), 'came from "k9", but the labeling config has "k2" for clicks on "back"'),
        (("b2", "back"), 'came from "b2"'),
    ],
)
def test_a_click_whose_image_nobody_can_tell_is_refused_in_words(
    backend: Backend, sides: dict[str, Any], names: tuple[str, str], sentence: str
) -> None:
    assert click(backend, sides, clicked(44, 30, *names)) == EMPTY
    assert sentence in last_problem(backend)


def test_one_control_for_two_images_is_refused_in_one_sentence(
    backend: Backend, sides: dict[str, Any]
) -> None:
    answer = backend.setup(config=SHARED).json
    assert len(answer["problems"]) == 2
    assert 'The <KeyPointLabels> "click" has toName="front,back"' in answer["problems"][1]
    assert click(backend, sides, clicked(44, 30, "click", "front,back"), config=SHARED) == EMPTY
    assert "toName=" in last_problem(backend)
    corrected = answer["labeling_config"]
    assert backend.setup(config=corrected).json.keys() == {"model_version", "message"}
    assert any('<KeyPointLabels> "click_back"' in change for change in answer["changes"])


def test_an_image_to_look_at_beside_the_clicked_one_is_said(backend: Backend, sides: dict[str, Any]) -> None:
    config = TWO_IMAGES.replace('toName="back"', 'toName="front"').replace("k2", "k3").replace("b2", "b3")
    problems = backend.setup(config=config).json["problems"]
    assert any('There are 2 images ("front", "back"); only "front"' in problem for problem in problems)
    assert click(backend, sides, clicked(44, 30, "", "back"), config=config) == EMPTY
    assert 'The image "back" cannot be clicked on.' in last_problem(backend)


def test_each_image_is_compared_with_references_of_its_own(
    make_backend: Callable[..., Backend],
) -> None:
    backend = make_backend(product_field="part")
    backend.setup(config=TWO_IMAGES)
    good = two_images(backend.draw("f.png"), backend.draw("b.png", grey=120), part="cap")
    saved = annotation(1, (), task=1)
    backend.webhook("ANNOTATION_CREATED", annotation=saved, task=good, headers=None)
    backend.work()
    rows = backend.services.store.references.of_project("1")
    assert {(row.product, row.name) for row in rows} == {("front/cap", "f.png"), ("back/cap", "b.png")}
    task = two_images(
        backend.draw("1.png", [(20, 20, 200)]), backend.draw("2.png", [(44, 30, 220)]), 2, part="cap"
    )
    click(backend, task, clicked(44, 30, "k2", "back"))
    _, bank, _ = backend.engine.clicked[-1]
    assert bank.product == "back/cap"
    assert bank.references == tuple(row.sha for row in rows if row.product == "back/cap")
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    assert backend.services.store.references.of_project("1") == []


@pytest.mark.parametrize(
    ("result", "products"),
    [
        ([], {"front", "back"}),
        ([{**choice("normal"), "to_name": "back", "from_name": "s2"}], {"back"}),
        ([{**brush(square(20, 20)), "from_name": "b1", "to_name": "front"}], set()),
        (
            [
                {**brush(square(20, 20)), "from_name": "b1", "to_name": "front"},
                {**choice("normal"), "to_name": "back", "from_name": "s2"},
            ],
            {"back"},
        ),
        ([{**choice("normal"), "to_name": "front", "from_name": "both"}], set()),
    ],
)
def test_only_the_image_that_was_called_normal_becomes_a_reference(
    backend: Backend, sides: dict[str, Any], result: list[dict[str, Any]], products: set[str]
) -> None:
    backend.setup(config=STATED)
    saved = {**annotation(1, ()), "result": result}
    backend.webhook("ANNOTATION_CREATED", annotation=saved, task=sides)
    assert {row.product for row in backend.services.store.references.of_project("1")} == products


def test_an_uploaded_reference_says_which_image_it_shows(backend: Backend) -> None:
    backend.setup(config=TWO_IMAGES)
    assert '<option value="back">' in page(backend, "/projects/1/references")
    route = "/projects/1/references"
    refused = send(backend, route, images=(BytesIO(png()), "a.png"))
    assert refused.status_code == 400
    assert "Say which of them the files show" in unescape(refused.text)
    assert send(backend, route, images=(BytesIO(png()), "a.png"), product="back").status_code == 303
    assert [row.product for row in backend.services.store.references.of_project("1")] == ["back"]


def test_an_annotation_that_changes_its_mind_about_one_image_keeps_the_other(
    backend: Backend, sides: dict[str, Any]
) -> None:
    backend.setup(config=STATED)
    backend.webhook("ANNOTATION_CREATED", annotation=annotation(1, ()), task=sides)
    before = {row.product: row.id for row in backend.services.store.references.of_project("1")}
    normal = {**choice("normal"), "to_name": "back", "from_name": "s2"}
    later = {**annotation(1, (), at="2026-11-22T09:12:00Z"), "result": [normal]}
    backend.webhook("ANNOTATION_UPDATED", annotation=later, task=sides)
    rows = backend.services.store.references.of_project("1")
    assert [(row.product, row.id) for row in rows] == [("back", before["back"])]


@pytest.fixture
def label_studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as fake:
        yield fake


def test_what_is_painted_on_the_second_image_is_learned_of_that_image(
    make_backend: Callable[..., Backend], label_studio: FakeLabelStudio
) -> None:
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup(config=TWO_IMAGES)
    data = two_images(backend.draw("front.png"), backend.draw("back.png", [(44, 30, 220)]))["data"]
    painted = {**brush(square(44, 30)), "from_name": "b2", "to_name": "back"}
    saved = annotated(1, [painted])
    label_studio.tasks = [{"id": 1, "data": data, "annotations": [saved], "predictions": []}]
    backend.webhook("ANNOTATION_CREATED", annotation=saved, task={"id": 1, "data": data})
    backend.work()
    rows = {row.image: row for row in backend.services.store.labels.of_project("1")}
    assert rows.keys() == {"front", "back"}
    assert backend.services.labels.details("1").types == {"scratch": {"mask": 1}}
    assert backend.services.labels.details("1").unusable == 0

    assert backend.sync() == ""
    training_set = build_training_set("1", backend.services)
    assert training_set.skipped == []
    (image,) = training_set.images
    assert image.product == "back"
    assert (image.labels["scratch"].certain & (image.labels["scratch"].target > 0.5) == square(44, 30)).all()
    rows = {row.image: row for row in backend.services.store.labels.of_project("1")}
    assert image.name == rows["back"].sha != rows["front"].sha


def test_a_region_of_no_image_is_left_out_in_words(
    make_backend: Callable[..., Backend], label_studio: FakeLabelStudio
) -> None:
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup(config=TWO_IMAGES)
    data = two_images(backend.draw("front.png"), backend.draw("back.png"))["data"]
    strays = [
        {**brush(square(44, 30), name="a"), "from_name": "b2", "to_name": "side"},
        {**brush(square(44, 30), name="b"), "from_name": "b2", "to_name": "front"},
    ]
    label_studio.tasks = [{"id": 1, "data": data, "annotations": [annotated(1, strays)]}]
    assert backend.sync() == ""
    training_set = build_training_set("1", backend.services)
    assert training_set.images == []
    assert len(training_set.skipped) == 2
    assert 'is about "side"' in training_set.skipped[0]
    assert '"b2" belongs to "back"' in training_set.skipped[1]


def test_the_labels_of_a_config_with_one_image_go_on_when_it_gets_a_second(
    make_backend: Callable[..., Backend], label_studio: FakeLabelStudio
) -> None:
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    one = TWO_IMAGES.replace('<Image name="back" value="$back"/>', "")
    one = one[: one.index('<BrushLabels name="b2"')] + "</View>"
    backend.setup(config=one)
    data = two_images(backend.draw("front.png"), backend.draw("back.png"))["data"]
    painted = {**brush(square(20, 20)), "from_name": "b1", "to_name": "front"}
    label_studio.tasks = [{"id": 1, "data": data, "annotations": [annotated(1, [painted])]}]
    backend.sync()
    assert [row.image for row in backend.services.store.labels.of_project("1")] == [""]
    backend.setup(config=TWO_IMAGES)
    backend.sync()
    assert [row.image for row in backend.services.store.labels.of_project("1")] == ["back", "front"]
    (image,) = build_training_set("1", backend.services).images
    assert image.product == "front"


def test_each_image_of_an_opened_task_gets_its_own_proposal(backend: Backend, sides: dict[str, Any]) -> None:
    backend.serve_version()
    (answer,) = backend.open_tasks([sides], label_config=TWO_IMAGES).json["results"]
    masks = {region["to_name"]: region for region in answer["result"]}
    assert {name: region["from_name"] for name, region in masks.items()} == {"front": "b1", "back": "b2"}
    assert (mask_of(masks["front"]) == square(20, 20)).all()
    assert (mask_of(masks["back"]) == square(44, 30)).all()
    assert len({region["id"] for region in answer["result"]}) == 2


def test_a_task_that_lacks_one_of_the_images_is_answered_with_the_others(backend: Backend) -> None:
    backend.setup(config=TWO_IMAGES)
    backend.serve_version()
    task = two_images(backend.draw("front.png", [(20, 20, 200)]), "")
    (answer,) = backend.open_tasks([task], label_config=TWO_IMAGES).json["results"]
    assert [region["to_name"] for region in answer["result"]] == ["front"]
    assert backend.services.store.problems.latest("1") == []


def test_submitting_ends_the_clicks_on_every_image(backend: Backend, sides: dict[str, Any]) -> None:
    click(backend, sides, clicked(44, 30, "k2", "back"))
    backend.webhook("ANNOTATION_CREATED", annotation=annotation(1, ()), task=sides)
    click(backend, sides, clicked(46, 30, "k2", "back", id="next"))
    _, _, clicks = backend.engine.clicked[-1]
    assert len(clicks) == 1
