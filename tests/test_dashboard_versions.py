"""The page of the versions: what serves, two compared, activating, rolling back, deleting."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.backend import Backend
from helpers.dashboard import page, png, send
from helpers.versions import candidate

VERSIONS = "/projects/1/versions"


@pytest.fixture
def trained(connected: Backend, tmp_path: Path) -> Backend:
    """Project 1 has versions v1 and v2, and v2 serves."""
    registry = connected.services.registry
    for name, iou in (("v1", 0.5), ("v2", 0.625)):
        folder = candidate(tmp_path / name, name.encode(), metrics={"iou": iou, "by type": {"dent": 0.25}})
        if name == "v2":
            (folder / "pictures").mkdir()
            (folder / "pictures/0.png").write_bytes(png())
            comparison = {"against": "v1", "reason": "v2 is better on 6 images."}
            (folder / "comparison.json").write_text(json.dumps(comparison))
        registry.publish("1", folder, name)
        registry.activate("1", name)
    return connected


def serving(backend: Backend) -> str:
    version = backend.services.registry.current("1")
    return version.name if version else ""


def test_before_any_training_the_page_says_how_to_get_a_version(connected: Backend) -> None:
    text = page(connected, VERSIONS)
    assert "Nothing has been trained yet" in text
    assert 'href="/projects/1/training"' in text
    assert "Roll back" not in text


def test_the_versions_are_listed_with_what_they_reach(trained: Backend) -> None:
    text = page(trained, VERSIONS)
    assert "Version v2 serves" in text
    assert "+p1-v2</strong>" in text  # the name that Label Studio shows
    rows = re.findall(r'<th scope="row">(v\d).*?</tr>', text, re.S)
    assert rows == ["v2", "v1"]
    assert "62.5 %" in text
    assert text.count(">serves</span>") == 1


def test_versions_are_activated_rolled_back_and_deleted(trained: Backend) -> None:
    assert send(trained, f"{VERSIONS}/v1/activate").location == VERSIONS
    assert serving(trained) == "v1"
    send(trained, f"{VERSIONS}/roll-back")
    assert serving(trained) == "v2"
    send(trained, f"{VERSIONS}/v1/delete")
    assert [version.name for version in trained.services.registry.list("1")] == ["v2"]
    send(trained, f"{VERSIONS}/roll-back")
    assert serving(trained) == ""
    text = page(trained, VERSIONS)
    assert "No trained version serves" in text
    assert "Activate v2" in text


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("v2/delete", "Version v2 serves"),
        ("v9/activate", "has no version 'v9'"),
        ("..%2Fv1/delete", ""),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(trained: Backend, route: str, said: str) -> None:
    answer = send(trained, f"{VERSIONS}/{route}")
    assert answer.status_code in (404, 409)
    assert said in answer.text.replace("&#39;", "'")
    assert len(trained.services.registry.list("1")) == 2
    assert serving(trained) == "v2"


def test_a_damaged_version_says_so_and_cannot_be_activated(trained: Backend) -> None:
    trained.services.registry.get("1", "v1").weights.write_bytes(b"something else")
    text = page(trained, VERSIONS)
    assert "are damaged or were exchanged" in text
    assert "Activate v1" not in text
    assert send(trained, f"{VERSIONS}/v1/activate").status_code == 409


def test_two_versions_side_by_side(trained: Backend) -> None:
    text = page(trained, f"{VERSIONS}/compare?first=v1&second=v2")
    assert "v2 compared with v1" in text
    assert re.search(r"IoU</th>\s*<td[^>]*>50.0 %</td><td[^>]*>62.5 %</td>\s*<td[^>]*>\+12.5</td>", text)
    assert "by type: dent" in text
    assert "v2 is better on 6 images." in text
    (picture,) = re.findall(r'<img src="([^"]+)"', text)
    answer = trained.client.get(picture, buffered=True)
    assert (answer.status_code, answer.content_type) == (200, "image/png")
    assert "There are no pictures of these two" in page(trained, f"{VERSIONS}/compare?first=v2&second=v1")


def test_only_the_pictures_of_a_version_can_be_read(trained: Backend) -> None:
    for route in ("v2/pictures/1.png", "v2/pictures/..%2F..%2Fweights.json", "v3/pictures/0.png"):
        assert trained.client.get(f"{VERSIONS}/{route}").status_code == 404
    for query in ("", "?first=v1", "?first=v1&second=..%2Fv2"):
        assert trained.client.get(f"{VERSIONS}/compare{query}").status_code == 404
