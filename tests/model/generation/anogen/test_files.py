from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from model.datasets.mvtec import read_mask, read_rgb
from model.generation.anogen.files import (
    Origin,
    file_name,
    read_learned,
    read_origin,
    write_learned,
    write_picture,
)
from model.generation.anogen.generator import Learned
from model.generation.anogen.stamp import SAYS
from tests.helpers.tiny_painter import nut, spot_on

ORIGIN = Origin("Kratzer äußerst, 傷", 7, 2**31 - 1, (3, 4, 50, 60), "good 1.png", "adclick-anogen-1-0123")


def test_a_picture_is_read_as_it_was_written_and_says_that_it_is_generated(tmp_path: Path) -> None:
    path = tmp_path / "new" / file_name(7)
    write_picture(path, nut(0), ORIGIN)
    assert path.name == "generated-007.png"
    assert np.array_equal(read_rgb(path), nut(0)) and read_origin(path) == ORIGIN
    with Pillow.open(path) as picture:
        assert picture.info["Description"] == SAYS and '"generated": true' in picture.info["adclick"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_mask_says_it_too(tmp_path: Path) -> None:
    write_picture(tmp_path / "mask.png", spot_on(0).mask, ORIGIN)
    assert np.array_equal(read_mask(tmp_path / "mask.png"), spot_on(0).mask)
    assert read_origin(tmp_path / "mask.png") == ORIGIN


def test_a_picture_that_does_not_say_it_is_not_taken_for_one(tmp_path: Path) -> None:
    Pillow.fromarray(nut(0)).save(tmp_path / "real.png")
    write_picture(tmp_path / "half.png", nut(0), ORIGIN)
    whole = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("real.png", "half.png", "empty.png", "missing.png"):
        assert read_origin(tmp_path / name) is None, name


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 19."""
    path = tmp_path / "generated-000.png"
    write_picture(path, nut(0), ORIGIN)

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_picture(path, nut(1), ORIGIN)
    assert np.array_equal(read_rgb(path), nut(0)) and list(tmp_path.iterdir()) == [path]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
def test_what_was_learned_is_kept_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float]
) -> None:
    path = tmp_path_factory.mktemp("learned") / "spot.json"
    learned = Learned(np.array(numbers, np.float32), "adclick-anogen-1-0123", 0.123, 160, 45.6, 3)
    write_learned(path, learned, {"seed": 4, "labelled": ["a.png"]})
    found = read_learned(path)
    assert found is not None and found[1] == {"seed": 4, "labelled": ["a.png"]}
    assert np.array_equal(found[0].vector, learned.vector) and found[0].vector.dtype == np.float32
    assert (found[0].generator, found[0].loss, found[0].steps, found[0].seconds, found[0].examples) == (
        "adclick-anogen-1-0123",
        0.123,
        160,
        45.6,
        3,
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": {}, "vector": [1], "other": 2}'])
def test_what_was_learned_and_is_damaged_is_learned_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "spot.json").write_text(text)
    assert read_learned(tmp_path / "spot.json") is None
    assert read_learned(tmp_path / "missing.json") is None
