"""The page of the versions: what serves, two compared, activating, rolling back, deleting."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, png, send
from tests.helpers.versions import candidate

VERSIONS = "/projects/1/versions"
TRAINED = {
    "types": ["dent", "scratch"],
    "training": {"notes": ["Of dent there is one image."]},
    "data": {"images": ["a", "b", "c"], "held_out": ["d"], "skipped": ["Task 7 has no image."]},
}


@pytest.fixture
def trained(connected: Backend, tmp_path: Path) -> Backend:
    """Project 1 has versions v1 and v2, and v2 serves."""
    registry = connected.services.registry
    for name, iou in (("v1", 0.5), ("v2", 0.625)):
        folder = candidate(
            tmp_path / name, name.encode(), metrics={"iou": iou, "false_area": iou / 10}, **TRAINED
        )
        if name == "v2":
            (folder / "pictures").mkdir()
            (folder / "pictures/0.png").write_bytes(png())
            comparison = {
                "against": "v1",
                "reason": "v2 is better on 6 images.",
                "candidate": {"iou": 0.75, "false_area": 0.02},
                "serving": {"iou": 0.5, "false_area": 0.01},
                "images": [{"types": ["dent", "scratch"]}, {"types": []}],
            }
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
    assert "how far the mask and the label are the same" in text
    assert "+p1-v2</strong>" in text  # the name that Label Studio shows
    rows = re.findall(r'<th scope="row"><a class="target" href="[^"]+">\s*(v\d)</a>', text)
    assert rows == ["v2", "v1"]
    assert "62.5 %" in text
    assert text.count(">serves</span>") == 1


def test_versions_are_activated_rolled_back_and_deleted(trained: Backend) -> None:
    assert send(trained, f"{VERSIONS}/v1/activate").location == VERSIONS
    assert serving(trained) == "v1"
    assert "Roll back to v2</a>" in page(trained, VERSIONS)
    send(trained, f"{VERSIONS}/roll-back")
    assert serving(trained) == "v2"
    assert "Rolled back: version v2 serves now." in page(trained, VERSIONS)
    send(trained, f"{VERSIONS}/v1/delete")
    assert [version.name for version in trained.services.registry.list("1")] == ["v2"]
    assert "Roll back to the packaged network</a>" in page(trained, VERSIONS)
    send(trained, f"{VERSIONS}/roll-back")
    assert serving(trained) == ""
    text = page(trained, VERSIONS)
    assert "Rolled back: the packaged network serves now." in text
    assert "No trained version serves" in text
    assert "Activate v2" in text


def test_a_roll_back_asks_first_and_is_taken_back_by_one_press(trained: Backend) -> None:
    asked = " ".join(page(trained, f"{VERSIONS}/roll-back").split())
    assert "Version v2 serves now; after this version v1 does" in asked
    assert "62.5 %" in asked and "50.0 %" in asked
    assert serving(trained) == "v2"  # nothing happened yet
    send(trained, f"{VERSIONS}/roll-back")
    text = page(trained, VERSIONS)
    assert (
        text.count("Forward to v2 again</button>") == 2
    )  # beside what was done, and where the version stands
    assert send(trained, f"{VERSIONS}/forward").location == VERSIONS
    assert serving(trained) == "v2"
    assert "Version v2 serves again." in page(trained, VERSIONS)
    assert "again</button>" not in page(trained, VERSIONS)
    assert send(trained, f"{VERSIONS}/forward").status_code == 409


def test_to_the_packaged_network_and_forward_again(trained: Backend) -> None:
    for goal in ("v1", "the packaged network"):
        assert f"Roll back to {goal}?" in page(trained, f"{VERSIONS}/roll-back")
        send(trained, f"{VERSIONS}/roll-back")
    assert trained.client.get(f"{VERSIONS}/roll-back").status_code == 409
    for name in ("v1", "v2"):
        assert f"Forward to {name} again</button>" in page(trained, VERSIONS)
        send(trained, f"{VERSIONS}/forward")
        assert serving(trained) == name


def test_a_deleted_version_is_asked_about_and_can_be_brought_back(trained: Backend) -> None:
    assert "Delete version v1?" in page(trained, f"{VERSIONS}/v1/delete")
    assert "Delete v2</button>" not in page(trained, f"{VERSIONS}/v2/delete")  # it serves
    assert len(trained.services.registry.list("1")) == 2
    send(trained, f"{VERSIONS}/v1/delete")
    text = page(trained, VERSIONS)
    assert "Deleted in the last 30 days" in text and "Bring it back</button>" in text
    send(trained, f"{VERSIONS}/v1/bring-back")
    assert [version.name for version in trained.services.registry.list("1")] == ["v2", "v1"]
    assert "Deleted in the last 30 days" not in page(trained, VERSIONS)
    assert send(trained, f"{VERSIONS}/v1/bring-back").status_code == 409


def test_tasks_that_were_opened_before_get_the_predictions_of_the_version_that_serves(
    trained: Backend,
) -> None:
    text = " ".join(page(trained, VERSIONS).split())
    assert "tasks that were opened before go on showing the old one" in text
    assert "This gives every task the prediction of version v2:" in text
    for _ in range(2):
        assert send(trained, f"{VERSIONS}/push").location == "/projects/1/training"
    (job,) = trained.services.jobs.of_project("1")
    assert (job.kind, job.trigger) == ("push", "the dashboard")
    text = page(trained, VERSIONS)
    assert "Update all predictions</button>" not in text
    assert "Predictions for all tasks" in page(trained, "/projects/1/training")


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


def test_a_version_that_cannot_be_loaded_is_not_activated(trained: Backend) -> None:
    """Reliability row 8: whoever activates it learns why, and what serves goes on serving."""
    weights = trained.services.registry.get("1", "v1").weights
    trained.engine.broken.add(weights)
    answer = send(trained, f"{VERSIONS}/v1/activate")
    assert answer.status_code == 409
    assert "Version v1 cannot serve" in answer.text and "lacks a layer" in answer.text
    assert serving(trained) == "v2"
    text = page(trained, VERSIONS)
    assert "lacks a layer" in text
    assert "Activate v1" not in text
    assert "was to serve, and cannot" not in text


def figures(text: str) -> list[tuple[str, ...]]:
    """Measure, first, second, change and whether that is better, of each row."""
    row = r'<th scope="row">([^<]+)</th>' + r'\s*<td class="number">([^<]+)</td>' * 2
    change = r'\s*<td class="number">(?:<span class="mark (?:good|bad)">)?([^<\s]+)\s*(?:<span class="hidden">(\w+))?'
    return re.findall(row + change, text)


def test_a_version_beside_the_one_that_served_before(trained: Backend) -> None:
    for route in ("v2", "compare?first=v1&second=v2", "compare?first=v2&second=v1"):
        text = page(trained, f"{VERSIONS}/{route}")
        assert "Version v2 beside v1" in text
        assert figures(text) == [
            ("IoU", "50.0 %", "75.0 %", "+25.0", "better"),
            ("Marked in normal images", "1.0 %", "2.0 %", "+1.0", "worse"),
        ]
        assert "v2 is better on 6 images." in text
        assert "Learned from 3 images to find dent, scratch; judged by 1 other image. 1 label" in text
        assert "Of dent there is one image." in text
        (picture, said) = re.findall(r'<img src="([^"]+)"\s+loading="lazy" alt="([^"]+)"', text)[0]
        assert said.startswith("Labelled dent, scratch:")
        answer = trained.client.get(picture, buffered=True)
        assert (answer.status_code, answer.content_type) == (200, "image/png")


def test_two_versions_that_never_met_are_measured_apart(trained: Backend, tmp_path: Path) -> None:
    folder = candidate(tmp_path / "v3", b"v3", metrics={"iou": 0.625, "pro": 0.5})
    trained.services.registry.publish("1", folder, "v3")
    text = page(trained, f"{VERSIONS}/compare?first=v2&second=v3")
    assert figures(text) == [
        ("IoU", "62.5 %", "62.5 %", "0.0", ""),
        ("PRO", "–", "50.0 %", "–", ""),
        ("Marked in normal images", "6.2 %", "–", "–", ""),
    ]
    assert "There are no pictures of these two" in text
    assert "small differences mean nothing" in text


def test_the_first_version_stands_alone(trained: Backend) -> None:
    text = page(trained, f"{VERSIONS}/v1")
    assert "<h1>Version v1</h1>" in text
    assert "50.0 %" in text
    assert "Where they differ" not in text


def test_only_the_pictures_of_a_version_can_be_read(trained: Backend) -> None:
    for route in ("v2/pictures/1.png", "v2/pictures/..%2F..%2Fweights.json", "v9/pictures/0.png"):
        assert trained.client.get(f"{VERSIONS}/{route}").status_code == 404
    for query in ("", "?first=v1", "?first=v1&second=..%2Fv2"):
        assert trained.client.get(f"{VERSIONS}/compare{query}").status_code == 404
