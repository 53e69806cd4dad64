"""A project's detector as a bundle, by the command and by the button on Versions; read by the runtime."""

from __future__ import annotations

import errno
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from adclick_backend.cli import main
from adclick_backend.engine.bank import EngineError
from adclick_backend.engine.engine import Engine
from adclick_backend.exports import detector as exporting
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from adclick_runtime.detector import Detector
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page
from tests.helpers.plates import plate, stained


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a project with three references."""
    folder = tmp_path_factory.mktemp("data")
    services = Services(Settings(data_dir=folder, backbone="lite"))
    for number in range(3):
        png = cv2.imencode(".png", plate(number))[1].tobytes()
        services.references.add("1", png, source="folder")
    while services.keeper.step():
        pass
    services.stop()
    return folder


def test_the_bundle_of_a_project_that_nothing_was_trained_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", "lite")
    out = tmp_path / "detector.zip"
    command = ["export", "detector", str(out), "--project", "1", "--data-dir", str(data)]
    assert main(command) == 0, capsys.readouterr().err
    assert "a detector for adclick-runtime" in capsys.readouterr().out
    detector = Detector(out, threads=1)
    assert "masks agree to" in detector.check()
    said = detector.manifest
    assert (said["trained"], said["products"][""]["source"]) == ("", "packaged")
    assert len(said["products"][""]["references"]) == 3
    assert "backbone contains EfficientNet-Lite0 (Apache-2.0)" in said["licences"][0]
    services = Services(Settings(data_dir=data, backbone="lite"))
    try:
        bank = services.references.bank("1")
        product = services.engine.take_along(bank)
        assert said["products"][""]["peaks"] == list(product.peaks)
        assert product.usual > 0
    finally:
        services.stop()
    rounded = tmp_path / "int8"
    assert main([*command[:2], str(rounded), *command[3:], "--int8"]) == 0
    eight = Detector(rounded, threads=1)
    assert eight.manifest["numbers"] == "int8" and "masks agree to" in eight.check()
    image = stained(4)[0]
    assert detector.detect(image).score > detector.detect(plate(9)).score
    assert main(command) == 1
    assert "is there already" in capsys.readouterr().err
    assert list(data.glob("adclick-export-*")) == []


def test_what_cannot_be_exported_is_said_and_nothing_is_left(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", "lite")
    out = tmp_path / "bundle"

    def run(project: str, *more: str) -> str:
        status = main(["export", "detector", str(out), "--project", project, "--data-dir", str(data), *more])
        assert status in (1, 2)
        assert list(tmp_path.iterdir()) == [] and list(data.glob("adclick-export-*")) == []
        return capsys.readouterr().err

    assert "Project 1 has no version 'v7'; it has: none." in run("1", "--version", "v7")
    assert "There are 0 references and no trained version: 3 references are needed" in run("2")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "_write_check", full)
    assert "its disk is full: make room there" in run("1")


def test_the_button_on_versions_sends_a_zip_file(
    connected: Backend, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Take the detector along" in page(connected, "/projects/1/versions")
    real = Services(Settings(data_dir=data, backbone="lite"))
    try:
        monkeypatch.setattr(connected.services, "engine", real.engine)
        monkeypatch.setattr(connected.services, "references", real.references)
        monkeypatch.setattr(
            connected.services.store.references, "banks", real.store.references.banks, raising=True
        )
        answer = connected.client.get("/projects/1/versions/detector.zip?version=")
        assert answer.status_code == 200
        with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            assert manifest["files"].keys() == {*archive.namelist()} - {"manifest.json"}
        assert answer.headers["Content-Disposition"] == "attachment; filename=project-1-detector.zip"
    finally:
        real.stop()
    folder = connected.services.settings.data_dir
    assert list(folder.glob("adclick-export-*")) == []


def test_the_button_says_why_there_is_nothing(connected: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = connected.client.get("/projects/1/versions/detector.zip?version=v9")
    assert answer.status_code == 400
    assert "Project 1 has no version &#39;v9&#39;" in answer.text or "has no version" in answer.text

    def nothing(*_: object) -> None:
        raise EngineError("There are 0 references.")

    monkeypatch.setattr(connected.engine, "take_along", nothing, raising=False)
    answer = connected.client.get("/projects/1/versions/detector.zip")
    assert answer.status_code == 400 and "There are 0 references." in answer.text


def test_a_spot_is_drawn_on_light_and_on_dark_images() -> None:
    for grey in (30, 220):
        image = np.full((90, 120, 3), grey, np.uint8)
        drawn = exporting.spotted(image)
        changed = (drawn != image).any(2)
        assert drawn.shape == image.shape and 0.001 < changed.mean() < 0.05
        assert np.abs(drawn.astype(int) - grey)[changed].min() > 100


def test_nothing_to_propose_from_is_no_detector(data: Path) -> None:
    engine = Engine(Settings(data_dir=data, backbone="lite"))
    services = Services(Settings(data_dir=data, backbone="lite"), engine)
    try:
        with pytest.raises(EngineError, match="3 references are needed"):
            engine.take_along(services.references.bank("1", "another"))
    finally:
        services.stop()
