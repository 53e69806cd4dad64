"""``adclick predict`` on drawn images, with a folder of references and with a project."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adclick_backend.cli import main
from adclick_backend.cluster.connection import ClusterError
from adclick_backend.commands import image_judge
from adclick_backend.engine.sources import FEWEST_REFERENCES
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.settings import Settings
from tests.helpers.backend import Backend
from tests.helpers.references import png


def draw(path: Path, seed: int, spot: bool = False) -> None:
    """A grey plate with a bolt and noise, and maybe a dark spot of radius 9 at (60, 110)."""
    rng = np.random.default_rng(seed)
    image = np.full((160, 240, 3), 140, np.uint8)
    cv2.circle(image, (120, 80), 40, (190, 185, 180), -1)
    if spot:
        cv2.circle(image, (60, 110), 9, (60, 40, 30), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    noisy = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), noisy)


@contextmanager
def noted_whites() -> Iterator[list[int]]:
    """The white points that images are read with."""
    whites: list[int] = []
    read = LoadedImage.read

    def noted(image: LoadedImage, white: int) -> Any:
        whites.append(white)
        return read(image, white)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoadedImage, "read", noted)
        yield whites


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADCLICK_DATA_DIR", str(tmp_path / "data"))


def test_a_folder_of_references_judges_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(4):
        draw(tmp_path / f"good/{seed}.png", seed)
    draw(tmp_path / "new/spot.png", 63, spot=True)
    (tmp_path / "new/broken.png").write_bytes(b"no image")
    out = tmp_path / "masks"
    words = [str(tmp_path / "new"), "--references", str(tmp_path / "good"), "--out", str(out)]
    assert main(["predict", *words]) == 1
    printed = capsys.readouterr()
    assert "spot.png: defect, certainty" in printed.out
    assert "(packaged network" in printed.out
    assert "broken.png: " in printed.err
    (file,) = out.glob("*.png")
    assert file.name == "spot.defect.png"
    mask = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    assert (mask.shape, set(np.unique(mask))) == ((160, 240), {0, 255})
    assert mask[110, 60] == 255
    assert (mask > 0).mean() < 0.05
    assert not (tmp_path / "data").exists()


def test_a_reference_with_too_few_others_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(FEWEST_REFERENCES):
        draw(tmp_path / f"good/{seed}.png", seed)
    words = [str(tmp_path / "good"), "--references", str(tmp_path / "good"), "--out", str(tmp_path / "out")]
    assert main(["predict", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == FEWEST_REFERENCES
    assert all("not judged: it is a reference itself, and fewer than 3 others" in line for line in said)


def test_16_bit_images_are_judged_as_dark_or_light_as_the_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 14-bit camera: the image is darker than 4096, and so is its defect."""
    for number, name in enumerate(("good/0.png", "good/1.png", "good/2.png", "good/3.png", "new/spot.png")):
        draw(tmp_path / name, number, spot=name.startswith("new"))
        shown = cv2.imread(str(tmp_path / name), cv2.IMREAD_GRAYSCALE)
        assert shown is not None
        cv2.imwrite(str(tmp_path / name), shown.astype(np.uint16) * 21)  # 140 becomes 2940, 190 becomes 3990
    bright = cv2.imread(str(tmp_path / "good/0.png"), cv2.IMREAD_UNCHANGED)
    assert bright is not None
    cv2.imwrite(str(tmp_path / "good/0.png"), bright * 2)
    (tmp_path / "new/a.gif").write_bytes(b"GIF89a")
    out = tmp_path / "masks"
    words = [str(tmp_path / "new"), "--references", str(tmp_path / "good"), "--out", str(out)]
    with noted_whites() as whites:
        assert main(["predict", *words]) == 0
    assert whites == [8191] * 5
    assert "a.gif was passed over" in capsys.readouterr().err


def test_a_project_judges_by_its_references_and_its_version(
    make_backend: Callable[..., Backend],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = make_backend()
    monkeypatch.setattr(image_judge, "Engine", lambda _: backend.engine)
    backend.draw("a.png", [(20, 20, 200), (44, 30, 250)])
    words = ["predict", str(backend.images), "--project", "1", "--out", str(tmp_path / "masks")]
    assert main(words) == 1
    assert "There are 0 references and no trained version" in capsys.readouterr().err
    for number in range(3):
        backend.services.references.add("1", png(80 + number), source="upload")
    backend.work()
    backend.serve_version()
    assert main(words) == 0
    masks = tmp_path / "masks"
    assert {path.name for path in masks.glob("*.png")} == {"a.scratch.png", "a.dent.png"}
    assert "scratch, score 0.70" in capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out == (
        f"1 images were judged by the same before, and passed over; their masks are in {masks}.\n"
    )
    version = backend.services.registry.current("1")
    assert version is not None
    backend.engine.broken.add(version.weights)
    assert main(words) == 0
    assert "defect, score 0.70" in capsys.readouterr().out, "the references alone judge, for nothing else can"
    assert {path.name for path in masks.glob("*.png")} == {"a.defect.png"}, "none is left of before"
    assert backend.services.registry.current("1") is None


def test_a_worker_judges_as_the_command_does_and_keeps_what_it_needs(tmp_path: Path) -> None:
    for seed in range(3):
        draw(tmp_path / f"good/{seed}.png", seed)
    draw(tmp_path / "spot.png", 63, spot=True)
    settings, by = (
        Settings(backbone="lite", model_threads=1),
        image_judge.By("", references=tmp_path / "good"),
    )
    with image_judge.judge_of(settings, by) as judge:
        expected, name = judge([str(tmp_path / "spot.png")]), judge.name
    there = image_judge.judge_there(settings.on_node().model_dump_json(), by, name)
    gc.collect()
    assert there([str(tmp_path / "spot.png")]) == expected
    assert expected[0].parts
    with pytest.raises(ClusterError, match="run it again"):
        image_judge.judge_there(settings.model_dump_json(), by, "another")


def test_wrong_words_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.png", "--project", "../x"]) == 2
    assert "project id is a number" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["predict", "a.png"])


def test_a_command_that_was_stopped_goes_on_where_it_was(
    make_backend: Callable[..., Backend],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = make_backend()
    monkeypatch.setattr(image_judge, "Engine", lambda _: backend.engine)
    backend.serve_version()
    for number in range(5):
        backend.draw(f"{number}.png", [(20, 20, 200)])
    propose, looked = backend.engine.propose, 0

    def stops(*args: Any) -> Any:
        nonlocal looked
        looked += 1
        if looked == 3:
            raise KeyboardInterrupt
        return propose(*args)

    monkeypatch.setattr(backend.engine, "propose", stops)
    words = ["predict", str(backend.images), "--project", "1", "--out", str(tmp_path / "masks")]
    assert main(words) == 130
    assert len(list((tmp_path / "masks").glob("*.png"))) == 2
    assert main(words) == 0
    assert looked == 3 + 3
    assert len(list((tmp_path / "masks").glob("*.png"))) == 5
    assert "2 images were judged by the same before" in capsys.readouterr().out
