"""Images are called what people know them by, not by their hash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adclick_backend.dashboard.image_names import image_names
from adclick_backend.images.addresses import image_name
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, png
from tests.helpers.labels import annotated, block, brush
from tests.helpers.versions import candidate


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/data/upload/1/0a1b2c3d-flange%201.png", "flange 1.png"),
        ("http://studio:8080/data/upload/1/0a1b2c3d-a.png?x=1", "a.png"),
        ("/data/upload/1/0a1b2c3d-", "0a1b2c3d-"),
        ("/data/local-files/?d=line%204/0a1b2c3d-a.png", "0a1b2c3d-a.png"),  # the person's own name
        ("s3://bucket/line/7.tif", "7.tif"),
    ],
)
def test_the_name_of_an_upload_is_the_one_of_the_file_that_was_uploaded(url: str, name: str) -> None:
    assert image_name(url) == name


def test_labelled_images_and_references_are_named_with_their_tasks(
    connected: Backend, tmp_path: Path
) -> None:
    store = connected.services.store
    data = {"id": 12, "data": {"image": "/data/upload/1/0a1b2c3d-flange.png"}}
    connected.webhook(
        "ANNOTATION_CREATED", annotation=annotated(12, [brush(block(8, 12, 16, 20))]), task=data
    )
    sha = "ab" * 32
    store.labels.fetched("1", 12, data["data"]["image"], sha=sha, file=f"{sha}.png")  # type: ignore[index]
    uploaded = connected.services.references.add("1", png(), source="upload", name="good.png")
    named = image_names(store, "1")
    assert named(sha).words == "flange.png, task 12"
    assert named(sha).url == "http://127.0.0.1:9/projects/1/data?task=12"
    assert (named(uploaded.sha).words, named(uploaded.sha).url) == ("good.png", "")
    assert named("cd" * 32).words == "an image that is no longer here"

    folder = candidate(tmp_path / "v1", b"v1", metrics={"iou": 0.5})
    (folder / "pictures").mkdir()
    (folder / "pictures/01.png").write_bytes(png())
    told = {"against": "before", "serving": {"iou": 0.4}, "images": [{"image": sha, "types": ["scratch"]}]}
    (folder / "comparison.json").write_text(json.dumps(told))
    connected.services.registry.publish("1", folder, "v1")
    text = page(connected, "/projects/1/versions/v1")
    assert '<a href="http://127.0.0.1:9/projects/1/data?task=12">flange.png, task 12</a>: scratch' in text
    assert sha[:12] not in text
