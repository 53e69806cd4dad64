"""The command line of the runtime, with a detector that finds what is dark."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from adclick_runtime import cli
from adclick_runtime.errors import BundleError
from tests.helpers.detections import DarkSpots, dark_spot
from tests.helpers.documents import ROOT
from tests.helpers.image_files.picture import saved


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What detectors were opened with."""
    calls: list[tuple[object, ...]] = []

    def opened(*arguments: object) -> DarkSpots:
        calls.append(arguments)
        return DarkSpots()

    monkeypatch.setattr(cli, "Detector", opened)
    for name in ("ADCLICK_MAX_MEGAPIXELS", "ADCLICK_MAX_IMAGE_MB", "ADCLICK_MODEL_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return calls


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder: one good image, one with a defect in a folder of its own, one damaged, and no image."""
    folder = tmp_path / "images"
    (folder / "second").mkdir(parents=True)
    (folder / "a.png").write_bytes(saved(np.full((40, 60, 3), 200, np.uint8), "PNG"))
    (folder / "second" / "B.JPG").write_bytes(saved(dark_spot(), "JPEG", quality=98))
    (folder / "notes.txt").write_text("no image")
    return folder


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_becomes_a_table(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detector", str(images)]) == 0
    first, second = rows(capsys.readouterr().out)
    assert first == {
        "image": str(images / "a.png"),
        "defect": "0",
        "type": "",
        "score": "0.02",
        "regions": "0",
        "unlike": "1.25",
        "milliseconds": "12.3",
        "note": "",
        "problem": "",
    }
    assert second["image"].endswith("B.JPG")
    assert (second["defect"], second["type"], second["regions"]) == ("1", "scratch", "1")


def test_json_has_the_masks(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detector", str(images), "--format", "json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["image"], first["regions"]) == (str(images / "a.png"), [])
    assert second["regions"][0]["rle"]["size"] == [40, 60] and second["regions"][0]["polygons"]


def test_a_damaged_image_is_a_row_and_stops_no_other(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.png").write_bytes(b"%PDF")
    missing = str(images / "missing.png")
    assert cli.main(["detector", missing, str(images), "--fail-on-defect"]) == 2
    printed = capsys.readouterr()
    problems = [(row["problem"], row["defect"]) for row in rows(printed.out)]
    assert problems[0] == ("No such file or directory.", "")
    assert "a PDF document" in problems[1][0]
    assert problems[2] == ("", "1")
    assert printed.err == "2 of 3 images could not be read.\n"
    assert cli.main(["detector", missing, "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out) == [
        {"image": missing, "problem": "No such file or directory."}
    ]


def test_a_defect_ends_it_with_one_if_asked(images: Path) -> None:
    assert cli.main(["detector", str(images), "--fail-on-defect"]) == 1
    assert cli.main(["detector", str(images / "a.png"), "--fail-on-defect"]) == 0
    assert cli.main(["detector", str(images)]) == 0


def test_a_folder_without_images_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detector", str(tmp_path), "--format", "json"]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"There is no image in {tmp_path}.\n" and json.loads(printed.out) == []


def test_what_was_found_is_drawn(images: Path, tmp_path: Path) -> None:
    (images / "third").mkdir()
    (images / "third" / "B.png").write_bytes(saved(dark_spot(), "PNG"))
    drawn = tmp_path / "drawn"
    assert cli.main(["detector", str(images), "--overlays", str(drawn)]) == 0
    assert sorted(file.name for file in drawn.iterdir()) == ["B-2.jpg", "B.jpg"]
    picture = cv2.imread(str(drawn / "B.jpg"))
    assert picture is not None and picture.shape == (40, 60, 3)
    red = picture[10:20, 30:45].astype(int)
    assert (red[..., 2] - red[..., 0]).max() > 60  # the outline


def test_a_file_is_there_when_it_is_whole(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "found.csv"
    assert cli.main(["detector", str(images), "--output", str(out)]) == 0
    before = out.read_bytes()
    assert [row["defect"] for row in rows(before.decode())] == ["0", "1"]

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", broken)
    assert cli.main(["detector", str(images), "--output", str(out), "--format", "json"]) == 2
    assert out.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_a_folder_that_is_not_there_is_a_sentence(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detector", str(images), "--output", str(images / "no" / "found.csv")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_a_bundle_that_cannot_be_used_is_a_sentence(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise BundleError("The bundle is of format 9.")

    monkeypatch.setattr(cli, "Detector", refused)
    assert cli.main(["detector", str(images)]) == 2
    assert capsys.readouterr().err == "The bundle is of format 9.\n"


def test_a_product_that_is_not_known_is_named(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detector", str(images), "--product", "screw"]) == 2
    assert "there is no product 'screw'" in capsys.readouterr().err


def test_limits_come_from_the_environment(
    images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "a.png").write_bytes(saved(np.zeros((1200, 1000, 3), np.uint8), "PNG"))
    monkeypatch.setenv("ADCLICK_MAX_MEGAPIXELS", "1")
    assert cli.main(["detector", str(images)]) == 2
    assert "the limit is 1 (ADCLICK_MAX_MEGAPIXELS)" in rows(capsys.readouterr().out)[0]["problem"]
    monkeypatch.setenv("ADCLICK_MAX_MEGAPIXELS", "many")
    assert cli.main(["detector", str(images)]) == 2
    assert "ADCLICK_MAX_MEGAPIXELS: must be a whole number" in capsys.readouterr().err


def test_engine_and_threads_reach_the_detector(images: Path, opened: list[tuple[object, ...]]) -> None:
    cli.main(["x.zip", str(images), "--engine", "openvino", "--threads", "3"])
    assert opened == [(Path("x.zip"), "openvino", 3)]


def test_a_bundle_is_checked_by_its_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "line/screws.zip"]) == 0
    assert capsys.readouterr().out == (
        "screws.zip, v2: 1 regions: masks agree to 1.000 IoU, scores to 0.000.\n"
    )


def test_a_server_is_started_asked_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process of its own, with the signal that a container is stopped with."""
    script = (
        "import sys; from adclick_runtime import cli; from tests.helpers.detections import DarkSpots\n"
        "cli.Detector = lambda *_: DarkSpots(); sys.exit(cli.main(['serve', 'detector', '--port', '0']))"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ADCLICK_HOST": "", "BASIC_AUTH_USER": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        greeting = process.stdout.readline() + process.stdout.readline() + process.stdout.readline()
        assert "Only this machine reaches it" in greeting
        (url,) = re.findall(r"http://localhost:\d+/detect", greeting)
        with urllib.request.urlopen(urllib.request.Request(url, saved(dark_spot(), "PNG"))) as answer:
            assert json.load(answer)["defect"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_port_that_is_taken_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["serve", "detector", "--host", "127.0.0.1", "--port", str(port)]) == 2
    assert f"Port {port} on 127.0.0.1 cannot be used" in capsys.readouterr().err
