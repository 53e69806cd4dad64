"""Numbers that SQLite cannot hold, wherever a request may carry one: not found, or refused in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.helpers.backend import CONFIG, Backend, annotation, point, task
from tests.helpers.dashboard import form_token

LARGE = (2**63, 2**64, 10**30, int("9" * 4000))


@pytest.mark.parametrize("number", [10**18 - 1, *LARGE, "9" * 5000, "٣"], ids=lambda number: str(number)[:8])
def test_in_an_address(backend: Backend, number: object) -> None:
    """Every route with a number in it, found in the map of routes."""
    backend.setup()
    token = form_token(backend)
    rules = [rule for rule in backend.app.url_map.iter_rules() if "<int:" in rule.rule]
    assert len(rules) >= 8
    for rule in rules:
        address = re.sub("<int:[a-z]+>", str(number), rule.rule).replace("<project>", "1")
        for method in (rule.methods or set()) & {"GET", "POST"}:
            data = {"form_token": token} if method == "POST" else None
            answer = backend.client.open(address, method=method, data=data)
            assert answer.status_code in (303, 404), (method, rule.rule, answer.status_code)
            if number != 10**18 - 1:
                assert answer.status_code == 404


@pytest.mark.parametrize("number", LARGE, ids=lambda number: str(number)[:8])
@pytest.mark.parametrize("sign", [1, -1])
def test_in_a_webhook(backend: Backend, number: int, sign: int) -> None:
    backend.setup()
    number *= sign
    for action, key in (
        ("ANNOTATIONS_DELETED", "annotations"),
        ("ANNOTATIONS_CREATED", "annotations"),
        ("TASKS_DELETED", "tasks"),
    ):
        refused(backend.webhook(action, **{key: [{"id": 1}, {"id": number}]}), f"{key}.1.id")
    data = {"id": 1, "data": {"image": "/a.png"}}
    refused(backend.webhook("ANNOTATION_CREATED", annotation=annotation(number), task=data), "annotation.id")
    refused(
        backend.webhook("ANNOTATION_CREATED", annotation=annotation(1, task=number), task=data),
        "annotation.task",
    )
    refused(
        backend.webhook("ANNOTATION_CREATED", annotation=annotation(1), task={**data, "id": number}),
        "task.id",
    )
    refused(backend.webhook("ANNOTATION_CREATED", project=number), "project.id")


@pytest.mark.parametrize("number", LARGE, ids=lambda number: str(number)[:8])
def test_in_predict_and_setup(backend: Backend, number: int) -> None:
    url = backend.draw("a.png", [(20, 20, 250)])
    refused(backend.click(task(url, number), [point(20, 20)]), "tasks.0.id")
    refused(backend.open_tasks([task(url, number)]), "tasks.0.id")
    refused(backend.click(task(url), [point(20, 20)], project=number), "project")
    refused(backend.setup(project=number, config=CONFIG), "project")
    refused(backend.setup(project=f"1.{number}", config=CONFIG), "project")
    drawn = {**point(20, 20), "original_width": number, "original_height": number}
    assert backend.click(task(url), [drawn]).status_code == 200  # a click is answered, if only with nothing


@pytest.mark.parametrize("number", LARGE, ids=lambda number: str(number)[:8])
def test_in_a_query(backend: Backend, number: int) -> None:
    backend.setup()
    assert backend.client.get(f"/projects/1/references?page={number}").status_code == 200
    assert backend.client.get(f"/projects/1/references?page=-{number}").status_code == 200
    assert backend.client.get(f"/projects/{number}").status_code == 404
    assert backend.client.get(f"/projects/1/compare?first=v{number}&second=v1").status_code < 500


def refused(answer: Any, field: str) -> None:
    """A 400 that names the field."""
    assert (answer.status_code, answer.json["error"]["field"]) == (400, field)
