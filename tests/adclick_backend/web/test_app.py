"""The routes as Label Studio 1.23.2 uses them, with the bodies that it was recorded to send."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from adclick_backend.store import DiskError
from tests.helpers.backend import CONFIG, Backend, mask_of
from tests.helpers.references import mark

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "fixtures" / "requests_to_backend.json").read_text()
)


def replay(backend: Backend, name: str) -> Any:
    """Send a recorded request."""
    request = RECORDED[name]
    headers = {
        key: value for key, value in request["headers"].items() if key in ("User-Agent", "Authorization")
    }
    return backend.client.open(
        request["path"], method=request["method"], json=request["body"], headers=headers, buffered=True
    )


@pytest.fixture
def with_image(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend that finds the recorded tasks' uploads."""
    import cv2
    import numpy as np

    from adclick_backend.images.task_images import LoadedImage

    pixels = np.full((240, 320, 3), 90, np.uint8)
    pixels[:, :150] = pixels[:, 175:] = (10, 20, 200)
    _, data = cv2.imencode(".png", pixels)
    image = LoadedImage(data.tobytes(), 120)
    monkeypatch.setattr(backend.services.connections, "load_image", lambda *_: image)
    return backend


def test_health_and_versions(backend: Backend) -> None:
    assert replay(backend, "GET /health").json == {"status": "UP", "model_class": "ADClickBackend"}
    assert replay(backend, "GET /versions").json == {"versions": ["fake-1"]}


def test_a_backend_that_cannot_answer_clicks_is_alive_and_not_ready(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = backend.client
    assert client.get("/ready").json == {"status": "READY"}
    for state, reason in (("loading", "The model is being loaded."), ("failed", "There are no weights.")):
        backend.engine.state, backend.engine.failure = state, reason
        answer = client.get("/ready")
        assert (answer.status_code, answer.json["error"]["message"]) == (503, reason)
        assert client.get("/health").json["status"] == "UP"
    backend.engine.state = "ready"
    with monkeypatch.context() as patch:
        away = DiskError("The database is away.")
        patch.setattr(backend.services.store.values, "get", Mock(side_effect=away))
        assert client.get("/ready").json["error"]["message"] == "The database is away."
    assert client.get("/ready").status_code == 200
    backend.services.draining = True
    assert "is being stopped" in client.get("/ready").json["error"]["message"]


def test_setup_remembers_the_project(backend: Backend) -> None:
    answer = replay(backend, "POST /setup")
    assert answer.status_code == 200
    assert answer.json["model_version"] == "fake-1"
    project = backend.services.store.projects.get("1")
    assert project.hostname == "http://127.0.0.1:8095"
    assert project.label_config == RECORDED["POST /setup"]["body"]["schema"]
    assert json.loads(project.extra_params) == {"a": 1}


@pytest.mark.parametrize(
    ("typed", "kept"), [('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1}), (None, {}), ("", {}), ("x", {})]
)
def test_extra_params_arrive_as_text_and_as_objects(backend: Backend, typed: object, kept: object) -> None:
    from adclick_backend.web.backend import ADClickBackend

    assert backend.setup(extra_params=typed).status_code == 200
    assert ADClickBackend("1", None, backend.services).extra_params == kept


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('<View><Image name="image" value="$image"/></View>', "no <BrushLabels>"),
        (CONFIG.replace(' smart="false"', ""), 'needs smart="false"'),
        (
            CONFIG.replace(
                '<Label value="scratch"/><Label value="dent"/></Brush', '<Label value="Riss"/></Brush'
            ),
            "scratch",
        ),
        (CONFIG.replace("<Brush", '<Image name="second" value="$second"/><Brush', 1), "There are 2 images"),
        ("no xml at all", "labeling config"),
        ("", "empty"),
    ],
)
def test_setup_says_in_one_sentence_what_the_config_lacks(backend: Backend, config: str, said: str) -> None:
    """Reliability row 13: the project connects all the same, and the corrected config is there to paste."""
    answer = backend.setup(config=config)
    assert answer.status_code == 200
    assert answer.json["model_version"] == "fake-1"
    assert said in answer.json["message"]
    assert answer.json["problems"]
    if "images" not in said:  # which of two images is meant, nobody but the person knows
        corrected = answer.json["labeling_config"]
        assert backend.setup(config=corrected).json.keys() == {"model_version", "message"}


def test_another_project_with_the_same_number_is_noticed(backend: Backend) -> None:
    backend.setup("1.1795338618")
    backend.setup("1.1795338618")
    backend.setup("1")
    assert backend.services.store.problems.latest("1") == []
    backend.setup("1.1800000000")
    assert "Another Label Studio project" in backend.services.store.problems.latest("1")[0].sentence


INTERACTIVE = [name for name in RECORDED if name.startswith("POST /predict interactive")]


@pytest.mark.parametrize("name", INTERACTIVE)
def test_recorded_clicks_are_answered(with_image: Backend, name: str) -> None:
    """Reliability row 12: what Label Studio really sends, drafts and annotations with masks included."""
    replay(with_image, "POST /setup")
    answer = replay(with_image, name)
    assert answer.status_code == 200
    (prediction,) = answer.json["results"]
    points = RECORDED[name]["body"]["params"]["context"]["result"]
    if not any(point["value"]["keypointlabels"] != ["background"] for point in points):
        assert prediction == {"result": [], "score": 0}
        return
    (region,) = prediction["result"]
    assert (region["original_width"], region["original_height"]) == (320, 240)
    assert region["value"]["brushlabels"] == ["scratch"]
    assert mask_of(region).any()
    ((_, _, clicks),) = with_image.engine.clicked
    assert [click.positive for click in clicks] == [point["is_positive"] for point in points]
    assert clicks[0].x == pytest.approx(points[0]["value"]["x"] * 3.2)


def test_every_few_labels_a_training_starts_by_itself(make_backend: Callable[..., Backend]) -> None:
    backend = make_backend(train_every=2)
    mark(backend, backend.draw("a.png"), 1)
    mark(backend, backend.draw("a.png"), 1)  # says nothing new
    assert backend.services.jobs.of_project("1") == []
    mark(backend, backend.draw("b.png"), 2)
    (job,) = backend.services.jobs.of_project("1")
    assert (job.kind, job.trigger) == ("train", "2 new labels")


@pytest.mark.parametrize("name", [name for name in RECORDED if name.startswith("POST /predict batch")])
def test_recorded_batches_are_answered(with_image: Backend, name: str) -> None:
    answer = replay(with_image, name)
    assert answer.status_code == 200
    assert answer.json == {"results": [[] for _ in RECORDED[name]["body"]["tasks"]]}
    assert with_image.services.prewarmer.join(5)
    assert len(with_image.engine.prepared) == len(RECORDED[name]["body"]["tasks"])


def test_start_training_answers_with_a_sentence(backend: Backend) -> None:
    answer = replay(backend, "POST /webhook START_TRAINING")
    assert answer.status_code == 201
    assert "waits for its turn" in answer.json["result"]["message"]


def test_a_storm_of_start_training_is_one_job_and_each_is_answered_at_once(backend: Backend) -> None:
    """Reliability rows 17 and 23: the toggle that trains on every submission."""
    for _ in range(20):
        started = time.perf_counter()
        answer = replay(backend, "POST /webhook START_TRAINING")
        assert time.perf_counter() - started < 1
        assert answer.status_code == 201
    (job,) = backend.services.jobs.of_project("1")
    assert (job.kind, job.state) == ("train", "queued")


def test_unknown_events_are_fine(backend: Backend) -> None:
    """Reliability row 17: unknown events 200."""
    answer = backend.webhook("LABEL_LINK_CREATED", whatever=[1])
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "result": None})


COLD = """
import sys, time

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise AssertionError(name + " was imported")

sys.meta_path.insert(0, NoTorch())
from pathlib import Path
from adclick_backend.web.app import create_app
from adclick_backend.settings import Settings

app = create_app(Settings(data_dir=Path(sys.argv[1]), checkpoint=Path(sys.argv[1]) / "missing"), background=False)
client = app.test_client()
body = {"project": "1.1795338618", "schema": sys.argv[2], "hostname": "http://127.0.0.1:9", "access_token": ""}
for call in (lambda: client.get("/health"), lambda: client.post("/setup", json=body), lambda: client.get("/versions")):
    started = time.perf_counter()
    answer = call()
    print(answer.status_code, time.perf_counter() - started)
print(client.post("/setup", json=body).json["model_version"])
"""


def test_health_and_setup_answer_at_once_before_any_weight_is_there(tmp_path: Path) -> None:
    """Reliability row 23: a cold process without torch and without weights; 0.2 s and 1 s."""
    done = subprocess.run(
        [sys.executable, "-c", COLD, str(tmp_path), CONFIG],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, version = done.stdout.splitlines()
    answers = [(int(status), float(seconds)) for status, seconds in map(str.split, lines)]
    assert [status for status, _ in answers] == [200, 200, 200]
    for (_, seconds), limit in zip(answers, (0.2, 1.0, 1.0), strict=True):
        assert seconds < limit
    assert version


def test_a_webhook_answers_at_once(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 23: under 1 s, because Label Studio waits no longer and a person waits for it."""
    monkeypatch.setattr(backend.services.connections, "load_image", lambda *_: time.sleep(30))
    started = time.perf_counter()
    backend.setup()
    answer = replay(backend, "POST /webhook ANNOTATION_UPDATED")
    assert time.perf_counter() - started < 1
    assert answer.json["result"] == {"references_changed": True}
