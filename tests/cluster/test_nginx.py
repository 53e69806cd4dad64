"""The configuration of the example for many machines, with stand-ins for the backends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.helpers.served import free_port
from tests.helpers.several_backends import by_task_number

pytestmark = pytest.mark.cluster


class StandIn(ThreadingHTTPServer):
    """A backend that answers whatever it is asked with its number."""

    def __init__(self, number: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(200)
                self.send_header("Content-Length", str(len(str(number))))
                self.end_headers()
                self.wfile.write(str(number).encode())

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()


@pytest.fixture
def stand_ins() -> Iterator[list[StandIn]]:
    with ExitStack() as end:
        made = [StandIn(number) for number in range(3)]
        for one in made:
            end.callback(one.end)
        yield made


@pytest.fixture
def url(tmp_path: Path, stand_ins: list[StandIn]) -> Iterator[str]:
    """Of nginx, before stand-ins."""
    port = free_port()
    process = by_task_number(tmp_path / "nginx", [one.server_port for one in stand_ins], port)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(100):
            try:
                requests.get(f"{url}/health", timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, (tmp_path / "nginx/error.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def predicted_by(url: str, task: int, more: str = "") -> str:
    body = {"tasks": [{"id": task, "data": {"image": "/data/a.png", "more": more}}], "project": "1.1"}
    return requests.post(f"{url}/predict", json=body, timeout=10).text


def test_a_task_and_its_neighbours_go_to_one_backend_and_the_others_elsewhere(url: str) -> None:
    assert len({predicted_by(url, task) for task in range(1230, 1240)}) == 1
    assert predicted_by(url, 1234, "m" * 3_000_000) == predicted_by(url, 1234)
    assert len({predicted_by(url, task) for task in range(0, 1000, 10)}) == 3


def test_pages_go_by_project_and_the_rest_takes_turns(url: str) -> None:
    pages = ("labels", "references", "versions", "gallery/7/small.jpg")
    assert len({requests.get(f"{url}/projects/12/{page}", timeout=10).text for page in pages}) == 1
    projects = range(40)
    assert len({requests.get(f"{url}/projects/{number}/labels", timeout=10).text for number in projects}) == 3
    assert len({requests.get(f"{url}/health", timeout=10).text for _ in range(6)}) == 3


def test_a_click_that_finds_its_backend_gone_goes_to_another(url: str, stand_ins: list[StandIn]) -> None:
    before = {task: predicted_by(url, task) for task in range(0, 300, 10)}
    stand_ins[1].end()
    after = {task: predicted_by(url, task) for task in before}
    assert set(after.values()) == {"0", "2"}
    assert all(after[task] == name for task, name in before.items() if name != "1")
