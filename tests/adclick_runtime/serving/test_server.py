"""The detector's server, over real connections, with a detector that finds what is dark."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adclick_runtime.detection_json import as_json
from adclick_runtime.looking import Looker
from adclick_runtime.serving import admission, handler, server
from adclick_runtime.serving.attempts import FREE
from adclick_runtime.serving.server import DetectionServer
from adclick_runtime.serving.settings import Settings
from adclick_runtime.serving.shared import Shared
from tests.helpers.detections import DarkSpots, dark_spot
from tests.helpers.image_files.picture import saved

IMAGE = saved(dark_spot(), "PNG")


class Got(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def said(self) -> str:
        return str(self.json["error"]["message"])


class Served:
    """A server in a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        self.detector = DarkSpots()
        limits = {"max_image_mb": settings.max_image_mb, "max_megapixels": settings.max_megapixels}
        self.shared = Shared(settings, Looker(self.detector, **limits), {"version": "v2"})
        self.server = DetectionServer(self.shared)
        self.port = int(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with_dashes = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, with_dashes)
        answer = connection.getresponse()
        got = Got(answer.status, answer.headers, answer.read())
        connection.close()
        return got

    def raw(self, data: bytes) -> socket.socket:
        """A connection on which some bytes were sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(data)
        return connection

    def stop(self) -> None:
        self.server.shutdown()
        self.server.finish(5.0)
        self.thread.join()


@contextmanager
def serving(**settings: Any) -> Iterator[Served]:
    served = Served(Settings(port=0, **settings))
    try:
        yield served
    finally:
        served.detector.go_on.set()
        served.stop()


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as running:
        yield running


@pytest.fixture
def guarded() -> Iterator[Served]:
    with serving(host="127.0.0.1", basic_auth_user="u", basic_auth_pass="p") as running:
        yield running


def form(*files: bytes, boundary: str = "x0y") -> tuple[bytes, str]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{number}.png"\r\n'
        f"Content-Type: image/png\r\n\r\n".encode()
        + file
        + b"\r\n"
        for number, file in enumerate(files)
    ]
    field = f'--{boundary}\r\nContent-Disposition: form-data; name="note"\r\n\r\nnothing\r\n'.encode()
    return (
        field + b"".join(parts) + f"--{boundary}--\r\n".encode(),
        f"multipart/form-data; boundary={boundary}",
    )


def test_an_image_in_and_regions_out(served: Served) -> None:
    got = served.ask("POST", "/detect", IMAGE)
    assert got.status == 200
    assert got.json == as_json(DarkSpots().detect(dark_spot()), version="v2")
    assert got.json["regions"][0]["box"] == [30, 10, 15, 10]


def test_a_product_that_is_not_known_is_named(served: Served) -> None:
    assert served.ask("POST", "/detect?product=plate", IMAGE).json["product"] == "plate"
    got = served.ask("POST", "/detect?product=screw", IMAGE)
    assert got.status == 400 and "there is no product 'screw'" in got.said
    assert got.json["error"]["field"] == "product"


def test_16_bits_are_shown_by_the_white_point_of_the_product(served: Served) -> None:
    deep = np.full((20, 20), 4000, np.uint16)
    deep[5:9, 5:9] = 1000  # 62 of 255 where 4095 is white; everything is dark where 65535 is
    got = served.ask("POST", "/detect", saved(deep, "PNG"))
    assert [region["box"] for region in got.json["regions"]] == [[5, 5, 4, 4]]


def test_a_form_is_as_good_as_bytes(served: Served) -> None:
    body, content_type = form(IMAGE)
    assert (
        served.ask("POST", "/detect", body, Content_Type=content_type).json
        == served.ask("POST", "/detect", IMAGE).json
    )


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (*form(), "The form has 0 files"),
        (*form(IMAGE, IMAGE), "The form has 2 files"),
        (form(IMAGE)[0][:-30], "multipart/form-data; boundary=x0y", "ends within a part"),
        (form(IMAGE)[0], "multipart/form-data", "has no boundary"),
        (b"nothing of a form", "multipart/form-data; boundary=x0y", "has no part"),
        (b"--x0y", "multipart/form-data; boundary=x0y", "ends within a part"),
    ],
)
def test_a_form_that_is_none_is_refused_in_words(
    served: Served, body: bytes, content_type: str, words: str
) -> None:
    got = served.ask("POST", "/detect", body, Content_Type=content_type)
    assert got.status == 400 and words in got.said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (IMAGE[:-40], "damaged"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x00" * 99, "is not an"),
    ],
)
def test_what_is_no_image_is_refused_in_words(served: Served, body: bytes, words: str) -> None:
    got = served.ask("POST", "/detect", body)
    assert got.status == 400 and words in got.said
    assert got.json["error"]["code"] == "bad_image"


def test_limits_are_held_before_the_image_is_read_or_decoded() -> None:
    """Reliability row 11."""
    with serving(max_image_mb=1, max_megapixels=1) as served:
        got = served.ask("POST", "/detect", bytes(30_000_000))
        assert got.status == 413 and "30 MB; the limit is 1 MB (ADCLICK_MAX_IMAGE_MB)" in got.said
        large = saved(dark_spot(1000, 1200), "PNG")
        got = served.ask("POST", "/detect", large)
        assert got.status == 400 and "ADCLICK_MAX_MEGAPIXELS" in got.said


def test_a_body_without_a_length_is_not_taken(served: Served) -> None:
    """Reliability row 11."""
    head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\n"
    for lines in (b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"):
        with served.raw(head + lines) as connection:
            assert connection.recv(4096).startswith(b"HTTP/1.1 411 ")
    with served.raw(head + b"Content-Length: -5\r\n\r\n") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_asks_first_is_told_to_go_on(served: Served) -> None:
    head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with served.raw(head % len(IMAGE)) as connection:
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(IMAGE)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    with served.raw(head % 10**10) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")  # and never sends it


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/detect", 405), ("POST", "/health", 405), ("HEAD", "/health", 405), ("GET", "/", 404), ("PUT", "/", 404)],
)  # fmt: skip
def test_other_routes_and_methods_are_refused(served: Served, method: str, path: str, status: int) -> None:
    got = served.ask(method, path)
    assert got.status == status
    assert ("Allow" in got.headers) == (status == 405)


def test_a_connection_is_kept(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    for _ in range(3):
        connection.request("POST", "/detect", IMAGE)
        assert json.loads(connection.getresponse().read())["defect"]
    connection.close()


def test_health_and_metrics(served: Served) -> None:
    assert served.ask("GET", "/health").json == {"status": "UP", "version": "v2"}
    served.ask("POST", "/detect", IMAGE)
    served.ask("POST", "/detect", b"")
    served.ask("GET", "/made/up")
    got = served.ask("GET", "/metrics")
    assert got.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(got.body.decode())
        for sample in family.samples
    }
    assert samples["adclick_requests_total", "/detect", "200", "POST"] == 1
    assert samples["adclick_requests_total", "/detect", "400", "POST"] == 1
    assert samples["adclick_requests_total", "", "", "404"] == 1
    assert (
        samples["adclick_detections_total", "defect"] == samples["adclick_detections_total", "refused"] == 1
    )
    assert samples["adclick_phase_seconds_count", "detect"] == 1
    assert samples["adclick_phase_seconds_bucket", "0.02", "detect"] == 1  # it says 12 ms
    assert samples["adclick_phase_seconds_bucket", "0.01", "detect"] == 0
    assert samples["adclick_detections_waiting",] == 0


# --- who may call


def test_the_password_is_asked_for_everywhere_but_health(guarded: Served) -> None:
    """Reliability row 9."""
    right = "Basic " + base64.b64encode(b"u:p").decode()
    for method, path in (("POST", "/detect"), ("GET", "/metrics"), ("GET", "/nothing")):
        got = guarded.ask(method, path)
        assert got.status == 401 and got.headers["WWW-Authenticate"].startswith("Basic")
    assert guarded.ask("GET", "/health").status == 200
    assert guarded.ask("POST", "/detect", IMAGE, Authorization=right).status == 200


def test_wrong_passwords_are_slowed_down(guarded: Served) -> None:
    """Reliability row 9."""
    wrong = "Basic " + base64.b64encode(b"u:q").decode()
    statuses = [guarded.ask("GET", "/metrics", Authorization=wrong).status for _ in range(FREE + 1)]
    assert statuses == [401] * FREE + [429]
    got = guarded.ask("GET", "/metrics", Authorization=wrong)
    assert int(got.headers["Retry-After"]) >= 1 and "Too many wrong passwords came from 127.0.0.1" in got.said


def test_a_body_of_a_stranger_is_not_kept(guarded: Served) -> None:
    """Reliability row 11: and the answer still reaches who sent it."""
    assert guarded.ask("POST", "/detect", bytes(5_000_000)).status == 401


def test_a_page_that_poses_as_the_detector_reads_nothing(served: Served) -> None:
    """reliability row 34: DNS rebinding."""
    assert served.ask("GET", "/health", Host="rebound.evil.example").status == 421


# --- slow clients, many clients, the end


def test_half_a_request_is_ended_in_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability row 30."""
    monkeypatch.setattr(handler, "HEADER_S", 0.3)
    monkeypatch.setattr(handler, "BODY_S", 0.3)
    started = time.monotonic()
    for beginning in (b"", b"POST /det", b"POST /detect HTTP/1.1\r\nHost: x\r\n"):
        with served.raw(beginning) as connection:
            assert connection.recv(4096) == b""
    head = b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"
    with served.raw(head) as connection:
        until = time.monotonic() + 5
        while time.monotonic() < until:  # a byte now and then changes nothing
            try:
                connection.sendall(b"x")
            except OSError:
                break
            time.sleep(0.05)
            connection.settimeout(0.01)
            try:
                if (said := connection.recv(4096)) != b"":
                    break
            except TimeoutError:
                continue
        assert said.startswith(b"HTTP/1.1 408 ") and b"did not arrive as a whole within" in said
    assert time.monotonic() - started < 5


def test_an_endless_header_is_ended(served: Served) -> None:
    """reliability row 30."""
    with served.raw(b"GET /health HTTP/1.1\r\n") as connection, pytest.raises(ConnectionError):
        for _ in range(50):
            connection.sendall(b"X-Many: " + b"a" * 60_000 + b"\r\n")
            time.sleep(0.01)


def test_half_requests_keep_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability row 30."""
    monkeypatch.setattr(server, "CONNECTIONS", 8)
    slow = [served.raw(b"POST /detect HTTP/1.1\r\n") for _ in range(30)]
    assert served.ask("POST", "/detect", IMAGE).status == 200
    for connection in slow:
        connection.close()


def test_who_comes_to_a_full_queue_is_told_to_come_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "WAITING", 1)
    served.detector.go_on.clear()
    got: list[Got] = []
    threads = [
        threading.Thread(target=lambda: got.append(served.ask("POST", "/detect", IMAGE))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert served.detector.running.acquire(timeout=10) and served.detector.running.acquire(timeout=10)
    wait_until(lambda: served.shared.admission.placed == 3)
    refused = served.ask("POST", "/detect", IMAGE)
    assert refused.status == 503 and int(refused.headers["Retry-After"]) >= 1
    assert "3 images are being looked at or wait" in refused.said
    assert served.ask("GET", "/health").status == 200
    assert not served.detector.running.acquire(blocking=False)  # the third one waits
    served.detector.go_on.set()
    for thread in threads:
        thread.join()
    assert [each.status for each in got] == [200, 200, 200]


def test_files_in_memory_are_counted_in_bytes() -> None:
    places = admission.Admission(4, 100)
    with places.place(5000), pytest.raises(admission.LaterError), places.place(1):  # one alone may be larger
        pass
    with places.place(60), places.place(40), pytest.raises(admission.LaterError), places.place(1):
        pass
    assert places.placed == 0


def test_what_has_arrived_is_answered_before_the_end() -> None:
    with serving() as served:
        idle = served.raw(b"")
        served.detector.go_on.clear()
        got: list[Got] = []
        asking = threading.Thread(target=lambda: got.append(served.ask("POST", "/detect", IMAGE)))
        asking.start()
        assert served.detector.running.acquire(timeout=10)
        threading.Timer(0.2, served.detector.go_on.set).start()
        served.stop()
        asking.join()
        assert got[0].status == 200 and got[0].headers["Connection"] == "close"
        assert idle.recv(1) == b""
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            served.raw(b"")


def test_a_crash_is_a_sentence_and_no_traceback(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 10."""

    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(served.detector, "detect", broken)
    got = served.ask("POST", "/detect", IMAGE, X_Request_ID="abc")
    assert got.status == 500 and "secret" not in got.said
    assert got.json["error"]["request_id"] == got.headers["X-Request-ID"] == "abc"


def wait_until(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.01)
