"""From labels to a version that serves, and everything that may go wrong on the way."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.engine.bank import EngineError
from adclick_backend.jobs.control import JobCancelled
from adclick_backend.store import Job
from adclick_backend.training.job import Trainers
from adclick_backend.training.memory import is_out_of_memory
from adclick_backend.training.reference_pixels import read_references
from adclick_backend.training.training_set import build_training_set
from adclick_backend.workers import process as training_process
from model.checkpoint.manifest import CheckpointError
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.dashboard import page
from tests.helpers.references import png
from tests.helpers.training import TrainingEngine, adapter, detectors, label_images, trainer


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Six labelled images and two normal ones."""
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend)
    yield backend
    backend.close()


def train(backend: Backend, *given: Any, **options: Any) -> Job:
    """Run one training in this process; the job as it ended."""
    services = backend.services
    services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    job = services.jobs.enqueue("1", "train", "test")
    services.store.jobs.begin(job.id, "Starting.")
    training_process._run(job.id, services, _trainers(*given, **options))
    return services.jobs.get("1", job.id)


def _trainers(*given: Any, **options: Any) -> Trainers:
    train, adapt = options.pop("train", None), options.pop("adapt", None) or adapter()
    fit = options.pop("fit", None) or detectors()
    return Trainers(train or trainer(*given, **options).segmentation, adapt, fit)


def serving(backend: Backend) -> str:
    return backend.services.registry.serving_name("1")


def test_a_training_ends_with_a_version_that_serves(backend: Backend) -> None:
    job = train(backend, 0.9)
    assert (job.state, job.version, job.progress) == ("done", "v1", 1.0)
    assert "Version v1 was trained. It was promoted" in job.message
    assert serving(backend) == "fake-1+p1-v1"
    version = backend.services.registry.current("1")
    assert version is not None
    assert version.metrics["iou"] > 0.7
    assert version.manifest["version"] == "fake-1+p1-v1"
    data = version.manifest["data"]
    assert len(data["images"]) + len(data["held_out"]) == 8 and not set(data["images"]) & set(
        data["held_out"]
    )
    assert version.comparison["candidate"] == version.metrics
    assert version.pictures
    states = [point["state"] for point in backend.services.jobs.curve("1", job.id)]
    assert states[0] == "training" and states[-1] == "evaluating"
    points = [point for point in backend.services.jobs.curve("1", job.id) if "iou" in point]
    assert len(points) > 2 and points[0]["iou"] > 0.7  # live, on images that were held out
    assert "On held-out images" in page(backend, f"/projects/1/training/{job.id}")
    assert list(backend.settings.data_dir.glob("projects/1/training/*")) == []


def test_a_training_computes_in_the_number_format_of_the_settings(backend: Backend) -> None:
    told: list[object] = []
    usual = trainer(0.9).segmentation

    def noting(*args: Any, **more: Any) -> Any:
        told.append(more["asked"])
        return usual(*args, **more)

    object.__setattr__(backend.settings, "number_format", "float32")
    assert train(backend, train=noting).state == "done"
    assert told == ["float32"]


def test_label_studio_is_told_the_new_version(backend: Backend) -> None:
    train(backend, 0.9)
    assert backend.setup().json["model_version"] == "fake-1+p1-v1"
    assert "fake-1+p1-v1" in backend.client.get("/versions").json["versions"]


def test_a_worse_version_is_kept_and_does_not_serve(backend: Backend) -> None:
    """Reliability row 20: a candidate with a worse score is never promoted."""
    train(backend, 0.9)
    label_images(backend, 2, normal=0, first=20)
    job = train(backend, 0.4)
    assert job.state == "done"
    assert "not promoted, for it is worse" in job.message
    assert serving(backend) == "fake-1+p1-v1"
    newest = backend.services.registry.list("1")[0]
    assert (newest.name, newest.serving, newest.comparison["against"]) == ("v2", False, "v1")


def test_maps_that_are_not_numbers_are_never_promoted(backend: Backend) -> None:
    """Reliability row 20: a candidate with NaN."""
    job = train(backend, None)
    assert "not numbers" in job.message
    assert serving(backend) == "fake-1"


def test_labels_that_come_while_a_training_runs_are_not_forgotten(backend: Backend) -> None:
    """The page offers to train again, and the toggle that trains on every submission leads to one more job."""
    quick, start = trainer(0.9).segmentation, "/projects/1/training"

    def slow(*given: Any, **options: Any) -> Any:
        label_images(backend, 2, normal=1, first=20)
        for _ in range(3):
            backend.webhook("START_TRAINING")
        return quick(*given, **options)

    assert "labelled since" not in page(backend, start)
    first = train(backend, train=slow)
    assert first.state == "done"
    (follower,) = [job for job in backend.services.jobs.of_project("1") if job.active]
    assert (follower.state, follower.trigger) == ("queued", "Start Training in Label Studio")
    backend.services.jobs.cancel("1", follower.id)
    text = " ".join(page(backend, start).split())
    assert "3 images were labelled since the last training read the labels" in text
    assert "Train again</button>" in text

    assert train(backend, 0.9).version == "v2"
    assert "labelled since" not in page(backend, start)


def test_a_training_that_fails_leaves_the_labels_to_be_learned(backend: Backend) -> None:
    train(backend, 0.9)
    label_images(backend, 1, normal=0, first=20)
    assert train(backend, error=FloatingPointError("The loss is inf.")).state == "failed"
    assert "1 image was labelled since" in page(backend, "/projects/1/training")


def test_training_again_on_the_same_labels_does_nothing(backend: Backend) -> None:
    """Reliability row 17: the toggle that trains on every submission."""
    train(backend, 0.9)
    job = train(backend, 0.9)
    assert (job.state, job.version) == ("done", "")
    assert "Nothing has changed since v1 was trained" in job.message
    assert [version.name for version in backend.services.registry.list("1")] == ["v1"]


def test_the_phrases_of_the_labels_are_trained_with_and_new_ones_are_a_reason_to_train(
    backend: Backend,
) -> None:
    """The person's where there are any, and of any defect the built-in ones."""
    told: list[dict[str, list[str]]] = []
    well = trainer(0.9).segmentation

    def listening(*given: Any, prompts: dict[str, list[str]], **options: Any) -> Any:
        told.append(prompts)
        return well(*given, **options)

    train(backend, train=listening)
    (label,) = told[0].keys() - {"defect"}
    assert "a defect on the product" in told[0]["defect"] and len(told[0][label]) >= 8
    backend.services.prompts.add("1", label, ["red square"])
    assert train(backend, train=listening).version == "v2"
    assert told[1][label] == ["red square"]
    version = backend.services.registry.get("1", "v2")
    assert version.manifest["data"]["phrases"] == told[1]


def test_the_same_labels_make_the_same_version(tmp_path: Path) -> None:
    """Reliability row 25: snapshot, weights and metrics of two runs are the same."""
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        backend = Backend(tmp_path / name, TrainingEngine())
        label_images(backend)
        train(backend, 0.9)
        version = backend.services.registry.current("1")
        assert version is not None
        manifest = {key: value for key, value in version.manifest.items() if key != "created"}
        found.append((manifest, version.comparison))
        backend.close()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FloatingPointError("The loss is NaN."), "The training diverged: The loss is NaN."),
        (OSError(errno.ENOSPC, "No space left on device"), "The disk is full, or nearly: the last 64 MB"),
        (OSError(errno.EROFS, "Read-only file system"), "could not be read or written (Read-only"),
        (MemoryError(), "Memory ran out, with batches of half the size as well"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "Memory ran out"),
        (ValueError("Label at least one defect."), "Label at least one defect."),
        (EngineError("The image of a reference is gone."), "The image of a reference is gone."),
        (CheckpointError("The weights are damaged."), "The weights are damaged."),
        (KeyError("weights"), "an error that nobody expected; its log has the details"),
    ],
)
def test_what_goes_wrong_fails_the_job_in_words_and_changes_nothing(
    backend: Backend, error: Exception, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Reliability rows 19 and 20: disk full, NaN loss, memory."""
    train(backend, 0.9)
    label_images(backend, 1, normal=0, first=20)
    job = train(backend, error=error)
    assert job.state == "failed"
    assert reason in job.message
    assert "the version before still serves" in job.message
    assert serving(backend) == "fake-1+p1-v1"
    assert not list(backend.settings.data_dir.glob(f"projects/1/jobs/{job.id}/candidate"))
    assert not list(backend.settings.data_dir.glob("projects/1/models/.*half"))


def test_when_memory_runs_out_smaller_batches_are_tried_once(backend: Backend) -> None:
    """Reliability row 20: smaller batch once, then fail."""
    asked: list[int] = []
    well = trainer(0.9).segmentation

    def tight(*given: Any, config: Any = None, **options: Any) -> Any:
        asked.append(6 if config is None else config.crops[0][1])
        if config is None:
            raise MemoryError
        return well(*given, **options)

    assert train(backend, train=tight).state == "done"
    assert asked == [6, 3]
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_on_a_full_disk_a_training_gives_back_the_room_of_its_samples(backend: Backend) -> None:
    """Reliability row 19: what is computed again must not keep labels from being written."""
    kept: list[bool] = []

    def fill(*_: Any, resume: Path, **options: Any) -> Any:
        samples = resume.with_name("samples")
        samples.mkdir()
        (samples / "labelled-1.safetensors").write_bytes(b"a sample")
        kept.append(samples.is_dir())
        raise OSError(errno.ENOSPC, "No space left on device")

    label_images(backend)
    assert train(backend, train=fill).state == "failed"
    assert kept == [True]
    assert not list(backend.settings.data_dir.glob("projects/1/training/*"))


def test_a_full_disk_while_publishing_fails_the_job(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19: temporary files are removed and the service keeps predicting."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    job = train(backend, 0.9)
    assert job.state == "failed" and "The disk is full" in job.message
    assert backend.services.registry.list("1") == []
    assert not list(backend.settings.data_dir.glob(f"projects/1/jobs/{job.id}/candidate"))
    assert backend.client.get("/health").status_code == 200


def test_nothing_labelled_fails_with_what_to_do(tmp_path: Path) -> None:
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend, 0, normal=2)
    job = train(backend)
    assert job.state == "failed" and "label at least one defect" in job.message
    backend.close()


def test_an_engine_that_gives_up_ends_the_job_in_its_own_words(backend: Backend) -> None:
    """Also between two images, when the version is compared with the one that serves."""
    backend.engine.error = EngineError("The image of the reference c0ffee is gone.")
    job = train(backend, 0.9)
    assert job.state == "failed"
    assert job.message.startswith(
        "The image of the reference c0ffee is gone. Nothing that was labelled is lost"
    )


def test_a_training_that_can_only_fail_is_refused_before_anything_is_prepared(backend: Backend) -> None:
    backend.engine.untrainable = "Projects cannot be trained behind this network."
    began: list[object] = []
    job = train(backend, train=lambda *given, **options: began.append(given))
    assert job.state == "failed" and "cannot be trained behind this network" in job.message
    assert not began
    assert not list(backend.settings.data_dir.glob("projects/1/labels/*"))  # not even labels were fetched


def test_a_label_that_left_the_config_is_left_out_and_said(backend: Backend) -> None:
    config = backend.services.store.projects.get("1").label_config.replace("scratch", "stain")
    backend.services.store.projects.save("1", label_config=config)
    job = train(backend)
    assert job.state == "failed" and "nothing to learn from" in job.message
    assert "scratch" in " ".join(build_training_set("1", backend.services).skipped)


def test_a_corrupt_reference_is_left_out(backend: Backend) -> None:
    """Reliability row 21: a bad file is skipped."""
    services = backend.services
    rows = [
        services.references.add("1", png(grey), source="upload", name=f"{grey}.png") for grey in (90, 95, 100)
    ]
    backend.work()
    data = build_training_set("1", services)
    services.references.path(rows[0]).write_bytes(b"no image")
    found = read_references(data)
    assert len(found[""]) == sum(len(images) for images in data.references.values()) - 1
    assert train(backend, 0.9).state == "done"


def test_a_cancelled_training_says_so_and_leaves_nothing(backend: Backend) -> None:
    job = train(backend, error=JobCancelled())
    assert (job.state, job.message) == ("cancelled", "Cancelled.")
    assert serving(backend) == "fake-1"


def test_after_a_promotion_predictions_are_pushed_when_that_is_asked_for(tmp_path: Path) -> None:
    backend = Backend(tmp_path, TrainingEngine(), push_after_training=True)
    label_images(backend)
    train(backend, 0.9)
    kinds = [(job.kind, job.state, job.trigger) for job in backend.services.jobs.of_project("1")]
    assert kinds[0] == ("push", "queued", "training of v1")
    backend.close()


def test_a_response_holds_one_version_while_versions_switch(backend: Backend) -> None:
    """Reliability row 14: each answer names exactly one version, and none is half switched."""
    train(backend, 0.9)
    label_images(backend, 2, normal=0, first=20)
    train(backend, 0.95)
    registry, stop, seen = backend.services.registry, threading.Event(), set()

    def predict() -> None:
        client = backend.app.test_client()
        body = {"project": "1.1", "label_config": CONFIG, "tasks": [], "params": {"context": None}}
        task = {"id": 1, "data": {"image": "/data/local-files/?d=1.png"}}
        while not stop.is_set():
            answer = client.post("/predict", json={**body, "tasks": [task]}).json["results"][0]
            seen.add(answer["model_version"])

    registry.list("1")
    readers = [threading.Thread(target=predict) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        registry.activate("1", "v1")
        registry.activate("1", "v2")
    stop.set()
    for reader in readers:
        reader.join()
    assert seen <= {"fake-1+p1-v1", "fake-1+p1-v2"} and seen


def test_settings_survive_the_way_to_the_process(tmp_path: Path) -> None:
    backend = Backend(tmp_path, train_every=3, image_hosts=("cdn.example.com",))
    text = backend.settings.model_dump_json()
    assert type(backend.settings).model_validate_json(text) == backend.settings
    assert json.loads(text)["train_every"] == 3
    backend.close()


def test_a_version_that_cannot_be_loaded_does_not_stop_the_training_of_the_next(backend: Backend) -> None:
    """Reliability row 8: the new one is compared with the version before, or with what served before any."""
    train(backend, 0.9)
    broken = backend.services.registry.current("1")
    assert broken is not None
    assert broken.weights is not None
    backend.engine.broken.add(broken.weights)
    label_images(backend, 1, normal=0, first=20)
    job = train(backend, 0.5)
    assert (job.state, job.version) == ("done", "v2")
    comparison = backend.services.registry.get("1", "v2").comparison
    assert (comparison["against"], comparison["serving"]) == ("", {})
    assert "lacks a layer" in backend.services.registry.get("1", "v1").damage


def test_half_a_training_goes_on_with_the_code_that_began_it_or_begins_again(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 25: samples that an earlier release prepared are not mixed with those of today."""
    states: list[Path] = []
    learn = trainer(0.9).segmentation

    def killed(*given: Any, resume: Path, **options: Any) -> Any:
        states.append(resume)
        if len(states) < 4:
            resume.touch()
            raise OSError(errno.EIO, "killed")
        return learn(*given, resume=resume, **options)

    for code in ("now", "now", "of an upgrade", "of an upgrade"):
        monkeypatch.setattr("adclick_backend.training.job.fingerprint", lambda rooms, code=code: code)
        job = train(backend, train=killed)
    assert job.state == "done"
    first, again, upgraded, last = states
    assert first == again != upgraded == last
    assert not first.exists()
