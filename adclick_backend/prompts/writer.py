"""Phrases for a defect from a language model: any server that speaks the chat interface of OpenAI, as most do."""

from __future__ import annotations

import json
import time
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from adclick_backend.downloads.hosts import FetchError, Target, parse_url
from adclick_backend.settings import Settings
from model.language.prompts import instruction, parse_answer

ASKED_FOR = 60  # phrases; the paper asks for 100 and keeps 40, but a local model is slow
_MAX_BYTES = 512 * 1024
_CHUNK = 64 * 1024
_CONNECT_S = 5.0


class PromptWriterError(RuntimeError):
    """No phrases came; the message is a sentence for a person."""


class PromptWriter:
    """Asks the language model of the settings.

    The question holds the label's and the product's name and nothing else of the project; the key goes to the
    address in ``ADCLICK_LLM_URL`` alone, as redirects are not followed.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.llm_url
        self._model = settings.llm_model
        self._key = settings.llm_key
        self._timeout_s = settings.llm_timeout_s

    @property
    def configured(self) -> bool:
        """Whether there is a language model to ask."""
        return bool(self._url)

    def write(self, label: str, product: str = "") -> list[str]:
        """Phrases for a defect type, cleaned, at least one.

        Raises:
            PromptWriterError: it is not set up, cannot be reached, refuses, or answers without a phrase.
        """
        if not self.configured:
            raise PromptWriterError(
                "No language model is set up. Set ADCLICK_LLM_URL to an OpenAI-compatible address such as "
                "http://192.168.1.20:11434/v1, and ADCLICK_LLM_MODEL to the model's name."
            )
        phrases = parse_answer(self._ask(instruction(label, product, ASKED_FOR)))
        if not phrases:
            raise PromptWriterError(f"{self._who} answered without a phrase.")
        return phrases

    def _ask(self, question: str) -> str:
        """The text of the model's answer."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": question}], "stream": False}
        if self._model:
            body["model"] = self._model
        deadline = time.monotonic() + self._timeout_s
        try:
            with requests.Session() as session:
                answer = session.post(
                    self._target.url,
                    json=body,
                    auth=self._sign,
                    headers={"Accept-Encoding": "identity"},
                    timeout=(_CONNECT_S, self._timeout_s),
                    allow_redirects=False,
                    stream=True,
                )
                with answer:
                    text = self._body(answer, deadline)
        except (requests.Timeout, TimeoutError) as error:
            raise PromptWriterError(
                f"{self._who} did not answer within {self._timeout_s:g} seconds (ADCLICK_LLM_TIMEOUT_S)."
            ) from error
        except (requests.RequestException, HTTPError) as error:
            raise PromptWriterError(
                f"{self._who} cannot be reached. Check that it runs and that ADCLICK_LLM_URL is its address as seen "
                "from this backend; inside a container, localhost is the container itself."
            ) from error
        if answer.status_code != 200:
            raise PromptWriterError(
                f"{self._who} answers {answer.status_code} {self._complaint(text)}.".rstrip()
            )
        return _content(text, self._who)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The key as requests' ``auth``: a bare header would be replaced by what ~/.netrc says of the host."""
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _body(self, answer: requests.Response, deadline: float) -> bytes:
        """The body, read as it comes, so that neither a slow nor an endless one is waited for."""
        body = bytearray()
        while chunk := answer.raw.read1(_CHUNK):
            body += chunk
            if len(body) > _MAX_BYTES:
                raise PromptWriterError(
                    f"{self._who} sends more than {_MAX_BYTES // 1024} kB; it was not read on."
                )
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(body)

    def _complaint(self, text: bytes) -> str:
        """The server's own words, without the key should it repeat it."""
        try:
            told = json.loads(text)["error"]
            words = str(told["message"] if isinstance(told, dict) else told)[:200]
        except (ValueError, KeyError, TypeError):
            return ""
        words = words.replace(self._key, "...") if self._key else words
        return f"({words})"

    @property
    def _who(self) -> str:
        return f"The language model at {self._target.origin}"

    @property
    def _target(self) -> Target:
        try:
            return parse_url(f"{self._url}/chat/completions")
        except FetchError as error:
            raise PromptWriterError(
                "ADCLICK_LLM_URL is not an address such as http://192.168.1.20:11434/v1."
            ) from error


def _content(text: bytes, who: str) -> str:
    """The message inside a chat completion."""
    try:
        content = json.loads(text)["choices"][0]["message"]["content"]
        if isinstance(content, list):  # parts, as some servers send them
            content = "\n".join(part.get("text", "") for part in content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise PromptWriterError(
            f"{who} answers with something else than a chat completion. ADCLICK_LLM_URL usually ends in /v1."
        ) from error
    return str(content or "")
