"""The page of the reports: listed, shown, and kept away from the dashboard's forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.backend import Backend
from tests.helpers.dashboard import page

REPORTS = "/projects/1/reports"


@pytest.fixture
def folder(connected: Backend) -> Path:
    """Where the reports of project 1 lie."""
    path = connected.settings.data_dir / "projects/1/reports"
    path.mkdir(parents=True)
    return path


def test_without_a_report_the_page_says_how_to_write_one(connected: Backend) -> None:
    text = page(connected, REPORTS)
    assert "There is no report yet" in text
    assert "adclick evaluate --project 1" in text


def test_reports_are_listed_and_shown_without_rights(connected: Backend, folder: Path) -> None:
    (folder / "v3 on 12 images.html").write_text("<h1>v3</h1>")
    (folder / "notes.txt").write_text("secret")
    text = page(connected, REPORTS)
    assert 'href="/projects/1/reports/v3%20on%2012%20images"' in text
    assert "notes" not in text
    answer = connected.client.get(f"{REPORTS}/v3%20on%2012%20images", buffered=True)
    assert "<h1>v3</h1>" in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")  # no script runs, no form is sent
    assert "script-src" not in policy


def test_nothing_but_reports_can_be_read(connected: Backend, folder: Path) -> None:
    (folder / "notes.txt").write_text("secret")
    (folder.parent / "secret.html").write_text("secret")
    for name in ("notes", "notes.txt", "..%2Fsecret", "..%2F..%2F..%2Fadclick", "none"):
        assert connected.client.get(f"{REPORTS}/{name}").status_code == 404
