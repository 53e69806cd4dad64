"""The server against slow and half-sent requests, and what HTTP asks of it, in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.helpers.backend import CONFIG, point
from tests.helpers.served import free_port, running, wait_until_up

HALF = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"


class Served(NamedTuple):
    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), 20)
        connection.sendall(sent)
        return connection

    def exchange(self, *pieces: bytes) -> bytes:
        """All that the server says to `pieces` until it closes the connection."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def serve(port: int) -> list[str]:
    return [sys.executable, "-m", "adclick_backend", "serve", "--host", "127.0.0.1", "--port", str(port)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two threads for predictions and a limit of 1 MB."""
    port = free_port()
    with running(
        serve(port), tmp_path_factory.mktemp("served"), THREADS="2", ADCLICK_MAX_BODY_MB="1"
    ) as process:
        wait_until_up(port, process)
        yield Served(port, process)


def test_half_sent_requests_cost_no_thread(served: Served) -> None:
    """Reliability row 30: a hundred times as many as there are threads, and everybody else is served."""
    half = [served.connect(HALF) for _ in range(200)]
    assert requests.get(f"{served.url}/health", timeout=10).ok
    body = {"tasks": [], "project": "1.1", "label_config": "<View/>"}
    assert requests.post(f"{served.url}/predict", json=body, timeout=10).json() == {"results": []}
    for connection in half:
        connection.close()


def test_idle_connections_keep_nobody_out(served: Served) -> None:
    """Reliability row 30."""
    idle = [served.connect() for _ in range(300)]
    assert requests.get(f"{served.url}/health", timeout=10).ok
    for connection in idle:
        connection.close()


def test_a_request_in_small_pieces_is_answered(served: Served) -> None:
    body = json.dumps({"tasks": [], "project": "1.1", "label_config": "<View/>"}).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    answer = served.exchange(*(request[i : i + 7] for i in range(0, len(request), 7)))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"results":[]}\n')


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_in_words_and_on_the_dashboard(
    served: Served, chunked: bool
) -> None:
    """Reliability row 11: also when nobody said before how long it is."""
    large = b" " * (3 * 2**20)
    data = iter([large[:1000], large]) if chunked else large
    answer = requests.post(
        f"{served.url}/predict", data=data, headers={"Content-Type": "application/json"}, timeout=20
    )
    assert answer.status_code == 413
    assert "larger than 1 MB" in answer.json()["error"]["message"]
    assert "larger than 1 MB (ADCLICK_MAX_BODY_MB)" in requests.get(served.url, timeout=20).text


def test_a_client_that_asks_first_need_not_send_a_body_that_is_too_large(served: Served) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    refused = served.exchange(head + b"Content-Length: 9000000\r\n\r\n")
    assert refused.startswith(b"HTTP/1.1 413")
    with served.connect(head + b"Connection: close\r\nContent-Length: 2\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(b"[]")
        assert b"must be a JSON object" in b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_connection_is_kept_for_further_requests(served: Served) -> None:
    with served.connect() as connection, connection.makefile("rb") as answers:
        for _ in range(3):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Request-ID: ab12\r\n\r\n")
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = dict(line.rstrip().split(b": ") for line in iter(answers.readline, b"\r\n"))
            assert headers[b"X-Request-Id"] == b"ab12"
            answers.read(int(headers[b"Content-Length"]))


def test_head_has_no_body(served: Served) -> None:
    answer = served.exchange(b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


def test_files_are_sent_whole_in_part_or_not_at_all(served: Served) -> None:
    url = f"{served.url}/static/dashboard.css"
    with requests.Session() as session:
        whole = session.get(url, timeout=20)
        part = session.get(url, headers={"Range": "bytes=3-9"}, timeout=20)
        known = session.get(url, headers={"If-None-Match": whole.headers["ETag"]}, timeout=20)
        head = session.head(url, timeout=20)
    assert (whole.status_code, part.status_code, known.status_code, head.status_code) == (200, 206, 304, 200)
    assert part.content == whole.content[3:10]
    assert known.content == head.content == b""
    assert head.headers["Content-Length"] == str(len(whole.content))


@pytest.mark.parametrize("request_line", [b"no request at all", b"GET  HTTP/1.1", b"OPTIONS * HTTP/1.1"])
def test_what_is_no_request_is_answered_too(served: Served, request_line: bytes) -> None:
    answer = served.exchange(request_line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer[:10] in (b"HTTP/1.0 4", b"HTTP/1.1 4")


def test_the_port_is_free_when_the_master_was_killed(tmp_path: Path) -> None:
    """Reliability row 18: whoever starts the server again need not wait."""
    port = free_port()
    with running(serve(port), tmp_path, WORKERS="2") as process:
        wait_until_up(port, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    again.bind(("127.0.0.1", port))
                    again.listen()
                except OSError:
                    time.sleep(0.02)
                else:
                    return
        raise AssertionError("the workers hold the port")


def test_below_a_path_on_ipv6_and_behind_a_proxy(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "adclick_backend", "serve", "--host", "::1", "--port", str(port)]
    url = f"http://[::1]:{port}/ml"
    with running(command, tmp_path, SCRIPT_NAME="/ml") as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                assert requests.get(f"{url}/health", timeout=10).ok
                break
            except requests.ConnectionError:
                time.sleep(0.1)
        body = {"project": "1.1", "schema": "<View/>", "hostname": "http://127.0.0.1:9", "access_token": ""}
        assert requests.post(f"{url}/setup", json=body, timeout=20).ok
        page = requests.get(f"{url}/projects/1", headers={"X-Forwarded-Proto": "https"}, timeout=20)
        assert "/ml/static/" in page.text
        assert f'value="https://[::1]:{port}' in page.text


def test_what_has_arrived_is_answered_before_the_end(tmp_path: Path) -> None:
    """The image of a click is asked for at a Label Studio that says nothing."""
    port = free_port()
    with socket.socket() as silent, ExitStack() as end:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        label_studio = {"LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": "key"}
        settings = {**label_studio, "ADCLICK_CLICK_TIMEOUT_S": "3"}
        process = end.enter_context(running(serve(port), tmp_path, **settings))
        wait_until_up(port, process)
        served = Served(port, process)
        with served.connect() as connection, requests.Session() as kept:
            assert kept.get(f"{served.url}/health", timeout=10).ok
            task = {"id": 1, "data": {"image": "/data/upload/1/a.png"}}
            body = {"tasks": [task], "project": "1.1", "label_config": CONFIG}
            text = json.dumps({**body, "params": {"context": {"result": [point(10, 10)]}}}).encode()
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(text), text)
            )
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            answer = kept.get(f"{served.url}/ready", timeout=10)
            assert (answer.status_code, "being stopped" in answer.text) == (503, True)
            with pytest.raises(requests.ConnectionError):
                requests.get(f"{served.url}/health", timeout=10)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert process.wait(30) == 0
