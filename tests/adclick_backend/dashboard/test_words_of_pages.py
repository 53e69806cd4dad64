"""No page of a project that is lived in says what a person would not."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from adclick_backend.dashboard.training import JobLine
from adclick_backend.dashboard.words import change, percent
from adclick_backend.store import Job
from tests.helpers.backend import Backend
from tests.helpers.lived_in import live_in, pages

SAID_BY_NOBODY = {
    "a length of time without its number": r"about less than",
    "a negative nothing": r"-0(\.0+)?(?![\d.])\s*(%|$|<)|>-0\.0<",
    "bytes of Python": r"\bb(['\"])[^'\"]*\1",
    "nothing of Python": r"\bNone\b(?! of|\.| yet)",
    "not a number": r"\bnan\b",
    "a hash": r"\b[0-9a-f]{12,}\b",
    "an object of Python": r"<\w+(\.\w+)* object at|\[\]|\{\}",
}


def _visible(text: str) -> str:
    """What a person sees or hears of a page, the words of each element on a line of their own."""
    text = re.sub(r"<style>.*?</style>|<input type=\"hidden\"[^>]*>", "", text, flags=re.S)
    heard = re.findall(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', text)
    return unescape("\n".join([re.sub(r"<[^>]+>", "\n", text), *heard]))


def test_no_page_says_what_nobody_would(connected: Backend, tmp_path: Path) -> None:
    live_in(connected, tmp_path)
    found = {path: _visible(text) for path, text in pages(connected).items()}
    assert {"/projects/1/reports/v3", "/projects/1/versions/v2", "/projects/1/training/1"} <= found.keys()
    wrong = [
        f"{path}: {what}: {said[0]!r}"
        for path, text in found.items()
        for what, pattern in SAID_BY_NOBODY.items()
        if (said := re.search(pattern, text))
    ]
    assert not wrong, "\n".join(wrong)
    everything = "\n".join(found.values())
    for said in ("less than a minute left", "chunk ID?T"):  # what once was said badly is there, and said well
        assert said in everything


@pytest.mark.parametrize(
    ("share", "words"),
    [(-0.0001, "0.0 %"), (0.0, "0.0 %"), (0.6249, "62.5 %"), (None, "–"), (1.0, "100.0 %")],
)
def test_shares(share: float | None, words: str) -> None:
    assert percent(share) == words


@pytest.mark.parametrize(
    ("difference", "words"),
    [(-0.0002, "0.0"), (0.0004, "0.0"), (-0.0006, "-0.1"), (0.25, "+25.0"), (None, "–")],
)
def test_differences(difference: float | None, words: str) -> None:
    assert change(difference) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20.0, "less than a minute left"),
        (120.0, "about 2 minutes left"),
        (3900.0, "about 1 hour 5 minutes left"),
    ],
)
def test_the_time_left(seconds: float, words: str) -> None:
    job = Job(1, "1", "train", "training", "", "", 0.5, seconds, "", None, None, False, 0.0, None, None)
    assert JobLine(job).time_left == words
