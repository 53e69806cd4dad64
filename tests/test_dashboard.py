"""The status page: what it says, what its forms do, and who may send them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html import unescape
from io import BytesIO
from typing import Any

import pytest
from helpers.backend import CONFIG, Backend, point, task
from PIL import Image

from adclick_backend.connections import Link, LinkChecker
from adclick_backend.dashboard.page import advice, ago, is_private, list_references
from adclick_backend.labelstudio import LabelStudioError


def png(grey: int = 90) -> bytes:
    out = BytesIO()
    Image.new("RGB", (64, 48), (grey, grey, grey)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def connected(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend with project 1, and no network behind it."""
    link = Link("good", "http://127.0.0.1:9 answers to the personal access token of a@b.c.", time.time())
    monkeypatch.setattr(backend.services.links, "look", lambda project: link)
    backend.setup()
    return backend


def page(backend: Backend, route: str = "/") -> str:
    answer = backend.client.get(route)
    assert answer.status_code == 200
    return unescape(answer.text)


def form_token(backend: Backend) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', page(backend))
    assert found
    return found[1]


def send(backend: Backend, route: str, headers: dict[str, str] | None = None, **data: Any) -> Any:
    data = {"form_token": form_token(backend), **data}
    return backend.client.post(route, data=data, headers=headers, content_type="multipart/form-data")


def test_before_anything_is_connected_the_page_says_how(backend: Backend) -> None:
    text = page(backend)
    assert "No project is connected yet" in text
    assert 'value="http://localhost"' in text
    assert "reserved network address" in text
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in text
    assert "<BrushLabels" in text


def test_the_page_shows_the_model_and_the_link(connected: Backend) -> None:
    text = page(connected)
    assert "fake-1" in text
    assert "answers to the personal access token of a@b.c." in text
    assert "The labeling config is ready" in text
    connected.engine.state, connected.engine.failure = "failed", "The weights are damaged."
    assert "The weights are damaged." in page(connected)


def test_a_config_that_lacks_something_is_shown_corrected(connected: Backend) -> None:
    """Reliability row 13: one sentence and the config to paste."""
    connected.setup(config=CONFIG.replace(' smart="false"', ""))
    text = page(connected)
    assert 'needs smart="false"' in text
    corrected = re.search(r'<textarea id="corrected"[^>]*>(.*?)</textarea>', text, re.S)
    assert corrected
    assert connected.setup(config=corrected[1]).json.keys() == {"model_version", "message"}
    assert "corrected" not in page(connected)


def test_each_project_has_its_page(connected: Backend) -> None:
    connected.setup("2.1", config="<View/>")
    connected.services.store.projects.save("2", title="<script>alert(1)</script> & Söhne")
    raw = connected.client.get("/projects/2").text
    assert "<script>alert" not in raw
    assert "<script>alert(1)</script> & Söhne" in unescape(raw)
    assert "There is no <BrushLabels>" not in page(connected, "/projects/1")
    assert page(connected) == page(connected, "/projects/2")
    for unknown in ("/projects/99", "/projects/x", "/projects/1.2.3"):
        assert connected.client.get(unknown).status_code == 404


def test_problems_are_listed_with_task_and_time_and_can_be_cleared(connected: Backend) -> None:
    connected.click(task("ftp://x/a.png", 7), [point(1, 1)])
    connected.click(task("ftp://x/a.png", 7), [point(1, 1)])
    text = page(connected)
    assert "ftp://x/a.png" in text
    assert "task 7 · just now · 2 times" in text
    assert send(connected, "/projects/1/problems/clear").status_code == 303
    assert "ftp://x/a.png" not in page(connected)


def test_uploaded_images_become_references_with_a_picture(connected: Backend) -> None:
    files = [(BytesIO(png(1)), "Gut 1.png"), (BytesIO(png(2)), "Gut 2.png"), (BytesIO(b"text"), "notes.txt")]
    answer = send(connected, "/projects/1/references", images=files, product="")
    assert (answer.status_code, answer.location) == (303, "/projects/1#references")
    assert "3 being prepared" in page(connected)
    connected.work()
    text = page(connected)
    assert "2 ready" in text
    assert "1 failed" in text
    assert "not an image" in text
    sources = re.findall(r'<img src="([^"]+)"', text)
    assert len(sources) == 2
    picture = connected.client.get(sources[0], buffered=True)
    assert (picture.status_code, picture.content_type) == (200, "image/jpeg")
    assert "immutable" in picture.headers["Cache-Control"]
    assert Image.open(BytesIO(picture.data)).size == (64, 48)
    again = connected.client.get(
        sources[0], headers={"If-None-Match": picture.headers["ETag"]}, buffered=True
    )
    assert again.status_code == 304


def test_an_upload_without_an_image_is_refused(connected: Backend) -> None:
    answer = send(connected, "/projects/1/references", images=[(BytesIO(b""), "")])
    assert answer.status_code == 400
    assert "No image was chosen." in answer.text


def test_references_are_removed_and_tried_again(connected: Backend) -> None:
    references = connected.services.references
    good = references.add("1", png(), source="upload", name="good.png")
    bad = references.add("1", b"", source="upload", name="bad.png")
    connected.work()
    assert send(connected, f"/projects/1/references/{bad.id}/retry").status_code == 303
    assert "1 being prepared" in page(connected)
    assert send(connected, f"/projects/2/references/{good.id}/remove").status_code == 404
    assert "1 ready" in page(connected)
    send(connected, f"/projects/1/references/{good.id}/remove")
    assert "0 ready" in page(connected)


def test_the_odd_one_out_comes_first_and_is_marked(connected: Backend) -> None:
    rows = [
        connected.services.references.add("1", png(n), source="upload", name=f"n{n}.png") for n in range(5)
    ]
    connected.work()
    scores = {row.sha: (1.0, 9.9 if row is rows[2] else 0.1) for row in rows}
    connected.services.store.references.save_scores("1", "", scores)
    text = page(connected)
    assert "1 unlike the others" in text
    tiles = re.findall(r'<li class="tile([^"]*)">.*?<strong title="([^"]+)"', text, re.S)
    assert tiles[0] == (" is-odd", "n2.png")
    assert [odd for odd, _ in tiles[1:]] == [""] * 4
    for row in rows[:2]:
        connected.services.references.remove("1", row.id)
    assert "unlike the others" not in page(connected)  # with three left, none can be called the odd one


def test_thousands_of_references_come_in_pages(connected: Backend) -> None:
    for number in range(130):
        connected.services.references.add("1", png(number), source="folder", name=f"{number}.png")
    for number, tiles in ((1, 60), (2, 60), (3, 10), (99, 10), (-5, 60)):
        text = page(connected, f"/projects/1?page={number}")
        assert text.count('<li class="tile') == tiles
    assert "page 3 of 3" in page(connected, "/projects/1?page=3")
    assert page(connected, "/projects/1?page=x").count('<li class="tile') == 60


def test_a_thumbnail_that_is_not_there_is_404(connected: Backend) -> None:
    for name in ("a" * 64, "..%2F..%2Fadclick", "A" * 64, "x"):
        assert connected.client.get(f"/projects/1/thumbnails/{name}.jpg").status_code == 404


# --- forms from elsewhere

FORMS = [
    "/projects/1/references",
    "/projects/1/references/1/remove",
    "/projects/1/references/1/retry",
    "/projects/1/problems/clear",
]


@pytest.mark.parametrize("route", FORMS)
@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("guess", {}),
        ("ä", {}),
        ("right", {"Sec-Fetch-Site": "cross-site"}),
        ("right", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_form_from_another_page_is_refused(
    connected: Backend, route: str, token: str, headers: dict[str, str]
) -> None:
    reference = connected.services.references.add("1", png(), source="upload", name="a.png")
    connected.services.report("1", "still here")
    sent = form_token(connected) if token == "right" else token
    images = [(BytesIO(png(7)), "foreign.png")]
    answer = send(connected, route, headers, form_token=sent, images=images)
    assert answer.status_code == 403
    assert connected.services.store.references.of_project("1") == [reference]
    assert len(connected.services.store.problems.latest("1")) == 1


def test_the_form_token_is_the_same_for_every_worker(
    connected: Backend, make_backend: Callable[..., Backend]
) -> None:
    other = make_backend()
    other.services.links.look = lambda project: Link("unknown", "")  # type: ignore[method-assign]
    assert form_token(other) == form_token(connected)
    assert len(form_token(other)) >= 32


def test_nothing_is_loaded_from_elsewhere_and_nobody_may_frame_the_page(connected: Backend) -> None:
    answer = connected.client.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    loaded = re.findall(r'(?:src|href)="([^"]+\.(?:css|js|svg|png|jpg))"', answer.text)
    assert len(loaded) >= 3
    for address in loaded:
        assert address.startswith("/")
        assert connected.client.get(address, buffered=True).status_code == 200
    assert not re.search(r"<script(?![^>]*src=)|style=|onclick=", answer.text)


def test_errors_of_the_dashboard_are_pages(connected: Backend) -> None:
    answer = connected.client.get("/projects/99")
    assert answer.content_type.startswith("text/html")
    assert answer.headers["X-Request-ID"] in answer.text


# --- words


@pytest.mark.parametrize(
    ("ready", "said"),
    [(0, "judged by its own image alone"), (1, "one reference"), (5, "5 references"), (50, "enough")],
)
def test_what_more_references_would_bring(ready: int, said: str) -> None:
    assert said in advice("", ready)
    assert advice("nut", ready).startswith("nut: ")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (61, "1 minute ago"), (7300, "2 hours ago"), (200000, "2 days ago")],
)
def test_moments_are_said_as_people_say_them(seconds: int, words: str) -> None:
    assert ago(time.time() - seconds) == words


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost:9090", True), ("127.0.0.1", True), ("192.168.1.5:9090", True), ("[::1]:9090", True),
        ("adclick:9090", True), ("box.local", True), ("8.8.8.8", False), ("labels.example.com:9090", False),
    ],
)  # fmt: skip
def test_which_addresses_label_studio_refuses(host: str, private: bool) -> None:
    assert is_private(host) is private


def test_a_reference_links_to_its_task(connected: Backend) -> None:
    store = connected.services.store
    image = {"url": "/a.png", "product": "", "name": "a.png"}
    store.annotations.put("1", 1, changed_at=1.0, task_id=5, image=image)
    rows = store.references.of_project("1")
    assert (
        list_references(rows, "http://ls:8080/", 1).tiles[0].task_url
        == "http://ls:8080/projects/1/data?task=5"
    )
    assert list_references(rows, "javascript:alert(1)", 1).tiles[0].task_url == ""


# --- the link to Label Studio


class Server:
    """A Label Studio that answers as told."""

    def __init__(self, url: str = "http://ls", error: str = "", delay_s: float = 0.0) -> None:
        self.url, self.error, self.delay_s, self.asked = url, error, delay_s, 0

    def check(self) -> dict[str, Any]:
        self.asked += 1
        time.sleep(self.delay_s)
        if self.error:
            raise LabelStudioError(self.error)
        return {"email": "a@b.c"}


def checker(
    backend: Backend, server: Server, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> LinkChecker:
    monkeypatch.setattr(backend.services.connections, "label_studio", lambda project: server)
    return LinkChecker(backend.settings.model_copy(update=settings), backend.services.connections)


def test_the_link_is_looked_at_once_in_a_while(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    links = checker(backend, server, monkeypatch)
    assert links.look("1").state == "good"
    assert links.look("1").sentence == "http://ls answers to no token at all of a@b.c."
    assert server.asked == 1


def test_what_is_wrong_with_the_link_is_said(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"label_studio_url": "http://ls", "label_studio_api_key": "0" * 40}
    link = checker(backend, Server(error="It answers 401."), monkeypatch, **settings).look("1")
    assert link.state == "bad"
    assert link.sentence == "With the legacy token in LABEL_STUDIO_API_KEY: It answers 401."
    assert "set LABEL_STUDIO_URL" in checker(backend, Server(url=""), monkeypatch).look("1").sentence


def test_a_slow_label_studio_does_not_hold_the_page(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = checker(backend, Server(delay_s=0.5), monkeypatch)
    links.PATIENCE_S = 0.05  # type: ignore[misc]
    assert links.look("1").state == "unknown"
    time.sleep(0.7)
    assert links.look("1").state == "good"
