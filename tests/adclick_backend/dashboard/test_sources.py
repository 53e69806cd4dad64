"""The sources of masks before the first click on the page Versions: a table, pictures, and a choice."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from adclick_backend.engine.shared_detector import SharedDetector
from model.checkpoint.manifest import CheckpointError
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, png, send
from tests.helpers.versions import candidate, detector_candidate, publish

VERSIONS = "/projects/1/versions"
ROWS = [
    {"name": "trained", "labelled": 0.5, "drawn": 0.25, "ap": 0.5, "false_area": 0.0, "milliseconds": 91.2},
    {
        "name": "invad-tiny",
        "labelled": 0.625,
        "drawn": 0.75,
        "ap": None,
        "false_area": 0.01,
        "milliseconds": 120.6,
    },
    {"name": "invad-tiny+residual", "labelled": 0.5, "drawn": 0.5, "ap": 0.5, "milliseconds": None},
]


@pytest.fixture
def tried(connected: Backend, tmp_path: Path) -> Backend:
    """Project 1 has a version whose masks come from InvAD."""
    data = {"images": [], "held_out": [], "references": {"": 8}, "tried_on": ["a", "b"]}
    folder = detector_candidate(candidate(tmp_path / "v1", source="invad-tiny", data=data))
    (folder / "pictures").mkdir()
    (folder / "pictures/source-01.png").write_bytes(png())
    sources = {
        "serves": "invad-tiny",
        "reason": "Of 3 sources InvAD did best.",
        "rows": ROWS,
        "notes": ["Sampled."],
    }
    (folder / "comparison.json").write_text(
        json.dumps({"against": "", "reason": "It serves.", "sources": sources})
    )
    registry = connected.services.registry
    registry.publish("1", folder, "v1")
    registry.activate("1", "v1")
    return connected


def options(text: str) -> dict[str, str]:
    """Name of each source that may be chosen -> its words."""
    (choice,) = re.findall(r'<select id="source".*?</select>', text, re.DOTALL)
    return dict(re.findall(r'<option value="([^"]*)"(?: selected)?>([^<]*)</option>', choice))


def test_the_sources_are_shown_in_one_table_with_the_best_marked(tried: Backend) -> None:
    for route in (VERSIONS, f"{VERSIONS}/v1"):
        text = page(tried, route)
        assert "Of 3 sources InvAD did best." in text and "Sampled." in text
        rows = re.findall(
            r'<tr><th scope="row">([^<]*?)\s*(<span class="mark good">automatic</span>)?</th>', text
        )
        assert [name for name, _ in rows] == ["the trained network", "InvAD", "InvAD and the residual"]
        assert [bool(best) for _, best in rows] == [False, True, False]
        cells = re.findall(r'<td class="number"[^>]*>([^<]*)</td>', text)
        assert cells[cells.index("62.5 %") :][:5] == ["62.5 %", "75.0 %", "–", "1.0 %", "121"]
        assert "the IoU of defects that were drawn on good images" in text
    assert "Masks before the first click come from InvAD, under the name" in " ".join(
        page(tried, VERSIONS).split()
    )


def test_a_version_that_learned_from_references_alone_says_so(tried: Backend) -> None:
    said = "Learned from 6 references, without a label; judged by 2 other ones and defects drawn on them."
    assert said in page(tried, f"{VERSIONS}/v1")


def test_what_each_source_sees_is_shown_in_pictures(tried: Backend) -> None:
    text = page(tried, f"{VERSIONS}/v1")
    assert f"{VERSIONS}/v1/pictures/source-01.png" in text
    with tried.client.get(f"{VERSIONS}/v1/pictures/source-01.png") as answer:
        assert answer.data == png()
    assert tried.client.get(f"{VERSIONS}/v1/pictures/source-02.png").status_code == 404


def test_a_source_is_chosen_and_left_to_what_was_measured_again(tried: Backend) -> None:
    registry = tried.services.registry
    found = options(page(tried, VERSIONS))
    assert found == {
        "": "automatic (InvAD)",
        "trained": "the trained network",
        "packaged": "the packaged network",
        "residual": "the residual",
        "invad-tiny": "InvAD",
        "invad-tiny+residual": "InvAD and the residual",
    }
    assert send(tried, f"{VERSIONS}/source", source="residual").location == VERSIONS
    text = page(tried, VERSIONS)
    assert "Masks before the first click come from the residual now." in text
    assert '<option value="residual" selected>' in text
    assert tried.setup().json["model_version"] == "fake-1+p1-v1-residual"
    assert registry.proposing("1").name == "residual"  # type: ignore[union-attr]
    send(tried, f"{VERSIONS}/source", source="")
    assert "come from what a training measures to be best now" in page(tried, VERSIONS)
    assert tried.setup().json["model_version"] == "fake-1+p1-v1"


@pytest.mark.parametrize("source", ["onenip-tiny", "../../x", "<script>", "x" * 5000])
def test_a_source_that_there_is_not_is_refused_in_words(tried: Backend, source: str) -> None:
    answer = send(tried, f"{VERSIONS}/source", source=source)
    assert answer.status_code == 409
    assert "version v1 of project 1 cannot make them" in answer.text
    assert "<script>" not in answer.text
    assert tried.services.registry.choice("1") == ""
    assert tried.client.post(f"{VERSIONS}/source", data={"source": "residual"}).status_code == 403


def test_before_any_training_the_packaged_sources_may_be_chosen(connected: Backend) -> None:
    found = options(page(connected, VERSIONS))
    assert list(found) == ["", "packaged", "residual"]
    send(connected, f"{VERSIONS}/source", source="residual")
    assert connected.setup().json["model_version"] == "fake-1-residual"


def test_a_version_of_before_has_no_table(connected: Backend, tmp_path: Path) -> None:
    publish(connected.services.registry, tmp_path, "1")
    text = " ".join(page(connected, VERSIONS).split())
    assert "come from the trained network, under the name" in text
    assert "A training tries every source of masks on images that it was not shown" in text
    assert "The sources side by side" not in page(connected, f"{VERSIONS}/v1")


def test_damaged_detectors_are_told(tried: Backend) -> None:
    """Reliability row 8."""
    version = tried.services.registry.get("1", "v1")
    assert version.detector is not None
    tried.engine.broken.add(version.detector)
    tried.services.registry.activate("1", "v1")
    answer = send(tried, f"{VERSIONS}/v1/activate")
    assert answer.status_code == 409 and "lacks a layer" in answer.text


def test_why_the_detectors_of_the_server_are_not_used_stands_on_every_page_and_in_setup(
    connected: Backend,
) -> None:
    refused = SharedDetector.refused(CheckpointError("invad.safetensors is damaged."))
    connected.engine.shared_detector = refused
    for route in ("/projects/1", VERSIONS, "/projects/1/training"):
        assert "The detectors of the server are not used" in page(connected, route)
        assert "invad.safetensors is damaged." in page(connected, route)
    assert refused.problem in connected.setup().json["message"]
