"""Preparing all images: goes on where it stopped, within the disk budget, behind whoever clicks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from adclick_backend.engine.cache import DiskRoom
from adclick_backend.jobs.control import JobFailed
from adclick_backend.workers.prepare_images import budget_sentence, run
from tests.adclick_backend.workers.test_push import Cancelled, Control
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio

MB = 1_000_000


@pytest.fixture
def label_studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server  # type: ignore[misc]


@pytest.fixture
def backend(make_backend: Callable[..., Backend], label_studio: FakeLabelStudio) -> Backend:
    """A project of five tasks."""
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup(config=CONFIG)
    backend.services.store.projects.save("1", label_config=CONFIG)
    for number in range(1, 6):
        url = backend.draw(f"{number}.png", [(10 * number, 20, 200)])
        label_studio.tasks.append({"id": number, "data": {"image": url}, "annotations": []})
    return backend


waits: list[float] = []


def prepare(backend: Backend, control: Control | None = None) -> str:
    waits.clear()
    return run("1", backend.services, control or Control(), sleep=waits.append)


def test_every_image_is_prepared_once(backend: Backend) -> None:
    control = Control()
    assert prepare(backend, control) == "5 images ready for a first click, 5 of them prepared now."
    assert len({key for key, _ in backend.engine.prepared}) == 5
    assert "ADCLICK_DISK_CACHE_MB" in control.sentences[0] and control.shares[0] == 0
    assert control.shares == sorted(control.shares) and control.shares[-1] == 1
    assert prepare(backend) == "5 images ready for a first click, none of them prepared now."
    assert len(backend.engine.prepared) == 5


def test_a_cancelled_preparation_goes_on_where_it_stopped(backend: Backend) -> None:
    with pytest.raises(Cancelled):
        prepare(backend, Control(cancel_at=3))
    before = len(backend.engine.prepared)
    assert 0 < before < 5
    assert prepare(backend).startswith("5 images")
    assert len(backend.engine.prepared) == 5


def test_it_ends_when_the_disk_budget_is_used_and_says_what_to_raise(backend: Backend) -> None:
    backend.engine.disk_room = DiskRoom(30 * MB, 9 * MB, 9 * MB, 0, 10 * MB)
    said = prepare(backend)
    assert said.startswith("2 images ready for a first click, 2 of them prepared now.")
    assert "3 images did not fit: raise ADCLICK_DISK_CACHE_MB, which is 4000" in said


def test_an_image_that_cannot_be_read_is_passed_over_and_said(
    backend: Backend, label_studio: FakeLabelStudio
) -> None:
    label_studio.tasks[2]["data"] = {"image": "/data/local-files/?d=missing.png"}
    assert "1 image could not be prepared; the problems page says why." in prepare(backend)
    (problem,) = backend.services.store.problems.latest("1")
    assert problem.task_id == 3


def test_it_waits_while_somebody_clicks(backend: Backend) -> None:
    backend.click(task(backend.draw("clicked.png", [(20, 20, 250)]), 9), [point(20, 20)])
    control = Control()
    prepare(backend, control)
    assert sum(waits) >= 10  # the test's sleep does not let time go by
    assert any("Somebody is clicking" in sentence for sentence in control.sentences)


def test_a_config_without_clicks_fails_in_words(backend: Backend) -> None:
    backend.services.store.projects.save(
        "1", label_config='<View><Image name="image" value="$image"/></View>'
    )
    with pytest.raises(JobFailed, match="BrushLabels"):
        prepare(backend)


def test_what_it_needs_is_said_before_it_begins() -> None:
    room = DiskRoom(4000 * MB, 300 * MB, 200 * MB, 0, 7 * MB)
    assert room.images == 528
    assert budget_sentence(300, room) == (
        "300 images need about 2.1 GB; the disk cache (ADCLICK_DISK_CACHE_MB) holds 4.0 GB, of which references and "
        "other projects take 300 MB: all fit."
    )
    assert budget_sentence(1000, room).endswith("about 528 fit.")
    assert "enough for about 528 of them" in budget_sentence(0, room)
    assert replace(room, held=9000 * MB).images == 0
