"""What is measured of a product, what people do with proposals, and what comes of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from adclick_backend.answers.held_back import MEASURED, HeldBackImages, measure
from adclick_backend.config.labeling_config import parse_labeling_config
from adclick_backend.protocol.body import Task
from adclick_backend.store import JudgedPart
from tests.helpers.backend import CONFIG, Backend, task
from tests.helpers.fake_engine import BROKEN
from tests.helpers.labels import annotated, choice

BOTH = [(20, 20, 200), (44, 30, 250)]


def with_references(backend: Backend, count: int = 5, spoilt: int = 0, product: str = "") -> None:
    """References of which the fake engine finds something in the first ones."""
    for number in range(count):
        pixels = np.full((48, 64, 3), 70 + number, np.uint8)
        if number < spoilt:
            pixels[16:24, 16:24] = (0, 0, 200)
        data = cv2.imencode(".png", pixels)[1].tobytes()
        backend.services.references.add("1", data, source="upload", name=f"{number}.png", product=product)
    backend.work()


def measured(backend: Backend) -> HeldBackImages:
    """Everything that there is to measure has been."""
    services = backend.services
    images = HeldBackImages(
        services.store,
        services.references,
        services.registry,
        backend.engine,  # type: ignore[arg-type]
        settle_s=0,
    )
    while images.step():
        pass
    return images


def predict(backend: Backend, url: str, number: int = 1) -> Any:
    proposer = backend.services.proposer
    serving = proposer.serving("1")
    return proposer.predict("1", Task(**task(url, number)), parse_labeling_config(CONFIG), serving)


def submit(backend: Backend, number: int, result: list[Any], **more: Any) -> None:
    data = {"id": number, "data": {"image": "/data/upload/1/a.png"}}
    annotation = {"parent_prediction": 7, **annotated(number, result, task=number), **more}
    backend.webhook("ANNOTATION_CREATED", annotation=annotation, task=data)


def outcomes(backend: Backend, version: str = "fake-1") -> list[str]:
    return [part.outcome for part in backend.services.store.proposed_parts.judged("1", "", version)]


# --- what is measured


def test_references_are_held_back_in_turn_and_what_is_found_in_them_is_false(backend: Backend) -> None:
    with_references(backend, 5, spoilt=2)
    found = measured(backend).of("1", "", "fake-1")
    assert found is not None
    assert (len(found.good), len(found.drawn)) == (5, 5)
    assert found.spoilt(0.5) == 2
    for key, bank, _ in backend.engine.proposed:  # a reference is never compared with itself
        assert key.sha not in bank.without(key.sha).references


def test_no_more_than_some_references_are_held_back(backend: Backend) -> None:
    with_references(backend, MEASURED + 3)
    bank = backend.services.references.bank("1")
    found = list(measure(backend.engine, bank))  # type: ignore[arg-type]
    assert len(found) == 2 * MEASURED
    assert (len(found[-1].good), len(found[-1].drawn)) == (MEASURED, MEASURED)


def test_with_three_references_none_can_be_held_back(backend: Backend) -> None:
    with_references(backend, 3)
    assert measured(backend).of("1", "", "fake-1") is None
    assert backend.engine.proposed == []


def test_all_worker_processes_see_what_one_measured(make_backend: Callable[..., Backend]) -> None:
    first, second = make_backend(), make_backend()
    with_references(first, spoilt=1)
    found = measured(first).of("1", "", "fake-1")
    assert found == second.services.held_back.of("1", "", "fake-1")
    assert first.services.reliabilities.of("1", "", "fake-1").needed == (
        second.services.reliabilities.of("1", "", "fake-1").needed
    )


def test_it_is_measured_again_for_another_version_and_for_twice_as_many_references(backend: Backend) -> None:
    with_references(backend, 5)
    measured(backend)
    looked = len(backend.engine.proposed)
    measured(backend)
    assert len(backend.engine.proposed) == looked
    with_references(backend, 9)
    measured(backend)
    assert len(backend.engine.proposed) == looked  # 9 are not twice as many
    with_references(backend, 10)
    measured(backend)
    assert len(backend.engine.proposed) == looked + 2 * MEASURED
    backend.serve_version()
    images = measured(backend)
    assert images.of("1", "", "fake-1") is None
    assert images.of("1", "", "fake-1+p1-v1") is not None


def test_a_bank_that_grows_is_left_alone_until_nobody_adds_to_it(backend: Backend) -> None:
    with_references(backend)
    assert not backend.services.held_back.step()  # it was seen just now
    assert backend.engine.proposed == []


def test_what_cannot_be_measured_is_not_tried_for_ever(backend: Backend) -> None:
    with_references(backend)
    backend.engine.kept.clear()
    backend.engine.error = BROKEN
    images = measured(backend)
    assert not images.step()


# --- what comes of it


def test_until_anything_is_known_the_usual_score_decides(backend: Backend) -> None:
    with_references(backend, 3)
    assert predict(backend, backend.draw("a.png", BOTH)) is not None
    assert 0.4 < backend.services.reliabilities.of("1", "", "fake-1").needed < 0.6


def test_nothing_is_proposed_where_good_images_show_the_same(backend: Backend) -> None:
    with_references(backend, 5, spoilt=3)
    url = backend.draw("a.png", BOTH)
    assert predict(backend, url) is not None
    measured(backend)
    assert predict(backend, url) is None


def test_an_image_in_which_all_is_held_back_is_not_called_normal(backend: Backend) -> None:
    backend.serve_version()
    with_references(backend, 5, spoilt=5)
    measured(backend)
    assert predict(backend, backend.draw("a.png", BOTH)) is None
    assert predict(backend, backend.draw("clean.png"))["result"][0]["type"] == "choices"


def test_who_deletes_what_is_proposed_is_left_in_peace(backend: Backend) -> None:
    """Half of them in the middle of the work: what people do outweighs what was measured."""
    with_references(backend)
    measured(backend)
    seen = 0
    for number in range(1, 20):
        if predict(backend, backend.draw(f"{number}.png", BOTH), number) is not None:
            seen += 1
            submit(backend, number, [choice("normal")])
    assert 1 <= seen <= 4
    assert set(outcomes(backend)) == {"deleted"}


def test_who_keeps_what_is_proposed_goes_on_seeing_it(backend: Backend) -> None:
    with_references(backend)
    measured(backend)
    for number in range(1, 9):
        prediction = predict(backend, backend.draw(f"{number}.png", BOTH), number)
        assert prediction is not None
        submit(backend, number, prediction["result"])
    assert set(outcomes(backend)) == {"kept"}


def test_each_part_is_judged_by_itself(backend: Backend) -> None:
    backend.serve_version()
    version = "fake-1+p1-v1"
    scratch, dent = predict(backend, backend.draw("a.png", BOTH))["result"]
    submit(backend, 1, [{**dent, "origin": "prediction-changed"}])
    assert outcomes(backend, version) == ["deleted", "corrected"]
    submit(backend, 1, [scratch, dent], updated_at="2027-01-01T00:00:00Z")  # the last word counts
    assert outcomes(backend, version) == ["kept", "kept"]
    assert backend.services.store.proposed_parts.judged("1", "", version)[0] == JudgedPart(0.7, "kept")


@pytest.mark.parametrize(
    "more", [{"parent_prediction": None}, {"was_cancelled": True}], ids=["not seen", "skipped"]
)
def test_what_was_not_looked_at_is_not_judged(backend: Backend, more: dict[str, Any]) -> None:
    with_references(backend)
    assert predict(backend, backend.draw("a.png", BOTH)) is not None
    submit(backend, 1, [choice("normal")], **more)
    assert outcomes(backend) == []


def test_each_version_has_a_name_of_its_own_to_lose(backend: Backend) -> None:
    with_references(backend)
    for number in range(1, 6):
        if predict(backend, backend.draw(f"{number}.png", BOTH), number) is not None:
            submit(backend, number, [choice("normal")])
    assert predict(backend, backend.draw("x.png", BOTH)) is None
    backend.serve_version()
    assert predict(backend, backend.draw("x.png", BOTH)) is not None


def test_products_are_judged_apart(backend: Backend) -> None:
    store = backend.services.store.proposed_parts
    for number in range(1, 9):
        store.put("1", number, "fake-1", {"bolt": {f"a{number}": 0.7}, "nut": {f"b{number}": 0.7}})
        store.judge("1", number, {f"a{number}"}, ())
    reliabilities = backend.services.reliabilities
    assert reliabilities.of("1", "bolt", "fake-1").needed < 0.7
    assert reliabilities.of("1", "nut", "fake-1").needed > 0.7
    assert reliabilities.of("2", "nut", "fake-1").judged == []
