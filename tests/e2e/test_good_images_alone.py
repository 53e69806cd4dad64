"""Start Training with eight good images and no label: the real server, the real trainings, and a browser for the page.

No Label Studio takes part: tasks carry their images with them, and what Label Studio would send is sent by the test.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from adclick_backend.brush.rle import decode_rle
from adclick_backend.config.labeling_config import recommended_config
from tests.e2e import servers
from tests.e2e.simulated_person import overlap, wait_for_references

if TYPE_CHECKING:
    from draw_samples import Sample
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e

PRODUCT, DEFECTS, SIZE = "flange", ("stain", "contamination"), 384
GOOD, DEFECTIVE = 8, 6
PATIENCE_S = 40 * 60  # for a training on a busy machine
CONFIG = recommended_config(list(DEFECTS))
TASK = {
    "project": "1.1",
    "label_config": CONFIG,
    "params": {"login": None, "password": None, "context": None},
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A backend without a Label Studio."""
    with servers.backend(tmp_path / "data", label_studio_url="", api_key="") as url:
        yield url


def test_good_images_alone_bring_masks_and_a_table_of_where_they_may_come_from(
    server: str, page: Page, screenshot: Callable[[str], None]
) -> None:
    from draw_samples import draw

    good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(GOOD)]
    samples = [
        draw(PRODUCT, DEFECTS[seed % len(DEFECTS)], seed=100 + seed, size=SIZE) for seed in range(DEFECTIVE)
    ]
    setup = {"project": "1.1", "schema": CONFIG, "hostname": "http://127.0.0.1:9", "access_token": ""}
    untrained = requests.post(f"{server}/setup", json=setup, timeout=60).json()["model_version"]
    upload(server, good)
    wait_for_references(server, 1, ready=GOOD)
    before = fits(server, samples, untrained)

    began = time.monotonic()
    said = train(server)
    print(f"trained in {time.monotonic() - began:.0f} s: {said}")
    assert "Version v1 was trained. It serves" in said
    assert "sources of masks before the first click" in said
    trained = requests.post(f"{server}/setup", json=setup, timeout=60).json()["model_version"]
    assert trained == f"{untrained}+p1-v1"
    after = fits(server, samples, trained)
    show("before the training", before)
    show("after it", after)
    assert np.mean(after) >= np.mean(before) - 0.02

    page.goto(f"{server}/projects/1/versions")
    table = page.locator("section[aria-labelledby=sources-title] table")
    rows = [row.split("\t") for row in table.inner_text().split("\n")[1:]]
    print(table.inner_text())
    names = [re.sub(r"\s*automatic$", "", row[0].strip()) for row in rows]
    assert {"the trained network", "the packaged network", "the residual", "InvAD", "OneNIP"} <= set(names)
    screenshot("sources_on_the_versions_page")
    for name in page.locator("#source option").evaluate_all("all => all.map(one => one.value)")[1:]:
        choose(page, name)
        asked = requests.post(f"{server}/setup", json=setup, timeout=60).json()["model_version"]
        assert asked in (trained, f"{trained}-{name.replace('+', '-')}")
        show(f"with {name} chosen", fits(server, samples, asked))
    page.get_by_role("link", name="v1", exact=True).click()
    page.get_by_role("heading", name="The sources side by side").wait_for()
    screenshot("sources_side_by_side")


def choose(page: Page, source: str) -> None:
    """Choose a source of masks on the page Versions."""
    page.get_by_label("Masks come from").select_option(source)
    with page.expect_navigation():
        page.get_by_role("button", name="Choose").click()
    assert "Masks before the first click come from" in page.get_by_role("status").inner_text()
    assert page.locator("#source").input_value() == source


def show(name: str, found: list[float]) -> None:
    print(f"IoU {name}:", " ".join(f"{fit:.2f}" for fit in found), f"mean {np.mean(found):.2f}")


def upload(server: str, images: list[NDArray[np.uint8]]) -> None:
    """Give good images to project 1, as the form on the page References does."""
    files = [("images", (f"{number}.png", png(image))) for number, image in enumerate(images)]
    answer = requests.post(
        f"{server}/projects/1/references", data={"form_token": token(server)}, files=files, timeout=120
    )
    answer.raise_for_status()


def train(server: str) -> str:
    """Press *Start Training*, wait, and answer what the page says of it."""
    requests.post(
        f"{server}/projects/1/training", data={"form_token": token(server)}, timeout=60
    ).raise_for_status()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        text = requests.get(f"{server}/projects/1/training", timeout=60).text
        if "data-live" not in text:
            return " ".join(re.sub(r"<[^>]+>", " ", text).split())
        time.sleep(2)
    pytest.fail(f"The training is not over after {PATIENCE_S} s: {text}")


def fits(server: str, samples: list[Sample], version: str) -> list[float]:
    """The IoU of what is proposed for each of some samples."""
    return [overlap(proposed(server, i, sample, version), sample.mask) for i, sample in enumerate(samples)]


def proposed(server: str, number: int, sample: Sample, version: str) -> NDArray[np.bool_]:
    """What is proposed when Label Studio opens a task: all masks in one, (H, W) bool."""
    image = "data:image/png;base64," + base64.b64encode(png(sample.image)).decode()
    asked: dict[str, Any] = {**TASK, "tasks": [{"id": 100 + number, "data": {"image": image}}]}
    mask = np.zeros(sample.mask.shape, bool)
    (found,) = requests.post(f"{server}/predict", json=asked, timeout=120).json()["results"]
    if not found:  # nothing is proposed
        return mask
    assert found["model_version"] == version
    for region in found["result"]:
        if region["type"] == "brushlabels":
            mask |= decode_rle(region["value"]["rle"], region["original_width"], region["original_height"])
    return mask


def png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def token(server: str) -> str:
    """The token that every form of the dashboard carries."""
    found = re.search(
        r'name="form_token" value="([^"]+)"', requests.get(f"{server}/projects/1/training", timeout=60).text
    )
    assert found is not None
    return found[1]
