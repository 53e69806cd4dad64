"""Labels kept for training: answers to clicks, annotations from webhooks, and the whole project from Label Studio."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from adclick_backend.answers.keeper import KEPT_DAYS
from adclick_backend.labels.mirror import LabelCounts
from adclick_backend.labels.sync import PATIENCE, sync
from adclick_backend.store import LabelledTask
from tests.helpers.backend import CONFIG, Backend, mask_of, point, task
from tests.helpers.fake_label_studio import LEGACY_TOKEN, PERSONAL_TOKEN, FakeLabelStudio
from tests.helpers.labels import annotated, block, brush, choice, rectangle
from tests.helpers.local_server import Reply
from tests.helpers.references import png

MASK = block(8, 12, 16, 20)


def saved(backend: Backend, number: int, result: Any, url: str = "/data/upload/1/a.png", **more: Any) -> Any:
    """The webhook of annotation `number`, of task `number`."""
    data = {"id": more.get("task", number), "data": {"image": url}}
    return backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result, **more), task=data)


def kept(backend: Backend, project: str = "1") -> dict[int, list[int]]:
    """Task -> its annotations, as they are kept."""
    rows = backend.services.store.labels.of_project(project)
    return {row.task_id: [one["id"] for one in row.live] for row in rows}


# --- answers to clicks


def test_an_answer_is_kept_with_all_that_it_comes_from(backend: Backend) -> None:
    backend.setup()
    url = backend.draw("a.png", [(20, 20, 200)])
    reference = backend.services.references.add("1", png(), source="upload", name="good.png")
    backend.work()
    region = backend.click(task(url, 7), [point(20, 20)]).get_json()["results"][0]["result"][0]
    backend.services.answers.flush()
    answer = backend.services.store.answers.of_task("1", 7)[region["id"]]
    assert (answer.label, answer.model_version, answer.references) == ("scratch", "fake-1", (reference.sha,))
    assert answer.clicks == ((20.0, 20.0, True),)
    assert answer.size == answer.map_size == (48, 64)
    np.testing.assert_array_equal(answer.mask(), mask_of(region))
    np.testing.assert_array_equal(answer.probability() > 0.5, mask_of(region))
    assert len(answer.sha) == 64


def test_a_further_click_takes_the_place_of_the_answer_before(backend: Backend) -> None:
    backend.setup()
    url = backend.draw("a.png", [(20, 20, 200), (40, 30, 100)])
    backend.click(task(url, 7), [point(20, 20)])
    backend.click(task(url, 7), [point(20, 20), point(40, 30, name="kp2")])
    backend.services.answers.flush()
    (answer,) = backend.services.store.answers.of_task("1", 7).values()
    assert len(answer.clicks) == 2


def test_a_database_that_cannot_be_written_costs_the_answer_not_the_click(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Reliability row 19."""

    def full(answer: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(backend.services.store.answers, "put", full)
    backend.setup()
    answer = backend.click(task(backend.draw("a.png", [(20, 20, 200)]), 7), [point(20, 20)]).get_json()
    assert answer["results"][0]["result"]
    backend.services.answers.flush()
    assert "disk is full" in caplog.text


def test_answers_that_nobody_accepted_are_forgotten_after_a_while(backend: Backend) -> None:
    backend.setup()
    url = backend.draw("a.png", [(20, 20, 200)])
    regions = [
        backend.click(task(url, number), [point(20, 20)]).get_json()["results"][0]["result"][0]
        for number in (1, 2)
    ]
    backend.services.answers.flush()
    saved(backend, 1, [regions[0]], url)
    backend.services.store.answers.prune(time.time() + 1)
    assert backend.services.store.answers.regions("1", 1) == {regions[0]["id"]}
    assert backend.services.store.answers.regions("1", 2) == set()
    assert KEPT_DAYS >= 7


def test_clicking_on_an_accepted_region_does_not_lose_its_answer(backend: Backend) -> None:
    backend.setup()
    url = backend.draw("a.png", [(20, 20, 200)])
    region = backend.click(task(url, 1), [point(20, 20)]).get_json()["results"][0]["result"][0]
    backend.services.answers.flush()
    saved(backend, 1, [region], url)
    backend.click(task(url, 1), [point(20, 20)])  # looked at again, and left as it was
    backend.services.answers.flush()
    assert backend.services.store.answers.prune(time.time() + 1) == 0


def test_an_accepted_answer_is_counted_as_clicked(backend: Backend) -> None:
    backend.setup()
    url = backend.draw("a.png", [(20, 20, 200)])
    region = backend.click(task(url, 1), [point(20, 20)]).get_json()["results"][0]["result"][0]
    backend.services.answers.flush()
    saved(backend, 1, [region], url)
    saved(backend, 2, [brush(MASK)])
    assert backend.services.labels.details("1").types == {"scratch": {"clicked": 1, "mask": 1}}


# --- webhooks


def test_labels_are_counted_by_type_and_kind(backend: Backend) -> None:
    backend.setup()
    saved(backend, 1, [brush(MASK), brush(MASK, "dent", "b")])
    saved(backend, 2, [rectangle(1, 1, 5, 5)])
    saved(backend, 3, [choice("defective")])
    saved(backend, 4, [choice("normal")])
    saved(backend, 5, [], was_cancelled=True)
    saved(backend, 6, [brush(MASK, "rust")])
    assert backend.services.labels.counts("1") == {"defect": 1, "dent": 1, "scratch": 2}
    assert backend.services.labels.details("1") == LabelCounts(
        {"defect": {"tag": 1}, "dent": {"mask": 1}, "scratch": {"mask": 1, "box": 1}}, normal=1, unusable=2
    )


def test_shuffled_and_repeated_webhooks_end_the_same(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 17: the newest word on each annotation counts, deletions are for good."""
    backend = make_backend()
    backend.setup()
    rng = random.Random(3)
    for round_ in range(4):
        first = 10 * round_ + 1  # ids are never used again
        storm: list[Callable[[], Any]] = [
            lambda f=first: saved(backend, f, [brush(MASK)], second=1),
            lambda f=first: saved(backend, f, [brush(MASK, "dent")], second=2),
            lambda f=first: saved(backend, f, [brush(MASK), brush(MASK, "dent", "b")], second=3),
            lambda f=first: saved(backend, f + 1, [choice("defective")], task=f),
            lambda f=first: saved(backend, f + 2, [brush(MASK)]),
            lambda f=first: saved(backend, f + 3, [brush(MASK)]),
            lambda f=first: backend.webhook(
                "ANNOTATIONS_DELETED", annotations=[{"id": f + 1}, {"id": f + 2}]
            ),
            lambda f=first: backend.webhook("TASKS_DELETED", tasks=[{"id": f + 3}]),
        ] * 2
        rng.shuffle(storm)
        for event in storm:
            assert event().status_code == 201
    assert kept(backend) == {first: [first] for first in (1, 11, 21, 31)}
    assert backend.services.labels.counts("1") == {"dent": 4, "scratch": 4}


def test_labels_of_another_project_stay_there(backend: Backend) -> None:
    """Reliability row 24."""
    data = {"id": 1, "data": {"image": "/a.png"}}
    backend.webhook("ANNOTATION_CREATED", project=2, annotation=annotated(1, [brush(MASK)]), task=data)
    assert kept(backend) == {}
    backend.webhook("ANNOTATIONS_DELETED", project=1, annotations=[{"id": 1}])
    backend.webhook("TASKS_DELETED", project=1, tasks=[{"id": 1}])
    assert kept(backend, "2") == {1: [1]}


def test_a_label_that_was_removed_from_the_config_is_no_longer_counted(backend: Backend) -> None:
    backend.setup()
    saved(backend, 1, [brush(MASK), brush(MASK, "dent", "b")])
    saved(backend, 2, [choice("defective")])
    backend.setup(config=CONFIG.replace('<Label value="scratch"/>', ""))
    assert backend.services.labels.counts("1") == {"defect": 1, "dent": 1}


# --- the whole project


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    """Label Studio with three labelled tasks and one without a label; nobody waits between attempts."""
    monkeypatch.setattr("adclick_backend.label_studio.transport.random.uniform", lambda low, high: 0.0)
    with FakeLabelStudio() as running:
        for number, result in (
            (1, [brush(MASK)]),
            (2, [choice("normal")]),
            (3, [rectangle(1, 1, 9, 9)]),
            (4, None),
        ):
            path = f"/data/upload/1/{number}.png"
            running.tasks.append(
                {
                    "id": number,
                    "project": 1,
                    "data": {"image": path},
                    "annotations": [] if result is None else [annotated(number, result)],
                }
            )
            running.files[path] = Reply(body=png(10 * number))
        yield running


@pytest.fixture
def connected(make_backend: Callable[..., Backend], server: FakeLabelStudio) -> Backend:
    return connect(make_backend, server)


def connect(
    make_backend: Callable[..., Backend], server: FakeLabelStudio, key: str = PERSONAL_TOKEN
) -> Backend:
    backend = make_backend(label_studio_url=server.url, label_studio_api_key=key)
    backend.services.store.projects.save("1", label_config=CONFIG, hostname=server.url, created="1795338618")
    return backend


@pytest.mark.parametrize("key", [PERSONAL_TOKEN, LEGACY_TOKEN])
def test_all_labels_and_their_images_are_kept(
    make_backend: Callable[..., Backend], server: FakeLabelStudio, key: str
) -> None:
    backend = connect(make_backend, server, key)
    shares: list[float] = []
    assert backend.sync("1", shares.append) == ""
    assert kept(backend) == {1: [1], 2: [2], 3: [3]}
    assert backend.services.labels.details("1") == LabelCounts({"scratch": {"mask": 1, "box": 1}}, 1, 0)
    for row in backend.services.store.labels.of_project("1"):
        assert backend.services.labels.path("1", row.file).read_bytes() == png(10 * row.task_id)
        assert row.file == f"{row.sha}.png"
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    seen = len(server.requests)
    assert backend.sync() == ""
    assert not [path for path in server.paths[seen:] if "upload" in path]  # what is here is not fetched again


def test_tasks_come_page_by_page(
    connected: Backend, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 22."""
    monkeypatch.setattr("adclick_backend.labels.sync.PAGE", 2)
    assert connected.sync() == ""
    assert len(server.calls("/api/tasks")) == 2
    assert set(kept(connected)) == {1, 2, 3}


def test_deleted_task(connected: Backend, server: FakeLabelStudio) -> None:
    """A task that Label Studio no longer has is forgotten, also when no webhook said so; its image goes later."""
    labels = connected.services.labels
    connected.sync()
    (gone,) = [row for row in connected.services.store.labels.of_project("1") if row.task_id == 1]
    server.tasks = server.tasks[1:]
    server.tasks[1]["annotations"] = []  # task 3: its annotation was deleted
    assert connected.sync() == ""
    assert kept(connected) == {2: [2]}
    assert labels.path("1", gone.file).is_file()  # a training may still be reading it
    saved(connected, 1, [brush(MASK)])  # a webhook that comes too late
    assert set(kept(connected)) == {2}


def test_a_project_that_may_no_longer_be_seen_is_not_taken_for_an_empty_one(
    connected: Backend, server: FakeLabelStudio
) -> None:
    """Reliability row 22."""
    connected.sync()
    server.tasks, server.projects = [], []
    assert "404" in connected.sync()
    assert set(kept(connected)) == {1, 2, 3}


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        ([Reply(status=502)] * 40, "502"),
        ([Reply.json({"detail": "slow down"}, 429)] * 40, "429"),
        ([Reply.json({"detail": "Invalid token."}, 401)] * 40, "personal access token"),
    ],
)
def test_label_studio_away_refusing_or_busy_leaves_what_is_known(
    connected: Backend, server: FakeLabelStudio, failures: list[Reply], words: str
) -> None:
    """Reliability row 22."""
    connected.sync()
    before = connected.services.store.labels.of_project("1")
    server.failures = failures
    problem = connected.sync()
    assert words in problem
    assert "those known before are used" in problem
    assert connected.services.store.labels.of_project("1") == before
    server.failures = [Reply(status=503), Reply.json({}, 429)]  # passes by itself
    assert connected.sync() == ""


def test_label_studio_going_away_between_two_pages_loses_nothing(
    connected: Backend, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 22."""
    connected.sync()
    monkeypatch.setattr("adclick_backend.labels.sync.PAGE", 1)
    whole, pages = server._page, []

    def one_page(query: dict[str, str]) -> Reply:
        pages.append(query["page"])
        return whole(query) if pages == ["1"] else Reply(status=502)

    monkeypatch.setattr(server, "_page", one_page)
    assert connected.sync()
    assert set(kept(connected)) == {1, 2, 3}


def test_an_access_token_that_expired_is_replaced(connected: Backend, server: FakeLabelStudio) -> None:
    """Reliability row 22."""
    connected.sync()
    server.access_tokens.append("another")  # the one in use is no longer good
    assert connected.sync() == ""


def test_what_a_webhook_said_while_the_pages_came_is_kept(
    connected: Backend, server: FakeLabelStudio
) -> None:
    """Reliability row 17."""
    fresh = annotated(9, [brush(MASK, "dent")], second=9, task=1)
    old = dict(server.tasks[0])
    asked = time.time() - 1
    server.tasks[0]["annotations"] = [*old["annotations"], fresh]  # type: ignore[misc]
    connected.webhook("ANNOTATION_CREATED", annotation=fresh, task={"id": 1, "data": old["data"]})
    connected.services.keeper.step()
    connected.services.labels.mirror("1", old, asked)
    assert kept(connected) == {1: [1, 9]}
    connected.services.labels.mirror("1", old, time.time() + 1)
    assert kept(connected) == {1: [1]}


def test_a_corrupt_image_is_named_and_the_others_are_kept(
    connected: Backend, server: FakeLabelStudio
) -> None:
    server.files["/data/upload/1/1.png"] = Reply(body=png()[:-30])
    server.files["/data/upload/1/3.png"] = Reply(status=404)
    assert connected.sync() == ""
    rows: dict[int, LabelledTask] = {
        row.task_id: row for row in connected.services.store.labels.of_project("1")
    }
    assert rows[1].problem
    assert rows[1].file == ""
    assert "404" in rows[3].problem
    assert rows[2].file
    server.files["/data/upload/1/3.png"] = Reply(body=png(30))
    connected.sync()
    assert {row.task_id for row in connected.services.store.labels.of_project("1") if row.file} == {2, 3}


def test_images_are_not_asked_for_for_ever_when_label_studio_gives_none(
    connected: Backend, server: FakeLabelStudio
) -> None:
    """Reliability row 22."""
    for number in range(10, 30):
        server.tasks.append({**server.tasks[0], "id": number, "annotations": [annotated(number, [])]})
        server.tasks[-1]["data"] = {"image": f"/data/upload/1/{number}.png"}
        server.files[f"/data/upload/1/{number}.png"] = Reply(status=401)
    for number in (1, 2, 3):
        server.files[f"/data/upload/1/{number}.png"] = Reply(status=401)
    assert "could not be fetched" in connected.sync()
    asked = {path for path in server.paths if "upload" in path}
    assert len(asked) == PATIENCE
    assert len(kept(connected)) == 23


def test_a_task_with_another_image_is_fetched_again(connected: Backend, server: FakeLabelStudio) -> None:
    connected.sync()
    server.tasks[0]["data"] = {"image": "/data/upload/1/4.png"}
    connected.sync()
    row = connected.services.store.labels.of_project("1")[0]
    assert connected.services.labels.path("1", row.file).read_bytes() == png(40)


def test_odd_annotations_are_left_out_and_do_not_stop_the_others(
    connected: Backend, server: FakeLabelStudio
) -> None:
    server.tasks[0]["annotations"] = [{"id": "?"}, annotated(1, [brush(MASK)])]
    assert connected.sync() == ""
    assert kept(connected)[1] == [1]


def test_a_task_without_an_image_says_so(connected: Backend, server: FakeLabelStudio) -> None:
    server.tasks[0]["data"] = {"text": "no image"}
    assert connected.sync() == ""
    assert "no image in the field" in connected.services.store.labels.of_project("1")[0].problem


def test_a_server_that_is_left_alone_for_a_moment_costs_no_image(
    connected: Backend, server: FakeLabelStudio
) -> None:
    """Reliability row 29: nobody waits for a synchronisation, so it waits instead."""
    services, breakers = connected.services, connected.services.connections._breakers
    assert connected.sync() == ""
    for row in services.store.labels.of_project("1"):
        services.labels.path("1", row.file).unlink()
    shutil.rmtree(connected.settings.data_dir / "cache")
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            breakers.answered(server.url)

    for _ in range(2):
        breakers.failed(server.url)
    sync("1", services.labels, services.store, services.connections, sleep=sleep)
    assert all(services.labels.path("1", row.file).is_file() for row in services.store.labels.of_project("1"))
    assert naps == [5.0, 5.0]


def test_a_server_that_stays_away_is_not_waited_for_with_each_image(
    connected: Backend, server: FakeLabelStudio
) -> None:
    """Reliability row 29."""
    services, breakers = connected.services, connected.services.connections._breakers
    assert connected.sync() == ""
    for row in services.store.labels.of_project("1"):
        services.labels.path("1", row.file).unlink()
    shutil.rmtree(connected.settings.data_dir / "cache")
    naps: list[float] = []
    for _ in range(2):
        breakers.failed(server.url)
    sync("1", services.labels, services.store, services.connections, sleep=naps.append)
    assert sum(naps) == 40.0
