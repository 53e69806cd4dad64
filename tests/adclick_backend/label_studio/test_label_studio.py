"""The Label Studio API: both kinds of keys, bad days of the server, pages, words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from adclick_backend import deadline
from adclick_backend.downloads.breaker import Breakers
from adclick_backend.downloads.fetch import Fetcher, FetchError
from adclick_backend.label_studio.api_key import ApiKey, token_claims
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.settings import Settings
from tests.helpers.fake_label_studio import LEGACY_TOKEN, PERSONAL_TOKEN, FakeLabelStudio, web_token
from tests.helpers.local_server import LocalServer, Reply


class Time:
    """Seconds that pass only when somebody sleeps or a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server


def client(server: LocalServer, key: str, time: Time, **options: Any) -> LabelStudio:
    return LabelStudio(server.url, key, sleep=time.sleep, clock=time.clock, **options)


def fetcher(max_bytes: int = 1000) -> Fetcher:
    return Fetcher((), max_bytes=max_bytes, connect_timeout_s=2, timeout_s=5)


# --- keys


def test_legacy_token_is_sent_as_it_is(server: FakeLabelStudio, time: Time) -> None:
    assert client(server, f" {LEGACY_TOKEN}\n", time).check()["email"] == "ada@example.com"
    assert server.requests[0].headers["Authorization"] == f"Token {LEGACY_TOKEN}"
    assert server.calls("/api/token/refresh") == []


def test_personal_token_is_exchanged_once_and_never_sent_to_the_api(
    server: FakeLabelStudio, time: Time
) -> None:
    """reliability row 22."""
    label_studio = client(server, PERSONAL_TOKEN, time)
    for _ in range(3):
        label_studio.check()
    assert len(server.calls("/api/token/refresh")) == 1
    sent = {request.headers["Authorization"] for request in server.calls("/api/current-user/whoami")}
    assert sent == {f"Bearer {server.access_tokens[0]}"}


def test_access_token_is_renewed_shortly_before_it_expires(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: 300 s of life, counted on this machine's clock."""
    label_studio = client(server, PERSONAL_TOKEN, time)
    label_studio.check()
    time.now = 260.0
    label_studio.check()
    assert len(server.access_tokens) == 1
    time.now = 280.0
    label_studio.check()
    assert len(server.access_tokens) == 2


def test_access_token_that_is_refused_early_is_renewed(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: Label Studio was restarted, or the clocks disagree."""
    label_studio = client(server, PERSONAL_TOKEN, time)
    label_studio.check()
    server.access_tokens.append("another")
    label_studio.check()
    assert len(server.calls("/api/token/refresh")) == 2
    server.access_tokens.append("another")
    server.files["/data/upload/1/a.png"] = Reply(body=b"image")
    assert label_studio.download("/data/upload/1/a.png", fetcher()) == b"image"


def test_threads_share_one_exchange(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22."""
    label_studio = client(server, PERSONAL_TOKEN, time)
    threads = [threading.Thread(target=label_studio.check) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.calls("/api/token/refresh")) == 1
    assert len(server.calls("/api/current-user/whoami")) == 8


def test_kinds_of_keys_are_told_apart_by_their_shape() -> None:
    assert token_claims(PERSONAL_TOKEN) is not None
    for other in (LEGACY_TOKEN, "", "a.b.c", "a.b", "..", "ä.ö.ü", "a.W10.c", PERSONAL_TOKEN + ".x"):
        assert token_claims(other) is None


# --- refusals


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "asks for an API key, and none is set"),
        (LEGACY_TOKEN, "refuses the legacy token: it is wrong, or legacy tokens are switched off"),
        (
            web_token(token_type="refresh", user_id=2),
            "refuses the personal access token in LABEL_STUDIO_API_KEY",
        ),
        (PERSONAL_TOKEN.rpartition(".")[0], "holds a shortened token, two parts instead of three"),
    ],
)
def test_refused_key_says_what_to_do(key: str, reason: str, server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: 401, for the API and for files; nothing is gained by asking again."""
    server.legacy_enabled = False
    label_studio = client(server, key, time)
    for refused in (label_studio.check, lambda: label_studio.download("/data/upload/1/a.png", fetcher())):
        with pytest.raises(LabelStudioError, match=reason) as caught:
            refused()
        assert "set LABEL_STUDIO_API_KEY to it." in str(caught.value)
        assert caught.value.status == 401
        assert not key or key not in str(caught.value)
    assert time.naps == []


def test_words_of_label_studio_are_passed_on(server: FakeLabelStudio, time: Time) -> None:
    said = {
        "detail": "Validation error",
        "validation_errors": {"url": ["URL resolves to a reserved network address"]},
    }
    server.failures = [Reply.json(said, 400)]
    with pytest.raises(
        LabelStudioError, match=r"400 to POST http.*/api/ml: Validation error .*reserved network"
    ):
        client(server, LEGACY_TOKEN, time).post("/api/ml", {})


def test_address_that_is_not_label_studio(time: Time) -> None:
    replies = [Reply(body=b"<html>It works!</html>"), Reply.json(["hello"])]
    with LocalServer(lambda request: replies.pop(0)) as other:
        label_studio = client(other, LEGACY_TOKEN, time)
        with pytest.raises(LabelStudioError, match="something else than JSON"):
            label_studio.check()
        with pytest.raises(LabelStudioError, match="is not Label Studio"):
            label_studio.check()


def test_redirect_is_not_followed(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 2: the token stays at the address it was given for."""
    server.failures = [Reply.redirect("https://elsewhere.example/api/current-user/whoami", 301)]
    with pytest.raises(
        LabelStudioError, match=r"redirected to https://elsewhere\.example/.* Set LABEL_STUDIO_URL"
    ):
        client(server, LEGACY_TOKEN, time).check()


@pytest.mark.parametrize(("url", "reason"), [("", "is not known"), ("localhost:8080", "is 'localhost:8080'")])
def test_missing_or_odd_address(url: str, reason: str) -> None:
    for call in (LabelStudio(url).check, lambda: LabelStudio(url).download("/a.png", fetcher())):
        with pytest.raises(LabelStudioError, match=rf"{reason}.*"):
            call()


# --- bad days


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_trouble_is_waited_out(status: int, server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: with growing, jittered waits."""
    server.failures = [Reply(status) for _ in range(3)]
    assert client(server, LEGACY_TOKEN, time).check()["id"] == 1
    for nap, longest in zip(time.naps, (0.5, 1.0, 2.0), strict=True):
        assert longest / 2 <= nap <= longest


def test_passing_trouble_is_waited_out_for_files_and_tokens(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22."""
    server.files["/data/upload/1/a.png"] = Reply(body=b"image")
    server.failures = [Reply(503)]  # hits the exchange of the token
    label_studio = client(server, PERSONAL_TOKEN, time)
    assert label_studio.download("/data/upload/1/a.png", fetcher()) == b"image"
    server.failures = [Reply(429)]  # hits the file
    assert label_studio.download("/data/upload/1/a.png", fetcher()) == b"image"
    assert len(time.naps) == 2


def test_trouble_that_stays_is_an_error_after_four_attempts(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: the retries have a cap."""
    server.failures = [Reply(503) for _ in range(10)]
    with pytest.raises(LabelStudioError, match="503") as caught:
        client(server, LEGACY_TOKEN, time).check()
    assert caught.value.passing
    assert len(server.requests) == 4


def test_label_studio_that_is_down(time: Time) -> None:
    """reliability row 22."""
    with FakeLabelStudio() as server:
        pass
    label_studio = client(server, LEGACY_TOKEN, time)
    with pytest.raises(
        LabelStudioError, match=r"cannot be reached\. Check that it runs and that LABEL_STUDIO_URL"
    ):
        label_studio.check()
    assert len(time.naps) == 1  # after two failures it is left alone
    with pytest.raises(LabelStudioError, match=r"has not answered since .*; it is asked again in 5 s"):
        label_studio.check()
    with pytest.raises(FetchError, match="cannot be fetched"):
        label_studio.download("/data/upload/1/a.png", fetcher())


def test_an_exchange_that_fails_is_not_repeated_by_each_thread_that_waited(time: Time) -> None:
    """reliability row 29: and no lock is held meanwhile."""
    begun, free = threading.Event(), threading.Event()
    asked: list[str] = []

    def refresh(key: str) -> str:
        asked.append(key)
        begun.set()
        free.wait(10)
        raise LabelStudioError("away")

    key = ApiKey(PERSONAL_TOKEN, refresh, time.clock)
    told: list[str] = []

    def ask() -> None:
        try:
            key.header()
        except LabelStudioError as error:
            told.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(5)
    key.forget("Bearer another")  # would wait for the lock
    exchange = key._exchange
    assert exchange is not None
    while len(exchange._condition._waiters) < 7:  # type: ignore[attr-defined]
        free.wait(0.01)
    free.set()
    for thread in threads:
        thread.join(5)
    assert told == ["away"] * 8
    assert len(asked) == 1


def test_whoever_waits_for_an_exchange_waits_as_long_as_it_may(time: Time) -> None:
    """reliability row 29."""
    begun, free = threading.Event(), threading.Event()

    def refresh(key: str) -> str:
        begun.set()
        free.wait(10)
        return web_token(iat=1000, exp=1300)

    key = ApiKey(PERSONAL_TOKEN, refresh, time.clock, patience=lambda: 0.01)
    thread = threading.Thread(target=key.header)
    thread.start()
    assert begun.wait(5)
    with pytest.raises(TimeoutError):
        key.header()
    free.set()
    thread.join(5)
    assert key.header().startswith("Bearer ey")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\n\r\n["])
def test_a_dripping_answer_is_cut_at_the_deadline(time: Time, start: bytes) -> None:
    """reliability row 29: each byte would start the timeout of the socket anew."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.sendall(start)
                while start and not over.wait(0.05):
                    connection.sendall(b" ")
                over.wait(10)

        thread = threading.Thread(target=drip)
        thread.start()
        label_studio = LabelStudio(f"http://127.0.0.1:{listener.getsockname()[1]}", LEGACY_TOKEN)
        with deadline.within(0.5), pytest.raises(LabelStudioError, match="did not answer within") as caught:
            label_studio.check()
        over.set()
        thread.join(5)
    assert caught.value.passing


def test_no_attempt_is_made_that_has_no_time(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 29."""
    with deadline.within(1.0, waited=2.0):
        with pytest.raises(LabelStudioError, match="did not answer within 1 s"):
            client(server, LEGACY_TOKEN, time).check()
        with pytest.raises(FetchError, match=r"this request had 1 s\. Click again"):
            client(server, LEGACY_TOKEN, time).download("/data/upload/1/a.png", fetcher())
    assert server.requests == []


def test_label_studio_that_does_not_answer_is_left_alone(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 29: API and files alike, until somebody tries again."""
    breakers = Breakers(time.clock)
    label_studio = client(server, LEGACY_TOKEN, time, breakers=breakers)
    for _ in range(2):
        breakers.failed(server.url)
    with pytest.raises(LabelStudioError, match="has not answered since") as caught:
        label_studio.check()
    assert caught.value.passing  # for jobs, which come back later
    assert server.requests == []
    assert time.naps == []
    time.now += 5.0
    assert label_studio.check()["id"] == 1
    assert label_studio.check()["id"] == 1


def test_what_changes_something_is_sent_once_unless_it_was_not_taken(
    server: FakeLabelStudio, time: Time
) -> None:
    """reliability row 22: a 502 may come after the deed, a 429 comes before it."""
    label_studio = client(server, LEGACY_TOKEN, time)
    server.failures = [Reply(502)]
    with pytest.raises(LabelStudioError):
        label_studio.post("/api/echo", {"a": 1})
    assert len(server.requests) == 1
    server.failures = [Reply(429)]
    assert label_studio.patch("/api/echo", {"a": 1}) == {"method": "PATCH", "body": {"a": 1}}
    assert len(server.requests) == 3


def test_error_of_the_server_is_not_repeated(server: FakeLabelStudio, time: Time) -> None:
    server.failures = [Reply.json({"detail": "boom"}, 500)]
    with pytest.raises(LabelStudioError, match=r"500 to GET .*: boom"):
        client(server, LEGACY_TOKEN, time).check()
    assert len(server.requests) == 1


# --- tasks


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_all_pages_of_tasks_are_read(count: int, server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: paging."""
    server.tasks = [{"id": i} for i in range(count)]
    tasks = client(server, LEGACY_TOKEN, time).tasks(7, only_annotated="true")
    assert [task["id"] for task in tasks] == list(range(count))
    first = server.requests[0].path
    for part in ("project=7", "fields=all", "page_size=100", "page=1", "only_annotated=true"):
        assert part in first
    assert len(server.requests) == max(1, -(-count // 100))


def test_tasks_that_vanish_while_being_read_end_the_list(server: FakeLabelStudio, time: Time) -> None:
    """reliability row 22: Label Studio answers 404 to a page that is no more."""
    server.tasks = [{"id": i} for i in range(4)]
    tasks = client(server, LEGACY_TOKEN, time).tasks(7, page_size=2)
    assert [next(tasks)["id"], next(tasks)["id"]] == [0, 1]
    del server.tasks[2:]
    assert list(tasks) == []


# --- addresses


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/upload/1/a%20b.png", "/data/upload/1/a%20b.png"),
        ("http://inside:8080/data/upload/1/a.png", "/data/upload/1/a.png"),
        ("HTTP://Inside:8080/data/local-files/?d=a/b.png", "/data/local-files/?d=a/b.png"),
        ("https://outside.example/data/local-files/?d=a/b.png", "/data/local-files/?d=a/b.png"),
        ("http://inside:8081/a.png", None),
        ("https://inside:8080/a.png", None),
        ("http://inside:8080.evil.example/a.png", None),
        ("http://inside:8080@evil.example/a.png", None),
        ("//inside:8080/a.png", None),
        ("http://outside.example/a.png", None),
        ("data:image/png;base64,AAAA", None),
        ("a.png", None),
    ],
)
def test_urls_of_label_studio_are_recognised(url: str, path: str | None) -> None:
    """reliability row 2: by exact origin."""
    assert LabelStudio("http://inside:8080/", hostname="https://outside.example").path_of(url) == path


def test_label_studio_below_a_path() -> None:
    label_studio = LabelStudio("http://inside:8080", hostname="https://outside.example/ls/")
    for url in (
        "/data/upload/1/a.png",
        "/ls/data/upload/1/a.png",
        "https://outside.example/ls/data/upload/1/a.png",
    ):
        assert label_studio.path_of(url) == "/data/upload/1/a.png"
    assert label_studio.path_of("https://outside.example/lsd/a.png") is None
    assert LabelStudio("https://outside.example/ls").path_of("/data/upload/1/a.png") == "/data/upload/1/a.png"


def test_download_below_a_path(server: FakeLabelStudio, time: Time) -> None:
    server.files["/ls/data/upload/1/a.png"] = Reply(body=b"image")
    label_studio = LabelStudio(server.url + "/ls/", LEGACY_TOKEN)
    assert label_studio.download("/data/upload/1/a.png", fetcher()) == b"image"


@pytest.mark.parametrize(
    ("status", "advice"),
    [(403, "member of the project"), (404, "storages in Label Studio"), (500, "upload was deleted")],
)
def test_file_that_is_not_served_says_why(
    status: int, advice: str, server: FakeLabelStudio, time: Time
) -> None:
    server.files["/data/local-files/?d=a.png"] = Reply(status)
    with pytest.raises(LabelStudioError, match=f"answered {status}.*{advice}"):
        client(server, LEGACY_TOKEN, time).download("/data/local-files/?d=a.png", fetcher())


def settings(**values: Any) -> Settings:
    return Settings(data_dir=Path("unused"), **values)


def test_configured_key_goes_to_the_configured_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """reliability row 2: a hostname that somebody sent to /setup gets no key but its own."""
    claimed = {"hostname": "http://evil.example", "token": LEGACY_TOKEN}
    with FakeLabelStudio() as configured, FakeLabelStudio() as other:
        both = settings(label_studio_url=configured.url, label_studio_api_key=PERSONAL_TOKEN)
        assert LabelStudio.for_project(both, **claimed).url == configured.url
        LabelStudio.for_project(both, **claimed).check()
        assert len(configured.calls("/api/token/refresh")) == 1

        key_only = settings(label_studio_url="", label_studio_api_key=PERSONAL_TOKEN)
        LabelStudio.for_project(key_only, hostname=other.url, token=LEGACY_TOKEN).check()
        assert [request.headers["Authorization"] for request in other.requests] == [f"Token {LEGACY_TOKEN}"]


def test_netrc_does_not_replace_the_key(
    server: FakeLabelStudio, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """reliability row 2: requests would send the password of ~/.netrc in its place."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client(server, LEGACY_TOKEN, time).check()
    client(server, PERSONAL_TOKEN, time).check()
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == [f"Token {LEGACY_TOKEN}", None, f"Bearer {server.access_tokens[0]}"]
