from __future__ import annotations

import errno
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from adclick_backend.cli import main
from model.commands import generate
from model.datasets.mvtec import find_categories, read_mask, read_rgb
from model.generation.anogen import small
from model.generation.anogen.files import read_learned, read_origin
from model.generation.anogen.generator import GeneratorError
from model.generation.anogen.window import Box
from tests.helpers.spotted_nuts import write_nuts
from tests.helpers.tiny_painter import tiny_generator


@pytest.fixture(autouse=True)
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.getbasetemp()
    monkeypatch.setattr(small, "STEPS", 1)
    monkeypatch.setattr(generate, "load_generator", lambda name, device: tiny_generator(folder))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_nuts(tmp_path / "set" / "nut")
    return tmp_path / "set"


def run(data: Path, out: Path, *more: str) -> int:
    return main(["generate", str(data), "--out", str(out), *more])


def pictures(out: Path) -> list[Path]:
    return sorted(out.rglob("test/*/generated-*.png"))


def test_what_is_written_is_a_product_in_mvtec_layout(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(data, out, "--count", "3") == 0
    (product,) = find_categories([out])
    assert product.root == out / "nut" and len(product.defects()) == 3
    for image, mask in product.defects():
        origin = read_origin(image)
        assert origin is not None and origin.type == "spot" and origin == read_origin(mask)
        pixels, host = read_rgb(image), read_rgb(data / "nut/train/good" / origin.host)
        inside = Box(*origin.box).mask((120, 160))
        assert np.array_equal(pixels[~inside], host[~inside])
        assert np.array_equal(read_mask(out / "nut/boxes/spot" / mask.name), inside)
        assert read_mask(mask).any() and not (read_mask(mask) & ~inside).any()
    assert cv2.imread(str(out / "nut/sheets/spot.png")).shape[0] > 4 * 192
    said = capsys.readouterr().out
    assert "nut/spot: learned from 3 images in" in said and "painted 3 images" in said


def test_an_interrupted_command_goes_on_to_the_same_pictures(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "whole", "--count", "3") == 0
    assert run(data, tmp_path / "parts", "--count", "1") == 0
    (first,) = pictures(tmp_path / "parts")
    written = first.stat().st_mtime_ns
    assert run(data, tmp_path / "parts", "--count", "3") == 0
    assert first.stat().st_mtime_ns == written, "what is there is not painted again"
    whole, parts = pictures(tmp_path / "whole"), pictures(tmp_path / "parts")
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in parts] and len(whole) == 3


def test_what_was_learned_is_not_learned_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run(data, out, "--count", "1") == 0
    found = read_learned(out / "nut/learned/spot.json")
    assert found is not None and found[1]["labelled"] == ["000.png", "001.png", "002.png"]
    monkeypatch.setattr(small.SmallGenerator, "learn", lambda *given, **how: pytest.fail("learned again"))
    assert run(data, out, "--count", "2") == 0 and len(pictures(out)) == 2


def test_pictures_of_other_settings_are_not_mixed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(data, out, "--count", "1") == 0
    assert run(data, out, "--count", "2", "--seed", "1", "--support", "2") == 1
    assert "images that were generated otherwise (labelled, seed)" in capsys.readouterr().out
    assert len(pictures(out)) == 1
    shutil.rmtree(out / "nut/test")
    assert run(data, out, "--count", "2", "--seed", "1", "--support", "2") == 0, "nothing is mixed then"


def test_types_are_asked_for_by_name(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nuts(data / "nut", kind="hole")
    assert run(data, tmp_path / "out", "--count", "1", "--type", "hole") == 0
    assert [path.parent.name for path in pictures(tmp_path / "out")] == ["hole"]
    assert run(data, tmp_path / "out", "--type", "hole", "dent") == 2
    assert "No product has labelled images of dent; there are: hole, spot." in capsys.readouterr().out


def test_a_sheet_of_all_types_is_written_where_it_is_asked_for(data: Path, tmp_path: Path) -> None:
    write_nuts(data / "nut", kind="hole")
    assert run(data, tmp_path / "out", "--count", "1", "--sheet", str(tmp_path / "new" / "sheet.jpg")) == 0
    one = cv2.imread(str(tmp_path / "out/nut/sheets/hole.png"))
    both = cv2.imread(str(tmp_path / "new" / "sheet.jpg"))
    assert both.shape == (2 * one.shape[0], *one.shape[1:])
    assert run(data, tmp_path / "out", "--sheet", str(tmp_path / "sheet.doc")) == 2


def test_products_of_one_name_lie_in_the_folders_of_their_sets(data: Path, tmp_path: Path) -> None:
    write_nuts(tmp_path / "other" / "nut")
    words = ["generate", str(data), str(tmp_path / "other"), "--out", str(tmp_path / "out"), "--count", "1"]
    assert main(words) == 0
    assert {path.relative_to(tmp_path / "out").parts[:2] for path in pictures(tmp_path / "out")} == {
        ("set", "nut"),
        ("other", "nut"),
    }


def test_a_single_labelled_image_works_and_three_are_said_to_be_better(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, tmp_path / "out", "--count", "1", "--support", "1") == 0
    assert "nut/spot is learned from one labelled image; three are better." in capsys.readouterr().out


def test_generated_images_are_not_written_among_real_ones(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, data / "out") == 2
    assert (
        "what is generated would be taken for real" in capsys.readouterr().out and not (data / "out").exists()
    )


def test_one_bad_type_does_not_keep_the_others_from_being_painted(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nuts(data / "nut", kind="whole")
    for path in (data / "nut/ground_truth/whole").iterdir():
        cv2.imwrite(str(path), np.full((120, 160), 255, np.uint8))
    assert run(data, tmp_path / "out", "--count", "1") == 1
    assert "nut/whole: No label of this type shows where the defect ends" in capsys.readouterr().out
    assert [path.parent.name for path in pictures(tmp_path / "out")] == ["spot"]


def test_an_image_that_cannot_be_read_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "nut/test/spot/001.png").write_bytes(b"no image")
    assert run(data, tmp_path / "out", "--count", "1") == 1
    assert "001.png cannot be read as an image." in capsys.readouterr().out


def test_a_product_without_good_images_is_left_out_in_words(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(data / "nut/train")
    assert run(data, tmp_path / "out") == 2
    assert "set/nut is left out: it has no good image to paint on" in capsys.readouterr().out
    write_nuts(data / "bolt", good=1)
    assert run(data, tmp_path / "out", "--count", "1") == 0


def test_a_product_without_labels_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(data / "nut/ground_truth")
    assert run(data, tmp_path / "out") == 2
    assert (
        "No product has labelled images, in test/<type> and ground_truth/<type>." in capsys.readouterr().out
    )


def test_a_full_disk_is_said_and_what_is_there_stays(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19."""
    out = tmp_path / "out"
    assert run(data, out, "--count", "1") == 0

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert run(data, out, "--count", "2") == 1
    assert "cannot be written: No space left on device. What is there stays." in capsys.readouterr().out
    assert len(pictures(out)) == 1
    assert run(data, out, "--count", "2") == 0 and len(pictures(out)) == 2


def test_a_generator_that_cannot_be_had_is_said_in_its_words(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(name: str, device: str) -> None:
        raise GeneratorError(f"There is no generator {name!r}.")

    monkeypatch.setattr(generate, "load_generator", away)
    assert run(data, tmp_path / "out", "--preset", "some/model") == 1
    assert capsys.readouterr().out == "There is no generator 'some/model'.\n"
