"""A training adapts clicks too: which network a version answers with, and what a person is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.dashboard.versions import draw_effort
from adclick_backend.jobs.control import JobCancelled
from adclick_backend.store import Job
from adclick_backend.store.proposal_source import ProposalSource
from adclick_backend.store.version import Version
from adclick_backend.training.job import Trainers
from adclick_backend.workers import process
from model.training.progress import Cancelled
from tests.helpers.backend import Backend, point, task
from tests.helpers.dashboard import page
from tests.helpers.training import TrainingEngine, adapter, detectors, label_images, trainer


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Six labelled images and two normal ones."""
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend)
    yield backend
    backend.close()


def train(
    backend: Backend, segmentation: float = 0.9, clicks: Any = 0.9, error: Exception | None = None
) -> Job:
    """Run one training in this process: what share of defects each of its networks sees."""
    services = backend.services
    services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    job = services.jobs.enqueue("1", "train", "test")
    services.store.jobs.begin(job.id, "Starting.")
    adapt = clicks if callable(clicks) else adapter(clicks, error)
    process._run(job.id, services, Trainers(trainer(segmentation).segmentation, adapt, detectors()))
    return services.jobs.get("1", job.id)


def again(backend: Backend, number: int, *given: Any, **options: Any) -> Job:
    """The same after one more label: the same data is not trained on twice."""
    label_images(backend, 1, normal=0, first=20 + number)
    return train(backend, *given, **options)


def serving(backend: Backend) -> Version:
    version = backend.services.registry.current("1")
    assert version is not None
    return version


def click(backend: Backend, name: str = "kp1") -> dict[str, Any]:
    """The answer to the first click on the defect of the first image."""
    backend.services.memory.forget("1", "1")
    url = backend.draw("1.png", [(28, 20, 181)], grey=61)
    answer = backend.click(task(url), [point(28, 20, name=name)]).get_json()["results"][0]
    assert answer["result"]
    return answer  # type: ignore[no-any-return]


def answered_by(backend: Backend) -> Path | None:
    return backend.engine.click_weights[-1]


def test_a_better_click_network_answers_once_its_version_serves(backend: Backend) -> None:
    click(backend)
    assert answered_by(backend) is None
    job = train(backend, clicks=0.9)
    assert "Clicks are answered by a network that was adapted to this project" in job.message
    version = serving(backend)
    assert version.clicks is not None and version.clicks.exists()
    assert version.metrics["click_1"] == pytest.approx(0.875) and version.metrics["click_5"] == pytest.approx(
        0.875
    )
    verdict = version.comparison["clicks"]
    assert verdict["adopted"] and verdict["serving"]["click_1"] == pytest.approx(0.5)
    assert len(verdict["images"]) == len(version.click_pictures) == 3
    assert not set(json.loads((version.folder / "click.json").read_text())["data"]["images"]) & {
        one["image"] for one in verdict["images"]
    }
    assert click(backend, "kp2")["model_version"] == "fake-1+p1-v1"
    assert answered_by(backend) == version.clicks
    backend.services.registry.roll_back("1")
    assert click(backend, "kp3")["model_version"] == "fake-1"
    assert answered_by(backend) is None


@pytest.mark.parametrize("quality", [0.5, 0.25])
def test_a_click_network_that_is_not_better_is_not_kept(backend: Backend, quality: float) -> None:
    job = train(backend, clicks=quality)
    assert "Clicks go on being answered by the network that all projects share" in job.message
    version = serving(backend)
    assert version.clicks is None and not (version.folder / "click.safetensors").exists()
    assert version.metrics["click_1"] == pytest.approx(0.5)  # what its clicks are answered with
    assert click(backend)["model_version"] == "fake-1+p1-v1"
    assert answered_by(backend) is None


def test_a_click_network_that_is_better_than_the_next_is_carried_over(backend: Backend) -> None:
    train(backend, clicks=0.9)
    job = again(backend, 0, 0.9, 0.6)
    assert "Clicks go on being answered by the network of v1" in job.message
    version = serving(backend)
    assert version.name == "v2" and version.clicks is not None
    assert json.loads(version.clicks.read_bytes())["clicks"] == 0.9


def test_better_clicks_serve_though_the_segmentation_network_is_worse(backend: Backend) -> None:
    train(backend, 0.9, 0.5)
    job = again(backend, 0, 0.2, 0.9)
    assert job.version == "v2" and "It was not promoted" in job.message
    assert (
        "So version v3 serves: it answers clicks as v2 does, and masks before the first click come from v1."
        in job.message
    )
    version = serving(backend)
    assert version.name == "v3" and version.weights is not None and version.clicks is not None
    assert json.loads(version.weights.read_bytes())["quality"] == 0.9
    assert version.manifest["version"] == "fake-1+p1-v3"
    assert json.loads(version.clicks.read_bytes())["clicks"] == 0.9
    assert version.metrics["iou"] > 0.7 and version.metrics["click_1"] == pytest.approx(0.875)
    assert [v.name for v in backend.services.registry.list("1")] == ["v3", "v2", "v1"]
    assert not list(backend.settings.data_dir.glob("projects/1/jobs/*/combined"))
    again_rolled = backend.services.registry.roll_back("1")
    assert again_rolled is not None and again_rolled.name == "v1" and again_rolled.clicks is None


def test_better_clicks_serve_beside_the_packaged_network_that_proposes(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packaged network sees more than the first version that was trained."""
    monkeypatch.setattr(backend.engine, "source", lambda bank, weights: "trained" if weights else "packaged")
    job = train(backend, 0.1, 0.9)
    assert "So version v2 serves" in job.message and "come from the packaged network" in job.message
    version = serving(backend)
    assert (version.weights, version.damage) == (None, "")
    click(backend)
    assert answered_by(backend) == version.clicks
    assert backend.services.proposer.serving("1").source == ProposalSource("packaged")
    text = " ".join(page(backend, "/projects/1/versions").split())
    assert "Masks before the first click come from the packaged network," in text
    job = again(backend, 0, 0.9, 0.9)  # and the next training starts from there
    assert job.state == "done" and serving(backend).weights is not None


def test_two_masks_are_too_few_to_judge_clicks_by(tmp_path: Path) -> None:
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend, 2)

    def never(*given: object, **more: object) -> Mapping[str, Any]:
        raise AssertionError("nothing may be adapted")

    job = train(backend, clicks=never)
    assert "once 3 images have an accepted mask, to judge the result by, and 2 have one" in job.message
    assert serving(backend).clicks is None
    backend.close()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "they could not be adapted. Memory ran out."),
        (RuntimeError("CUDA out of memory"), "they could not be adapted. Memory ran out."),
        (FloatingPointError("The loss became nan at step 3."), "The loss became nan at step 3."),
        (ValueError("There is nothing that clicks could be adapted to."), "There is nothing that clicks"),
    ],
)
def test_clicks_that_cannot_be_adapted_do_not_stop_the_training(
    backend: Backend, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 20: with half the batches too; what was prepared for it is deleted."""
    job = train(backend, error=error)
    assert (job.state, job.version) == ("done", "v1")
    assert words in job.message
    assert serving(backend).clicks is None
    assert list(backend.settings.data_dir.glob("projects/1/training/*")) == []


def test_a_full_disk_while_clicks_are_adapted_ends_the_training(backend: Backend) -> None:
    """Reliability row 19."""
    job = train(backend, error=OSError(28, "No space left on device"))
    assert job.state == "failed" and "The disk is full" in job.message
    assert backend.services.registry.current("1") is None
    assert list(backend.settings.data_dir.glob("projects/1/training/*")) == []


@pytest.mark.parametrize("error", [JobCancelled(), Cancelled("The training was cancelled.")])
def test_a_training_can_be_cancelled_while_clicks_are_adapted(backend: Backend, error: Exception) -> None:
    job = train(backend, error=error)
    assert (job.state, job.message) == ("cancelled", "Cancelled.")
    assert backend.services.registry.current("1") is None


def test_an_object_goes_on_with_the_network_that_it_was_begun_with(backend: Backend) -> None:
    """Its earlier answers are those of that network, and the next one builds on them."""
    url = backend.draw("1.png", [(28, 20, 181)], grey=61)
    first, second = point(28, 20), point(29, 21, name="kp2")
    backend.click(task(url), [first])
    train(backend, clicks=0.9)
    answer = backend.click(task(url), [first, second]).get_json()["results"][0]
    assert answered_by(backend) is None and answer["model_version"] == "fake-1"
    kept = backend.services.store.answers.of_task
    backend.services.answers.flush()
    assert {one.model_version for one in kept("1", 1).values()} == {"fake-1"}
    backend.services.memory.forget("1", "1")
    assert backend.click(task(url), [first]).get_json()["results"][0]["model_version"] == "fake-1+p1-v1"
    backend.services.registry.roll_back("1")  # and the other way round
    answer = backend.click(task(url), [first, second]).get_json()["results"][0]
    assert answer["model_version"] == "fake-1+p1-v1" and answered_by(backend) is not None


def test_a_click_network_that_cannot_be_loaded_is_refused_and_the_shared_one_answers(
    backend: Backend,
) -> None:
    """Reliability row 8: in all processes, and the version goes on proposing masks."""
    train(backend, clicks=0.9)
    weights = serving(backend).clicks
    assert weights is not None
    backend.engine.broken.add(weights)
    assert click(backend, "kp7")["result"]
    assert answered_by(backend) is None
    version = serving(backend)
    assert version.name == "v1" and version.clicks is None
    assert "lacks a layer" in version.click_damage
    assert "The click network of v1 cannot be used:" in page(backend, "/projects/1/versions")


def test_the_pages_show_what_clicks_gained(backend: Backend) -> None:
    train(backend, clicks=0.9)
    text = page(backend, "/projects/1/versions/v1")
    assert "IoU after 1 click" in text and "87.5 %" in text
    assert "After one click" in text and "click-01.png" in text
    with backend.client.get("/projects/1/versions/v1/pictures/click-01.png") as picture:
        assert picture.status_code == 200
    assert "a network that was adapted to this project" in page(backend, "/projects/1/versions")


def test_the_page_shows_what_a_mask_costs_by_who_answered(backend: Backend) -> None:
    answers = backend.services.store.answers
    region = click(backend)["result"][0]["id"]
    train(backend, clicks=0.9)
    other = click(backend, "kp2")["result"][0]["id"]
    backend.services.answers.flush()
    assert "What a mask costs" not in page(backend, "/projects/1/versions")  # nothing was accepted yet
    answers.accept("1", 1, [region, other])
    assert answers.clicks_by_version("1") == {"fake-1": (1, 1.0), "fake-1+p1-v1": (1, 1.0)}
    text = " ".join(page(backend, "/projects/1/versions").split())
    assert "by the network that all projects share: <strong>1.0 for each of 1 accepted mask</strong>" in text
    assert "Clicks answered by v1: <strong>1.0 for each of 1 accepted mask</strong>" in text


def test_the_curve_of_the_effort_averages_ten_masks() -> None:
    assert draw_effort([(float(i), 5) for i in range(10)]) is None
    chart = draw_effort([(float(i), 5 if i < 10 else 1) for i in range(20)])
    assert chart is not None and chart.lines[0].last == "1"
