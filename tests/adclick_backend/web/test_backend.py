"""Clicks through HTTP: what comes back, whatever arrives."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adclick_backend.brush.rle import encode_rle
from adclick_backend.labels.results import draw_label, read_result
from adclick_backend.web.backend import ADClickBackend
from tests.helpers.backend import CONFIG, HEIGHT, WIDTH, Backend, annotation, mask_of, point, square, task
from tests.helpers.fake_engine import BROKEN

EMPTY = {"results": [{"result": [], "score": 0}]}


def only_region(answer: Any) -> dict[str, Any]:
    (prediction,) = answer.json["results"]
    (region,) = prediction["result"]
    return region


def test_a_click_brings_one_region_that_label_studio_can_draw(backend: Backend) -> None:
    image = backend.draw("a b ü.png", [(20, 20, 250), (40, 30, 200)])
    answer = backend.click(task(image), [point(20, 20)])
    assert answer.status_code == 200
    region = only_region(answer)
    assert np.array_equal(mask_of(region), square(20, 20))
    region["value"].pop("rle")
    assert region.pop("id").startswith("adclick-")
    assert region == {
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"format": "rle", "brushlabels": ["scratch"]},
        "score": 0.8765,
    }
    assert answer.json["results"][0]["score"] == 0.8765
    assert answer.json["results"][0]["model_version"] == "fake-1"


def test_further_clicks_refine_the_same_region(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (40, 30, 200)])
    clicks = [point(20, 20), point(40, 30, name="kp2"), point(41, 31, name="kp3", positive=False)]
    regions = [only_region(backend.click(task(image), clicks[:count])) for count in (1, 2, 3)]
    assert len({region["id"] for region in regions}) == 1
    expected = [square(20, 20), square(20, 20) | square(40, 30), square(20, 20)]
    for region, mask in zip(regions, expected, strict=True):
        assert np.array_equal(mask_of(region), mask)


def test_a_background_click_corrects_the_object_being_clicked(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (40, 30, 200)])
    first = only_region(backend.click(task(image), [point(20, 20), point(40, 30, name="kp2")]))
    second = only_region(backend.click(task(image), [point(40, 30, "background", "kp9")]))
    assert second["id"] == first["id"]
    assert second["value"]["brushlabels"] == ["scratch"]
    assert np.array_equal(mask_of(second), square(20, 20))


def test_lone_clicks_of_auto_accept_grow_the_same_region(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (26, 30, 200)])
    first = only_region(backend.click(task(image), [point(20, 20)]))
    second = only_region(backend.click(task(image), [point(26, 30, name="other")]))
    assert second["id"] == first["id"]
    assert np.array_equal(mask_of(second), square(20, 20) | square(26, 30))


def test_clicks_are_answered_when_the_memory_of_clicks_is_damaged(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (26, 30, 200)])
    backend.click(task(image), [point(20, 20)])
    (backend.settings.data_dir / "clicks.sqlite3").write_bytes(b"no database" * 1000)
    answers = [backend.click(task(image), [point(x, y, name=f"after {x}")]) for x, y in ((20, 20), (26, 30))]
    assert [answer.status_code for answer in answers] == [200, 200]
    first, second = map(only_region, answers)
    assert second["id"] == first["id"]
    assert np.array_equal(mask_of(second), square(20, 20) | square(26, 30))


def test_submitting_ends_the_object_being_clicked(backend: Backend) -> None:
    backend.setup()
    image = backend.draw("a.png", [(20, 20, 250), (26, 30, 200)])
    first = only_region(backend.click(task(image), [point(20, 20)]))
    data = {"id": 1, "data": {"image": image}}
    backend.webhook("ANNOTATION_CREATED", annotation=annotation(1, ["defective"]), task=data)
    second = only_region(backend.click(task(image), [point(26, 30, name="other")]))
    assert second["id"] != first["id"]


def proposal(x: int, y: int, name: str = "adclick-proposal-1", label: str = "scratch") -> dict[str, Any]:
    """A proposed mask of a blob, as a prediction and a draft hold it."""
    return {
        "id": name,
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": {"format": "rle", "rle": encode_rle(square(x, y)), "brushlabels": [label]},
    }


def test_a_click_near_a_proposed_mask_corrects_that_region(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (28, 20, 200)])
    predicted = {"predictions": [{"model_version": "fake-1", "result": [proposal(20, 20)]}]}
    grown = only_region(backend.click(task(image) | predicted, [point(25, 20)]))
    assert grown["id"] == "adclick-proposal-1"
    assert np.array_equal(mask_of(grown), square(20, 20) | square(28, 20))
    shrunk = only_region(backend.click(task(image) | predicted, [point(20, 20, name="kp2", positive=False)]))
    assert shrunk["id"] == "adclick-proposal-1"
    assert np.array_equal(mask_of(shrunk), square(28, 20))


def test_a_negative_click_alone_corrects_a_proposed_mask(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (26, 30, 200)])
    both = proposal(20, 20)
    both["value"]["rle"] = encode_rle(square(20, 20) | square(26, 30))
    predicted = {"predictions": [{"model_version": "fake-1", "result": [both]}]}
    region = only_region(backend.click(task(image) | predicted, [point(26, 30, positive=False)]))
    assert region["id"] == "adclick-proposal-1"
    assert np.array_equal(mask_of(region), square(20, 20))


def test_a_proposed_mask_that_a_person_deleted_is_not_gone_on_with(backend: Backend) -> None:
    """The draft says what is left of the prediction."""
    image = backend.draw("a.png", [(20, 20, 250), (26, 30, 200)])
    shown = {
        "predictions": [{"model_version": "fake-1", "result": [proposal(20, 20)]}],
        "drafts": [{"result": []}],
    }
    region = only_region(backend.click(task(image) | shown, [point(26, 30)]))
    assert region["id"] != "adclick-proposal-1"
    assert np.array_equal(mask_of(region), square(26, 30))


@pytest.mark.parametrize(
    "odd",
    [
        {"predictions": 7},
        {"predictions": [None, {"result": 3}], "drafts": {}},
        {"predictions": [{"result": [{"id": "adclick-proposal-1"}]}]},
        {"predictions": [{"result": [proposal(20, 20) | {"original_width": 1 << 40}]}]},
        {
            "predictions": [
                {"result": [proposal(20, 20) | {"value": {"rle": "x", "brushlabels": ["scratch"]}}]}
            ]
        },
        {"predictions": [{"result": [proposal(20, 20) | {"to_name": "another"}]}]},
    ],
)
def test_odd_predictions_never_break_a_click(backend: Backend, odd: dict[str, Any]) -> None:
    image = backend.draw("a.png", [(20, 20, 250)])
    region = only_region(backend.click(task(image) | odd, [point(20, 20)]))
    assert np.array_equal(mask_of(region), square(20, 20))
    assert region["id"] != "adclick-proposal-1"


def test_a_corrected_proposal_is_learned_as_what_was_clicked(backend: Backend) -> None:
    backend.setup()
    image = backend.draw("a.png", [(20, 20, 250), (28, 20, 200)])
    predicted = {"predictions": [{"model_version": "fake-1", "result": [proposal(20, 20)]}]}
    region = only_region(backend.click(task(image) | predicted, [point(25, 20)]))
    backend.services.answers.flush()
    answer = backend.services.store.answers.of_task("1", 1)["adclick-proposal-1"]
    said = read_result(
        [region | {"origin": "manual"}, picked("normal")],
        backend.services.labels.vocabulary("1"),
        {answer.region},
    )
    assert said.contradictory  # it is no proposal that was left aside
    said = read_result(
        [region | {"origin": "manual"}], backend.services.labels.vocabulary("1"), {answer.region}
    )
    label, problems = draw_label(said, "scratch", HEIGHT, WIDTH, {answer.region: answer})
    assert problems == [] and label is not None and label.kind == "clicked"


def picked(value: str) -> dict[str, Any]:
    return {"from_name": "state", "to_name": "image", "type": "choices", "value": {"choices": [value]}}


def test_each_label_is_painted_with_its_own_brush(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250), (50, 40, 200)])
    scratch = only_region(backend.click(task(image), [point(20, 20)]))
    dent = only_region(backend.click(task(image), [point(50, 40, "dent", "kp2")]))
    assert (scratch["value"]["brushlabels"], dent["value"]["brushlabels"]) == (["scratch"], ["dent"])
    assert scratch["id"] != dent["id"]


@pytest.mark.parametrize(
    "context", [{}, {"result": []}, {"result": [{"type": "brushlabels", "value": {"rle": [1, 2]}}]}]
)
def test_a_context_without_clicks_brings_an_empty_result(backend: Backend, context: dict[str, Any]) -> None:
    image = backend.draw("a.png")
    answer = backend.open_tasks([task(image)], params={"context": context})
    assert (answer.status_code, answer.json) == (200, EMPTY)


def test_a_context_without_a_task_is_no_empty_list_either(backend: Backend) -> None:
    assert backend.open_tasks([], params={"context": {"result": []}}).json == EMPTY
    assert backend.open_tasks([]).json == {"results": []}


def test_only_negative_clicks_bring_an_empty_result(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250)])
    assert backend.click(task(image), [point(20, 20, positive=False)]).json == EMPTY
    assert backend.click(task(image, 2), [point(20, 20, "background")]).json == EMPTY
    assert backend.services.store.problems.latest("1") == []


def test_the_answer_is_in_the_frame_that_the_browser_saw(backend: Backend) -> None:
    """A proxy that shows a scaled copy must not move the mask."""
    image = backend.draw("a.png", [(20, 20, 250)])
    shown = {**point(20, 20), "original_width": 2 * WIDTH, "original_height": 2 * HEIGHT}
    region = only_region(backend.click(task(image), [shown]))
    assert np.array_equal(mask_of(region), square(20, 20).repeat(2, axis=0).repeat(2, axis=1))


# --- opening


def test_opening_a_task_prepares_its_image(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250)])
    answer = backend.open_tasks([task(image)])
    assert answer.json == {"results": [[]]}
    assert backend.services.prewarmer.join(5)
    assert len(backend.engine.prepared) == 1
    backend.click(task(image), [point(20, 20)])
    assert 'adclick_images_total{state="warm"} 1.0' in backend.client.get("/metrics").text


def test_retrieving_predictions_answers_every_task(backend: Backend) -> None:
    images = [backend.draw(f"{number}.png", grey=number) for number in range(1, 54)]
    answer = backend.open_tasks([task(image, number) for number, image in enumerate(images)])
    assert answer.json == {"results": [[]] * 53}


def test_an_image_that_cannot_be_prepared_is_on_the_status_page_before_the_click(backend: Backend) -> None:
    backend.open_tasks([task("ftp://somewhere/a.png", 7)])
    assert backend.services.prewarmer.join(5)
    (problem,) = backend.services.store.problems.latest("1")
    assert problem.task_id == 7
    assert "ftp:" in problem.sentence


# --- failures


def broken_image(backend: Backend) -> str:
    (backend.images / "broken.png").write_bytes(b"no image at all")
    return "/data/local-files/?d=broken.png"


@pytest.mark.parametrize(
    ("make_task", "said"),
    [
        (lambda backend: task(broken_image(backend)), "not an image"),
        (lambda backend: {"id": 1, "data": {"picture": "a.png"}}, "the task has the fields picture"),
        (lambda backend: {"id": 1, "data": {"image": 7}}, "field 'image'"),
        (lambda backend: task("/data/local-files/?d=../../etc/passwd"), "leads out of"),
    ],
)
def test_a_click_that_fails_is_answered_and_explained(
    backend: Backend, make_task: Callable[[Backend], dict[str, Any]], said: str
) -> None:
    answer = backend.click(make_task(backend), [point(20, 20)])
    assert (answer.status_code, answer.json) == (200, EMPTY)
    (problem,) = backend.services.store.problems.latest("1")
    assert said in problem.sentence
    assert problem.task_id == 1


def test_a_broken_model_never_breaks_a_click(backend: Backend) -> None:
    image = backend.draw("a.png")
    for error, said in ((BROKEN, "out of order"), (KeyError("surprise"), "in the backend's log")):
        backend.engine.error = error
        answer = backend.click(task(image), [point(20, 20)])
        assert (answer.status_code, answer.json) == (200, EMPTY)
        assert said in backend.services.store.problems.latest("1")[0].sentence


def test_a_broken_database_never_breaks_a_click(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    image = backend.draw("a.png", [(20, 20, 250)])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backend.services.store.projects, "save", full)
    answer = backend.click(task(image), [point(20, 20)])
    assert (answer.status_code, answer.json) == (200, EMPTY)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "labeling config"),
        ("<View><Image name='image' value='$image'/></View>", "<BrushLabels>"),
        (CONFIG.replace('<Label value="dent"/></BrushLabels>', "</BrushLabels>"), None),
        (
            CONFIG.replace(
                '<BrushLabels name="brush"', '<Image name="b" value="$b"/><BrushLabels name="brush"'
            ),
            None,
        ),
    ],
)
def test_a_config_that_does_not_fit_never_brings_a_wrong_label(
    backend: Backend, config: str, said: str | None
) -> None:
    """Reliability row 13: predictions only with labels that exist; what is missing is said."""
    image = backend.draw("a.png", [(20, 20, 250)])
    answer = backend.click(task(image), [point(20, 20, "dent")], config=config)
    assert answer.status_code == 200
    if said is None:
        assert only_region(answer)["value"]["brushlabels"][0] in ("scratch", "dent")
        assert f'"{only_region(answer)["value"]["brushlabels"][0]}"' in config.partition("</BrushLabels>")[0]
    else:
        assert answer.json == EMPTY
        assert said in backend.services.store.problems.latest("1")[0].sentence


def test_a_renamed_label_is_explained(backend: Backend) -> None:
    """Reliability row 13: the label was renamed in the brush but not in the click tool."""
    image = backend.draw("a.png", [(20, 20, 250)])
    config = CONFIG.replace(
        '<Label value="scratch"/><Label value="dent"/></Brush',
        "<Label value='Riss'/><Label value='x'/></Brush",
    )
    assert backend.click(task(image), [point(20, 20)], config=config).json == EMPTY
    (problem,) = backend.services.store.problems.latest("1")
    assert '"scratch" was clicked, but the brush labels are Riss, x' in problem.sentence


def test_hundreds_of_odd_clicks_are_harmless(backend: Backend) -> None:
    """Reliability row 12: duplicate, outside, NaN and very many clicks, in bounded time."""
    image = backend.draw("a.png", [(20, 20, 250)])
    odd = [point(20, 20, name=f"k{number}") for number in range(1000)]
    odd += [point(-900, 5000, name="out"), point(math.nan, 1, name="nan"), point(1e308, math.inf, name="inf")]
    odd += [{"id": "none", "type": "keypointlabels", "value": {"x": None, "y": "left", "keypointlabels": []}}]
    started = time.perf_counter()
    answer = backend.click(task(image), [point(20, 20), *odd])
    assert time.perf_counter() - started < 2
    assert answer.status_code == 200
    assert mask_of(only_region(answer))[square(20, 20)].all()
    assert len(backend.engine.clicked[0][2]) <= backend.settings.max_clicks


def test_a_context_with_a_size_of_zero_is_explained(backend: Backend) -> None:
    """Reliability row 12: 0-size context."""
    image = backend.draw("a.png")
    answer = backend.click(task(image), [{**point(1, 1), "original_width": 0}])
    assert (answer.status_code, answer.json) == (200, EMPTY)
    assert "original_width" in backend.services.store.problems.latest("1")[0].sentence


# --- isolation


def test_annotators_at_the_same_time_get_their_own_masks(backend: Backend) -> None:
    """Reliability row 15: two annotators on one image and on two, in 8 threads, exact masks."""
    spots = [(8 + 7 * number, 8 + 4 * number) for number in range(8)]
    tasks = [
        task(backend.draw(f"{number}.png", [(x, y, 60 + 20 * number)]), number + 1)
        for number, (x, y) in enumerate(spots)
    ]
    shared = backend.draw("shared.png", [(12, 12, 200), (40, 30, 250)])
    wrong: list[str] = []
    start = threading.Barrier(8)

    def annotate(number: int) -> None:
        own, (x, y) = tasks[number], spots[number]
        both = [((12, 12), "scratch"), ((40, 30), "dent")][number % 2]
        start.wait()
        for round_ in range(10):
            (sx, sy), label = both
            for wanted, at, spot in (
                (own, (x, y), square(x, y)),
                (task(shared, 99), (sx, sy), square(sx, sy)),
            ):
                name = f"{number}-{round_}-{at}"
                client = backend.app.test_client()
                params = {"context": {"result": [point(*at, label, name)]}}
                body = {"tasks": [wanted], "project": "1.1", "label_config": CONFIG, "params": params}
                answer = client.post("/predict", json=body)
                if not np.array_equal(mask_of(only_region(answer)), spot):
                    wrong.append(f"{number}: {at}")

    threads = [threading.Thread(target=annotate, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_the_same_task_number_in_two_projects_shares_nothing(backend: Backend) -> None:
    """Reliability row 24: no click of one project reaches another."""
    image = backend.draw("a.png", [(20, 20, 250), (26, 30, 200)])
    backend.click(task(image), [point(20, 20)], project="1.1")
    region = only_region(backend.click(task(image), [point(26, 30, name="other")], project="2.1"))
    assert np.array_equal(mask_of(region), square(26, 30))
    keys = {key.project for key, _, _ in backend.engine.clicked}
    assert keys == {"1", "2"}


@pytest.mark.parametrize(
    "project", ["../x", "1/../2", "1.1.1", "", "x", "-1", "１", "1\n", None, True, 1.5, [1]]
)
def test_no_project_id_becomes_a_path(backend: Backend, tmp_path: Path, project: object) -> None:
    """Reliability row 24: ids are validated, everywhere they arrive."""
    image = backend.draw("a.png", [(20, 20, 250)])
    before = sorted(path for path in tmp_path.rglob("*") if path.is_dir())
    answers = [backend.setup(project=project)]
    if project is not None:  # a request without a project is answered, under a number that no project has
        answers.append(backend.click(task(image), [point(20, 20)], project=project))
        answers.append(backend.webhook("ANNOTATION_CREATED", project=project))  # type: ignore[arg-type]
    for answer in answers:
        assert answer.status_code == 400
        assert "project" in answer.json["error"]["field"]
    assert backend.client.get("/projects/..%2Fx").status_code == 404
    assert sorted(path for path in tmp_path.rglob("*") if path.is_dir()) == before


# --- the class contract


def test_the_class_can_be_used_without_http(backend: Backend) -> None:
    image = backend.draw("a.png", [(20, 20, 250)])
    model = ADClickBackend(project_id="1.1", label_config=CONFIG, services=backend.services)
    (prediction,) = model.predict([task(image)], {"result": [point(20, 20)]}, login=None, password=None)
    assert np.array_equal(mask_of(prediction["result"][0]), square(20, 20))
    assert model.predict([task(image)]) == [[]]
    assert "waits for its turn" in (model.fit("START_TRAINING", {"project": {"id": 1}}) or {})["message"]
    assert model.fit("TASKS_CREATED", {"project": {"id": 1}}) is None
    assert model.model_version == "fake-1"
