"""The page of the reports: listed, shown, and kept away from the dashboard's forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send

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


def test_a_report_is_asked_about_removed_and_put_back(connected: Backend, folder: Path) -> None:
    (folder / "v3.html").write_text("<h1>first</h1>")
    assert "Remove the report v3?" in page(connected, f"{REPORTS}/v3/remove")
    assert (folder / "v3.html").exists()
    send(connected, f"{REPORTS}/v3/remove")
    assert connected.client.get(f"{REPORTS}/v3").status_code == 404
    text = page(connected, REPORTS)
    assert "Removed in the last 30 days" in text and "Put it back</button>" in text
    key = next((folder / "removed").glob("*-v3.html")).stem
    (folder / "v3.html").write_text("<h1>second</h1>")
    refused = send(connected, f"{REPORTS}/removed/{key}/put-back")
    assert refused.status_code == 409 and "There is a newer report v3" in refused.text
    send(connected, f"{REPORTS}/v3/remove")  # in the same second
    assert len(list((folder / "removed").glob("*-v3.html"))) == 2
    assert send(connected, f"{REPORTS}/removed/{key}/put-back").status_code == 303
    assert (folder / "v3.html").read_text() == "<h1>first</h1>"
    for other in (key, "..%2Fv3", "1-v3"):
        assert send(connected, f"{REPORTS}/removed/{other}/put-back").status_code == 404


def test_what_was_removed_long_ago_goes_for_good(connected: Backend, folder: Path) -> None:
    (folder / "removed").mkdir()
    (folder / "removed/1000-v1.html").write_text("old")
    (folder / "v3.html").write_text("<h1>v3</h1>")
    assert "Removed in the last" not in page(connected, REPORTS)
    send(connected, f"{REPORTS}/v3/remove")
    assert [path.name.partition("-")[2] for path in (folder / "removed").glob("*")] == ["v3.html"]
