"""Asking a language model: what is sent to whom, and every way in which no phrase may come back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.prompts.writer import PromptWriter, PromptWriterError
from adclick_backend.settings import Settings
from tests.helpers.local_server import LocalServer, Reply, Request

KEY = "sk-very-secret"


def completion(content: Any) -> Reply:
    return Reply.json({"choices": [{"message": {"role": "assistant", "content": content}}]})


def writer(server: LocalServer | str, **settings: Any) -> PromptWriter:
    url = server if isinstance(server, str) else f"{server.url}/v1/"
    return PromptWriter(Settings(llm_url=url, llm_key=KEY, llm_model="small", **settings))


def answering(reply: Reply) -> LocalServer:
    return LocalServer(lambda request: reply)


def test_phrases_come_back_clean() -> None:
    with answering(completion("1. A thin scratch.\n2. Deep gouge\n")) as server:
        assert writer(server).write("scratch", "metal_nut") == ["a thin scratch", "deep gouge"]
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    body = json.loads(request.body)
    assert body["model"] == "small" and body["stream"] is False
    assert "scratch" in body["messages"][0]["content"] and "metal nut" in body["messages"][0]["content"]
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_without_key_and_model_neither_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even what ~/.netrc says of that host."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with answering(completion([{"type": "text", "text": "a dent"}])) as server:
        assert PromptWriter(Settings(llm_url=f"{server.url}/v1")).write("dent") == ["a dent"]
    (request,) = server.requests
    assert "Authorization" not in request.headers and "model" not in json.loads(request.body)


def test_the_key_goes_to_no_other_server() -> None:
    """Reliability row 2: a redirect is not followed."""
    with (
        answering(completion("a dent")) as other,
        answering(Reply.redirect(f"{other.url}/v1/chat/completions", 307)) as server,
        pytest.raises(PromptWriterError, match="answers 307"),
    ):
        writer(server).write("dent")
    assert other.requests == []


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (completion("..."), "answered without a phrase"),
        (completion(None), "answered without a phrase"),
        (Reply.json({"choices": []}), "something else than a chat completion"),
        (Reply.json([]), "something else than a chat completion"),
        (Reply(200, b"<html>"), "usually ends in /v1"),
        (Reply(404), "answers 404"),
        (Reply.json({"error": {"message": f"bad key {KEY}"}}, 401), r"answers 401 \(bad key \.\.\.\)"),
        (Reply.json({"error": "model is loading"}, 503), r"answers 503 \(model is loading\)"),
        (Reply(200, b"x" * 600_000), "more than 512 kB"),
    ],
)
def test_a_failure_is_a_sentence(reply: Reply, sentence: str) -> None:
    """Reliability row 10: the key is in none of them."""
    with answering(reply) as server, pytest.raises(PromptWriterError, match=sentence) as failure:
        writer(server).write("dent")
    assert KEY not in str(failure.value) and server.url in str(failure.value)


def drip() -> Iterator[bytes]:
    while True:
        yield b" "
        time.sleep(0.02)


def _silent(request: Request) -> Reply:
    time.sleep(0.6)
    return Reply(200)


def test_neither_a_silent_nor_a_slow_server_is_waited_for() -> None:
    """Reliability row 5."""
    started = time.monotonic()
    for server in (answering(Reply(200, drip())), LocalServer(_silent)):
        with server, pytest.raises(PromptWriterError, match=r"within 0\.3 seconds \(ADCLICK_LLM_TIMEOUT_S\)"):
            writer(server, llm_timeout_s=0.3).write("dent")
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "Set ADCLICK_LLM_URL"),
        ("ftp://models/v1", "not an address"),
        ("http://user:word@host/v1", "not an address"),
        ("http://127.0.0.1:9/v1", "cannot be reached"),
    ],
)
def test_an_address_that_leads_nowhere_is_named(url: str, sentence: str) -> None:
    with pytest.raises(PromptWriterError, match=sentence):
        writer(url).write("dent")


def test_the_key_is_not_shown_with_the_settings() -> None:
    assert KEY not in repr(Settings(llm_key=KEY))
