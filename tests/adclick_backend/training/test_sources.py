"""Start Training with detectors: the best source of masks serves, whatever becomes of the others."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.jobs.control import JobCancelled
from adclick_backend.store import Job
from adclick_backend.store.version import Version
from adclick_backend.training.job import ENOUGH_LABELLED, Trainers
from adclick_backend.workers import process
from tests.helpers.backend import Backend
from tests.helpers.references import png
from tests.helpers.training import UnusualEngine, adapter, detectors, label_images, trainer
from tests.helpers.versions import detector_candidate


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Eight references and no label."""
    backend = Backend(tmp_path, UnusualEngine())
    backend.setup()
    add_references(backend, 8)
    yield backend
    backend.close()


def add_references(backend: Backend, count: int, first: int = 80) -> None:
    for number in range(first, first + count):
        backend.services.references.add("1", png(number), source="upload", name=f"{number}.png")
    backend.work()


def train(backend: Backend, segmentation: float | None = 0.5, fit: Any = None, clicks: float = 0.5) -> Job:
    """Run one training in this process."""
    services = backend.services
    services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    job = services.jobs.enqueue("1", "train", "test")
    services.store.jobs.begin(job.id, "Starting.")
    given = Trainers(trainer(segmentation).segmentation, adapter(clicks), fit or detectors())
    process._run(job.id, services, given)
    return services.jobs.get("1", job.id)


def serving(backend: Backend) -> Version:
    version = backend.services.registry.current("1")
    assert version is not None
    return version


def test_references_alone_are_trained_with_and_the_best_source_serves(backend: Backend) -> None:
    """Six of them; the other two, and defects drawn on these, say which source is best."""
    job = train(backend, 0.5, detectors(0.9))
    assert job.state == "done"
    assert "Of 5 sources of masks before the first click, tried on 14 images, InvAD did best" in job.message
    assert "It was promoted: no version served before." in job.message  # what did is among the sources
    version = serving(backend)
    assert version.source == "invad-tiny" and version.detector is not None
    assert json.loads(version.detector.read_bytes())["references"] == {"": 6}
    assert json.loads(version.detector.with_suffix(".json").read_bytes())["serves"] == ["invad-tiny"]
    assert len(version.manifest["data"]["tried_on"]) == 2
    assert version.comparison["sources"]["notes"] == ["Fitted to good images."]
    rows = {row["name"]: row for row in version.comparison["sources"]["rows"]}
    assert list(rows) == ["trained", "packaged", "residual", "invad-tiny", "invad-tiny+residual"]
    assert rows["invad-tiny"]["drawn"] > rows["trained"]["drawn"] + 0.2
    assert len(version.source_pictures) == 6
    assert version.metrics["iou"] == pytest.approx(rows["invad-tiny"]["drawn"], abs=1e-3)
    proposing = backend.services.proposer.serving("1")
    assert (proposing.name, proposing.source) == ("fake-1+p1-v1", version.proposing())


def test_networks_are_compared_as_they_are_calibrated(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a person cuts the masks of the one that serves; and the new one begins as calibrated."""
    train(backend, 0.5, detectors(0.6))
    backend.services.thresholds.choose("1", "v1", serving(backend).source, {"defect": 0.99})
    asked, maps = [], backend.engine.maps

    def seen(*args: Any) -> Any:
        asked.append(args[3])
        return maps(*args)

    monkeypatch.setattr(backend.engine, "maps", seen)
    add_references(backend, 1, 120)
    job = train(backend, 0.5, detectors(0.9))
    assert "It was promoted" in job.message
    assert (
        "Its thresholds are as calibrated: those that somebody set belong to what served before."
        in job.message
    )
    assert asked and all(source is None or source.points == () for source in asked)
    assert any(
        source and source.detector == backend.services.registry.get("1", "v1").detector for source in asked
    )
    assert backend.services.thresholds.of("1").points == {"defect": 0.5}


def test_a_detector_that_is_worse_than_the_network_does_not_serve(backend: Backend) -> None:
    job = train(backend, 0.9, detectors(0.2))
    assert "the trained network did best" in job.message
    assert serving(backend).source == "trained"
    assert serving(backend).parts == ("invad-tiny", "residual")  # somebody may choose it all the same


def test_a_worse_source_than_the_one_that_serves_is_not_promoted(backend: Backend) -> None:
    """The gate holds for detectors as for trained networks."""
    train(backend, 0.5, detectors(0.9))
    add_references(backend, 1, 120)
    job = train(backend, 0.5, detectors(0.6))
    assert "not promoted, for it is worse" in job.message
    assert serving(backend).name == "v1"
    add_references(backend, 1, 130)
    train(backend, 0.5, detectors(0.95))
    assert (serving(backend).name, serving(backend).source) == ("v3", "invad-tiny")
    assert backend.services.registry.roll_back("1") == serving(backend)
    assert serving(backend).name == "v1"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ValueError("InvAD learns from two good images or more."),
            "InvAD learns from two good images or more.",
        ),
        (FloatingPointError("The loss is NaN."), "The loss is NaN."),
        (MemoryError(), "Memory ran out."),
        (KeyError("weights"), "an error that nobody expected; the log of the job has the details."),
    ],
)
def test_detectors_that_cannot_be_trained_cost_nothing_else(
    backend: Backend, error: Exception, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Reliability row 20: NaN, memory."""
    job = train(backend, 0.9, detectors(error=error))
    assert (job.state, job.version) == ("done", "v1")
    assert "There are no detectors among the sources of masks: " in job.message and said in job.message
    version = serving(backend)
    assert (version.source, version.detector, version.detector_damage) == ("trained", None, "")
    assert not list(backend.settings.data_dir.glob("projects/1/training/*"))


@pytest.mark.parametrize(
    ("error", "state"),
    [(OSError(errno.ENOSPC, "No space left on device"), "failed"), (JobCancelled(), "cancelled")],
)
def test_a_full_disk_and_a_person_end_the_training(backend: Backend, error: Exception, state: str) -> None:
    """Reliability row 19."""
    job = train(backend, 0.9, detectors(error=error))
    assert job.state == state
    assert backend.services.registry.list("1") == []


def test_maps_of_a_detector_that_are_no_numbers_never_serve(backend: Backend) -> None:
    """Reliability row 20."""

    def broken(*given: Any, **options: Any) -> Any:
        found = detectors(0.9)(*given, **options)
        detector_candidate(given[1].parent, b'{"quality": null}')
        return found

    train(backend, 0.5, broken)
    assert serving(backend).source == "trained"


def test_with_too_few_references_only_the_network_is_tried(tmp_path: Path) -> None:
    backend = Backend(tmp_path, UnusualEngine())
    backend.setup()
    add_references(backend, 2)
    job = train(backend, 0.5, detectors(0.9))
    assert job.state == "done"
    assert "sources of masks before" not in job.message
    assert serving(backend).source == "trained" and serving(backend).source_pictures == []
    backend.close()


def test_with_one_good_image_and_no_label_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    backend = Backend(tmp_path, UnusualEngine())
    backend.setup()
    add_references(backend, 1)
    job = train(backend)
    assert job.state == "failed" and "There is nothing to learn from" in job.message
    backend.close()


def test_the_source_that_somebody_chose_is_what_a_new_version_is_judged_by(backend: Backend) -> None:
    registry = backend.services.registry
    train(backend, 0.5, detectors(0.9))
    registry.choose("1", "trained")
    assert registry.serving_name("1") == "fake-1+p1-v1-trained"
    add_references(backend, 1, 120)
    job = train(backend, 0.8, detectors(0.85))
    assert "Masks come from the trained network, as somebody chose" in job.message
    assert serving(backend).name == "v2"
    assert backend.services.proposer.serving("1").source.name == "trained"  # type: ignore[union-attr]


def test_labels_count_where_there_are_some(tmp_path: Path) -> None:
    backend = Backend(tmp_path, UnusualEngine())
    label_images(backend, 6, normal=8)
    backend.work()
    job = train(backend, 0.9, detectors(0.95))
    rows = serving(backend).comparison["sources"]["rows"]
    assert all(row["labelled"] is not None for row in rows), job.message
    backend.close()


def test_detectors_are_left_out_where_labels_are_enough(tmp_path: Path) -> None:
    backend = Backend(tmp_path, UnusualEngine())
    label_images(backend, ENOUGH_LABELLED + 1, normal=8)
    backend.work()
    job = train(backend, 0.5, detectors(0.9))
    assert "left out, for there are labels enough: 11 images with a defect." in job.message
    assert (serving(backend).source, serving(backend).detector) == ("trained", None)
    backend.close()


def test_labels_are_never_enough_where_masks_come_from_a_detector(tmp_path: Path) -> None:
    backend = Backend(tmp_path, UnusualEngine())
    label_images(backend, 6, normal=8)
    backend.work()
    train(backend, 0.2, detectors(0.9))
    assert serving(backend).source == "invad-tiny"
    label_images(backend, ENOUGH_LABELLED + 1, normal=8)
    backend.work()
    job = train(backend, 0.2, detectors(0.9))
    assert "left out" not in job.message
    assert (serving(backend).name, serving(backend).source) == ("v2", "invad-tiny"), job.message
    backend.close()


def test_better_clicks_serve_beside_the_detectors_of_the_version_before(tmp_path: Path) -> None:
    backend = Backend(tmp_path, UnusualEngine())
    label_images(backend, 6, normal=8)
    backend.work()
    train(backend, 0.3, detectors(0.95))
    assert serving(backend).source == "invad-tiny"
    label_images(backend, 1, normal=0, first=40)
    job = train(backend, 0.2, detectors(0.1), clicks=0.9)
    assert (
        "So version v3 serves: it answers clicks as v2 does, and masks before the first click come from v1"
        in job.message
    )
    version = serving(backend)
    assert (version.name, version.source) == ("v3", "invad-tiny")
    assert version.clicks is not None and version.detector is not None
    assert json.loads(version.detector.read_bytes())["quality"] == 0.95
    backend.close()
