"""Reliability row 8: a manifest that lacks something, or says nonsense, is refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint.described import check_click, check_segmentation, read_sizes
from model.checkpoint.manifest import (
    FORMAT,
    PACKAGED,
    PACKAGED_SEG,
    PACKAGED_STATED,
    CheckpointError,
    manifest_path,
    read_manifest,
)
from model.interactive.base import BaseConfig
from model.interactive.lite import LiteConfig

CHECKS = {PACKAGED: check_click, PACKAGED_STATED: check_click, PACKAGED_SEG: check_segmentation}

CLICK = ("backbone", "long_side", "network")
SEGMENTATION = ("backbone", "types", "offsets", "network")


@pytest.mark.parametrize("weights", CHECKS)
def test_the_packaged_manifests_say_everything(weights: Path) -> None:
    manifest = read_manifest(weights)
    assert manifest["format"] == FORMAT
    CHECKS[weights](manifest, weights.name)


@pytest.mark.parametrize(
    ("weights", "name"),
    [*((PACKAGED, name) for name in CLICK), *((PACKAGED_SEG, name) for name in SEGMENTATION)],
)
def test_what_is_missing_is_named(weights: Path, name: str) -> None:
    manifest = {key: value for key, value in read_manifest(weights).items() if key != name}
    with pytest.raises(CheckpointError, match=f"The manifest of w lacks {name}: "):
        CHECKS[weights](manifest, "w")


@pytest.mark.parametrize("weights", CHECKS)
def test_before_there_were_formats_no_sizes_were_written(weights: Path) -> None:
    manifest = {
        key: value for key, value in read_manifest(weights).items() if key not in ("format", "network")
    }
    CHECKS[weights](manifest, weights.name)


@pytest.mark.parametrize(
    ("weights", "name", "values"),
    [
        (PACKAGED, "version", (None, 7, "")),
        (PACKAGED, "backbone", (None, 7, "")),
        (PACKAGED, "long_side", ("abc", "512", -512, 0, 63, 512.5, True, None, 10**9)),
        (PACKAGED, "temperature", ("warm", 0, -1, None, float("nan"))),
        (PACKAGED, "previous", ("yes", 1, None)),
        (PACKAGED, "network", ([], "large", None)),
        (PACKAGED_SEG, "types", ("defect", [], ["a", "a"], [""], [1], {}, None, [["a"]])),
        (
            PACKAGED_SEG,
            "offsets",
            ([0.0], 0.0, {"defect": "low"}, {"defect": float("inf")}, {"defect": True}, None),
        ),
        (PACKAGED_SEG, "created", ("yesterday", None)),
        (PACKAGED_SEG, "metrics", ([], {"iou": "good"}, None)),
        (PACKAGED_SEG, "data", ([], None)),
        (PACKAGED_SEG, "training", ([], None)),
    ],
)
def test_what_is_no_value_is_said_with_what_it_must_be(
    weights: Path, name: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(CheckpointError, match=rf"The manifest of w says {name} = .*; it must be .+\."):
            CHECKS[weights]({**read_manifest(weights), name: value}, "w")


def test_every_type_has_an_offset() -> None:
    manifest = {**read_manifest(PACKAGED_SEG), "types": ["defect", "dent"]}
    with pytest.raises(CheckpointError, match="no offset for the type 'dent'"):
        check_segmentation(manifest, "w")


def test_each_network_is_refused_in_the_place_of_the_other() -> None:
    with pytest.raises(CheckpointError, match="a click network is 'lite' or 'base'"):
        check_click(read_manifest(PACKAGED_SEG), "w")
    with pytest.raises(CheckpointError, match="masks before the first click need 'lite-seg'"):
        check_segmentation(read_manifest(PACKAGED), "w")


def manifest_of(folder: Path, **about: Any) -> Path:
    weights = folder / "w.safetensors"
    described = {"version": "x", "preset": "lite", "sha256": "0", **about}
    manifest_path(weights).write_text(json.dumps(described))
    return weights


def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    weights = manifest_of(tmp_path, format=FORMAT + 2)
    said = rf"written by a newer ADClick \(format {FORMAT + 2}, this one reads up to {FORMAT}\): update the backend"
    with pytest.raises(CheckpointError, match=rf"w\.safetensors was {said}"):
        read_manifest(weights)


@pytest.mark.parametrize("number", ["1", 1.0, -1, True, None, [1]])
def test_a_format_is_a_number(number: object, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no number of a format"):
        read_manifest(manifest_of(tmp_path, format=number))


def test_sizes_are_read_back_as_they_were_written() -> None:
    written = json.loads('{"previous": true, "widths": [8, 8, 12, 12, 16], "dropout": 1}')
    read = read_sizes(LiteConfig(), written, "w", "lite")
    assert read == LiteConfig(previous=True, widths=(8, 8, 12, 12, 16), dropout=1.0)
    assert type(read.dropout) is float


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"breadth": 3}, "'breadth' is unknown here"),
        ({"widths": [8, 8]}, "widths = "),
        ({"widths": 8}, "widths = 8"),
        ({"widths": [8, 8, 12, 12, "16"]}, "widths = '16'"),
        ({"inputs": -1}, "inputs = -1"),
        ({"inputs": 4097}, "inputs = 4097"),
        ({"inputs": True}, "inputs = True"),
        ({"previous": 1}, "previous = 1"),
        ({"dropout": "none"}, "dropout = 'none'"),
        ([], "are none"),
    ],
)
def test_sizes_of_another_kind_are_refused(sizes: Any, says: str) -> None:
    with pytest.raises(
        CheckpointError, match=rf"The manifest of w has sizes that are not of 'lite': .*{says}"
    ):
        read_sizes(LiteConfig(), sizes, "w", "lite")


def test_sizes_that_are_not_there_are_the_usual_ones() -> None:
    assert read_sizes(BaseConfig(), {}, "w", "base") == BaseConfig()


def test_a_manifest_is_checked_without_torch() -> None:
    code = "import sys, model.checkpoint.described; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
