"""A Label Studio and image stores that take connections and never answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from adclick_backend.downloads.breaker import Breakers
from tests.adclick_backend.web.test_buffered_worker import Served, serve
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.fake_label_studio import LEGACY_TOKEN, PERSONAL_TOKEN
from tests.helpers.served import free_port, running, wait_until_up
from tests.helpers.silent_server import SilentServer

MakeBackend = Callable[..., Backend]
LONG_S = 20.0  # a third of one attempt, when nothing else ends it


@pytest.fixture
def silent() -> Iterator[SilentServer]:
    with SilentServer() as server:
        yield server


def all_at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The answers of `count` threads, in order; all are there within `LONG_S`."""
    answers: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda i=i: answers.update({i: work(i)}), daemon=True)  # type: ignore[misc]
        for i in range(count)
    ]
    until = time.monotonic() + LONG_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))
    assert len(answers) == count
    return [answers[i] for i in range(count)]


def click(backend: Backend, url: str, number: int) -> Any:
    """A click through a client of its own."""
    body = {
        "tasks": [task(url, number)],
        "project": "1.1",
        "label_config": CONFIG,
        "params": {"context": {"result": [point(8, 8)]}},
    }
    return backend.app.test_client().post("/predict", json=body).json["results"]


def problems(backend: Backend) -> list[str]:
    return [problem.sentence for problem in backend.services.store.problems.latest("1")]


@pytest.mark.parametrize("key", [LEGACY_TOKEN, PERSONAL_TOKEN])
def test_clicks_on_a_hanging_label_studio_share_one_deadline(
    make_backend: MakeBackend, silent: SilentServer, key: str
) -> None:
    """Reliability row 29: also with a token that one thread exchanges while the others wait."""
    backend = make_backend(label_studio_url=silent.url, label_studio_api_key=key, click_timeout_s=1.0)
    backend.setup()
    answers = all_at_once(16, lambda i: click(backend, f"/data/upload/1/{i}.png", i))
    assert answers == [[{"result": [], "score": 0}]] * 16
    said = problems(backend)
    assert said
    assert all("within" in sentence and silent.url in sentence for sentence in said)
    if key == PERSONAL_TOKEN:
        assert silent.most_at_once == 1  # who came late may ask once more when the first has given up


def test_clicks_on_the_same_hanging_image_share_one_deadline(
    make_backend: MakeBackend, silent: SilentServer
) -> None:
    """Reliability row 29: whoever waits for the download of another request has a deadline of its own."""
    backend = make_backend(image_hosts=("127.0.0.1",), click_timeout_s=1.0)
    backend.setup()
    answers = all_at_once(8, lambda i: click(backend, f"{silent.url}/a.png", i))
    assert answers == [[{"result": [], "score": 0}]] * 8
    assert any(f"check that {silent.url} runs" in sentence for sentence in problems(backend))


def test_a_click_says_which_server_is_left_alone(make_backend: MakeBackend, silent: SilentServer) -> None:
    """Reliability row 29: and does not wait for it."""
    backend = make_backend(image_hosts=("127.0.0.1",))
    backend.setup()
    breakers: Breakers = backend.services.connections._breakers
    for _ in range(2):
        breakers.failed(silent.url)
    assert click(backend, f"{silent.url}/a.png", 1) == [{"result": [], "score": 0}]
    assert f"{silent.url} has not answered since" in problems(backend)[0]
    assert silent.connections == []


def test_opened_tasks_with_hanging_images_delay_no_other_host(
    make_backend: MakeBackend, silent: SilentServer
) -> None:
    """Reliability row 29: as many of them as would keep every thread busy."""
    backend = make_backend(image_hosts=("127.0.0.1",))
    backend.setup()
    for number in range(8):
        backend.open_tasks([task(f"{silent.url}/{number}.png", number)])
    backend.open_tasks([task(backend.draw("a.png"), 99)])
    until = time.monotonic() + LONG_S
    while not backend.engine.prepared and time.monotonic() < until:  # type: ignore[attr-defined]
        time.sleep(0.01)
    assert len(backend.engine.prepared) == 1  # type: ignore[attr-defined]
    assert len(silent.connections) == 2
    for connection in silent.connections:
        connection.close()


def test_health_and_other_requests_are_answered_while_clicks_hang(
    tmp_path: Path, silent: SilentServer
) -> None:
    """Reliability row 29: with more clicks than threads."""
    port = free_port()
    environment = {"THREADS": "2", "ADCLICK_IMAGE_HOSTS": "127.0.0.1", "ADCLICK_CLICK_TIMEOUT_S": "3"}
    with running(serve(port), tmp_path, **environment) as process:
        wait_until_up(port, process)
        served = Served(port, process)

        def hang(number: int) -> int:
            body = {
                "tasks": [task(f"{silent.url}/{number}.png", number)],
                "project": "1.1",
                "label_config": CONFIG,
                "params": {"context": {"result": [point(8, 8)]}},
            }
            answer = requests.post(f"{served.url}/predict", json=body, timeout=60)
            return len(answer.json()["results"][0]["result"])

        during: list[bool] = []

        def look(_: int) -> int:
            until = time.monotonic() + 60
            while not silent.connections and time.monotonic() < until:
                time.sleep(0.01)
            for path in ("/health", "/versions", "/health"):
                during.append(requests.get(f"{served.url}{path}", timeout=60).ok)
            return len(silent.connections)

        answers = all_at_once(9, lambda i: look(i) if i == 8 else hang(i))
        assert answers[:8] == [0] * 8
        assert during == [True] * 3
        assert answers[8] <= 2  # the first two clicks were still hanging when all of this was answered
