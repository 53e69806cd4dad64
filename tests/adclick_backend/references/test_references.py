"""References: every way in and out, in any order."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.engine.bank import ImageKey
from tests.helpers.backend import CONFIG, Backend, annotation, point, task
from tests.helpers.references import bank, mark, png, states

# --- which annotations mark an image as normal


def choice(value: str, **more: object) -> dict[str, Any]:
    return {"id": "c", "from_name": "state", "type": "choices", "value": {"choices": [value]}, **more}


REGION: dict[str, Any] = {"id": "r", "type": "brushlabels", "value": {"format": "rle", "rle": []}}


@pytest.mark.parametrize(
    ("result", "normal"),
    [
        ([], True),
        ([choice("normal")], True),
        ([choice("defective")], False),
        ([choice("normal"), REGION], False),
        ([choice("normal"), {"id": "k", "type": "keypointlabels", "value": {"x": 1}}], True),
        ([choice("defective"), choice("normal", id="d")], False),
        ([REGION], False),
        ([{"id": "k", "type": "keypointlabels", "value": {"x": 1}}], False),
        ([{"id": "t", "type": "textarea", "value": {"text": ["fine"]}}], False),
        ([REGION, choice("normal", id="r")], False),
        ([{"id": "c", "type": "choices", "value": None}], False),
        ([{}], False),
    ],
)
def test_which_annotations_make_an_image_a_reference(
    backend: Backend, result: list[dict[str, Any]], normal: bool
) -> None:
    backend.setup()
    mark(backend, backend.draw("a.png"), result=result)
    mark(backend, backend.draw("b.png"), 2, result=result, was_cancelled=True)
    assert [row.task_id for row in backend.services.store.references.of_project("1")] == [1] * normal


def test_the_choices_that_mean_normal_are_a_setting(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(normal_choices="iO, einwandfrei")
    config = CONFIG.replace('"normal"', '"iO"').replace('"defective"', '"niO"')
    for number, value in enumerate(("iO", "niO", "normal"), 1):
        mark(backend, backend.draw(f"{number}.png", grey=number), number, [value], config=config)
    assert [row.task_id for row in backend.services.store.references.of_project("1")] == [1]


# --- from an annotation to the bank


def test_a_normal_image_is_compared_with_from_the_next_click_on(backend: Backend) -> None:
    started = time.perf_counter()
    assert mark(backend, backend.draw("a.png", grey=70)).status_code == 201
    assert time.perf_counter() - started < 1
    assert states(backend) == ["pending"]
    backend.work()
    (row,) = backend.services.store.references.of_project("1")
    assert (row.state, row.source, row.name, row.task_id) == ("ready", "annotation", "a.png", 1)
    kept = backend.settings.data_dir / "projects" / "1" / "references" / f"{row.sha}.png"
    assert kept.read_bytes() == (backend.images / "a.png").read_bytes()
    assert backend.services.references.thumbnail("1", row.sha).is_file()
    backend.click(task(backend.draw("b.png", [(20, 20, 250)])), [point(20, 20)])
    assert backend.engine.clicked[0][1].references == (row.sha,)


def test_changing_or_deleting_the_annotation_takes_the_image_out(backend: Backend) -> None:
    for number in (1, 2, 3, 4):
        mark(backend, backend.draw(f"{number}.png", grey=number), number)
    backend.work()
    assert bank(backend) == 4
    mark(backend, "/1", 1, ["defective"], action="ANNOTATION_UPDATED", at="2026-11-22T10:00:00Z")
    assert bank(backend) == 3
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 2}])
    assert bank(backend) == 2
    backend.webhook("TASKS_DELETED", tasks=[{"id": 3}, {"id": 99}])
    assert bank(backend) == 1
    mark(backend, "/4", 4, action="ANNOTATION_UPDATED", at="2026-11-22T10:00:00Z", was_cancelled=True)
    assert bank(backend) == 0


def test_an_image_that_two_annotations_call_normal_goes_with_the_last(backend: Backend) -> None:
    url = backend.draw("a.png")
    mark(backend, url, 1)
    mark(backend, url, 2)
    backend.work()
    assert (states(backend), bank(backend)) == (["ready", "ready"], 1)
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 1}])
    assert bank(backend) == 1
    backend.webhook("ANNOTATIONS_DELETED", annotations=[{"id": 2}])
    assert bank(backend) == 0


def test_each_product_has_a_bank_of_its_own(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(product_field="part")
    for number, part in enumerate(("nut", "nut", "bolt"), 1):
        data = {"id": number, "data": {"image": backend.draw(f"{number}.png", grey=number), "part": part}}
        backend.webhook("ANNOTATION_CREATED", annotation=annotation(number, task=number), task=data)
    backend.work()
    assert [bank(backend, product=part) for part in ("nut", "bolt", "")] == [2, 1, 0]
    image = backend.draw("b.png", [(20, 20, 250)])
    backend.click(task(image, part="bolt"), [point(20, 20)])
    assert len(backend.engine.clicked[0][1].references) == 1
    assert backend.engine.clicked[0][1].product == "bolt"


def test_projects_do_not_share_references(backend: Backend) -> None:
    """Reliability row 24: neither rows nor files nor banks cross projects."""
    url = backend.draw("a.png")
    mark(backend, url, 1, project=1)
    mark(backend, url, 1, project=2)
    backend.work()
    backend.webhook("ANNOTATIONS_DELETED", project=2, annotations=[{"id": 1}])
    assert (bank(backend, "1"), bank(backend, "2")) == (1, 0)
    (row,) = backend.services.store.references.of_project("1")
    assert set(backend.engine.encoded) == {ImageKey("1", row.sha), ImageKey("2", row.sha)}
    assert backend.services.references.remove("2", row.id) is False
    assert bank(backend, "1") == 1


def storm(backend: Backend) -> list[tuple[str, dict[str, Any]]]:
    """Webhooks about 6 annotations; 2 and 5 are normal in the end."""
    urls = [backend.draw(f"{number}.png", grey=number) for number in range(7)]

    def saved(number: int, choices: list[str], minute: int) -> tuple[str, dict[str, Any]]:
        at = f"2026-11-22T09:{minute:02d}:00Z"
        return "ANNOTATION_UPDATED", {
            "annotation": annotation(number, choices, task=number, at=at),
            "task": {"id": number, "data": {"image": urls[number]}},
        }

    return [
        saved(1, ["normal"], 1),
        saved(1, ["defective"], 2),
        saved(2, ["defective"], 1),
        saved(2, ["normal"], 2),
        saved(3, ["normal"], 1),
        ("ANNOTATIONS_DELETED", {"annotations": [{"id": 3}]}),
        saved(4, ["normal"], 1),
        ("TASKS_DELETED", {"tasks": [{"id": 4}]}),
        saved(5, [], 1),
        saved(6, ["defective"], 1),
        ("TASKS_CREATED", {"tasks": [{"id": 9}]}),
        ("SOMETHING_NEW", {"payload": [1, 2]}),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_of_webhooks_in_any_order_ends_in_the_same_bank(backend: Backend, seed: int) -> None:
    """Reliability row 17: repeated, shuffled, beside another project's; unknown events are fine."""
    backend.setup()
    events = [*storm(backend) * 3, *storm(backend)]
    order = random.Random(seed)
    order.shuffle(events)
    for number, (action, body) in enumerate(events):
        answer = backend.webhook(action, **body)
        assert answer.status_code in (200, 201)
        if number % 5 == 0:
            backend.services.keeper.step()
        if number % 7 == 0:
            mark(backend, "/data/local-files/?d=6.png", 6, project=2)
    backend.work()
    rows = backend.services.store.references.of_project("1")
    assert sorted(row.annotation_id or 0 for row in rows) == [2, 5]
    assert (bank(backend), bank(backend, "2")) == (2, 1)


def test_a_storm_from_many_threads_ends_in_the_same_bank(backend: Backend) -> None:
    """Reliability row 17: Label Studio's workers send at the same time."""
    backend.setup()
    events = storm(backend)
    failed: list[int] = []

    def send(seed: int) -> None:
        shuffled = list(events)
        random.Random(seed).shuffle(shuffled)
        client = backend.app.test_client()
        for action, body in shuffled:
            body = {"action": action, "project": {"id": 1}, **body}
            answer = client.post("/webhook", json=body, headers=backend.secret)
            if answer.status_code not in (200, 201):
                failed.append(answer.status_code)

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    backend.work()
    assert failed == []
    assert bank(backend) == 2


# --- files that are handed in


def test_a_folder_an_upload_and_the_command_line_bring_references_too(backend: Backend) -> None:
    for number, source in enumerate(("folder", "upload", "command line")):
        backend.services.references.add("1", png(number), source=source, name=f"Gut {number} ä.PNG")
    backend.work()
    rows = backend.services.store.references.of_project("1")
    assert [(row.state, row.source) for row in rows] == [
        ("ready", "folder"), ("ready", "upload"), ("ready", "command line"),
    ]  # fmt: skip
    assert all(backend.services.references.path(row).suffix == ".png" for row in rows)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (png()[:60], "damaged"),
        (b"<html>log in</html>", "web page"),
    ],
)
def test_a_file_that_is_no_image_is_skipped_and_listed(backend: Backend, data: bytes, said: str) -> None:
    """Reliability row 21: corrupt file."""
    backend.services.references.add("1", data, source="upload", name="bad.png")
    backend.services.references.add("1", png(), source="upload", name="good.png")
    backend.work()
    bad, good = backend.services.store.references.of_project("1")
    assert (bad.state, good.state, bank(backend)) == ("failed", "ready", 1)
    assert said in bad.reason
    assert "bad.png could not become a reference" in backend.services.store.problems.latest("1")[0].sentence


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_click_works_with_no_reference_with_one_and_with_odd_sizes(backend: Backend, count: int) -> None:
    """Reliability row 21: empty bank, one image, wrong size."""
    for number in range(count):
        backend.services.references.add(
            "1", png(number, size=(3 + 200 * number, 5)), source="upload", name="x.png"
        )
    backend.work()
    answer = backend.click(task(backend.draw("b.png", [(20, 20, 250)])), [point(20, 20)])
    assert len(answer.json["results"][0]["result"]) == 1
    assert len(backend.engine.clicked[0][1].references) == count


def test_a_hostile_name_stays_a_name(backend: Backend, tmp_path: Path) -> None:
    for name in ("../../../escape.png", "/etc/passwd", "a\x00b.png", "x." + "y" * 300, "", ".."):
        backend.services.references.add("1", png(), source="upload", name=name)
    folder = backend.settings.data_dir / "projects" / "1" / "references"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == png()]
    assert files
    assert all(path.parent == folder for path in files)


def test_copies_that_nothing_needs_are_swept_away(backend: Backend) -> None:
    keep = backend.services.references.add("1", png(1), source="upload", name="keep.png")
    gone = backend.services.references.add("1", png(2), source="upload", name="gone.png")
    backend.work()
    paths = [backend.services.references.path(row) for row in (keep, gone)]
    thumbnails = [backend.services.references.thumbnail("1", row.sha) for row in (keep, gone)]
    backend.services.references.remove("1", gone.id)
    for path in (*paths, *thumbnails):
        os.utime(path, (1, 1))
    backend.services.store.references.purge()
    assert backend.services.references.sweep() == 0  # what was removed can be put back for a month
    with backend.services.store.database.write() as connection:
        connection.exec_driver_sql("UPDATE reference_images SET due = 1 WHERE state = 'removed'")
    assert backend.services.store.references.purge() == 1
    os.utime(paths[1])
    os.utime(thumbnails[1])
    assert backend.services.references.sweep() == 0  # young files are left alone
    for path in (*paths, *thumbnails):
        os.utime(path, (1, 1))
    assert backend.services.references.sweep() == 2
    assert [path.exists() for path in (*paths, *thumbnails)] == [True, False, True, False]


def test_recorded_webhooks_are_understood(backend: Backend) -> None:
    """Label Studio 1.23.2, as it was recorded: defective, then normal, then deleted."""
    recorded = json.loads((Path(__file__).parents[2] / "fixtures" / "requests_to_backend.json").read_text())

    def send(action: str) -> Any:
        body = recorded[f"POST /webhook {action}"]["body"]
        return backend.client.post("/webhook", json=body, headers=backend.secret)

    assert send("ANNOTATION_CREATED").json["result"] == {"references_changed": False}
    assert send("ANNOTATION_UPDATED").json["result"] == {"references_changed": True}
    (row,) = backend.services.store.references.of_project("1")
    assert (row.url, row.task_id, row.annotation_id) == ("/data/upload/1/a66a3fa1-img0.png", 1, 1)
    assert send("ANNOTATION_CREATED").json["result"] == {"references_changed": False}
    assert len(states(backend)) == 1
    assert send("PROJECT_UPDATED").status_code == 201
    assert backend.services.store.projects.get("1").title == "adclick2"
    assert send("TASKS_CREATED").status_code == 200
    assert send("ANNOTATIONS_DELETED").json["result"] == {"references_changed": True}
    assert send("ANNOTATION_UPDATED").json["result"] == {"references_changed": False}
    assert states(backend) == []
