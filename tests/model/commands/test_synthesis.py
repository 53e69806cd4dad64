from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from adclick_backend.cli import main
from model.commands.synthesis import TILE
from model.generation.synthesis import KINDS


def test_the_sheet_has_a_row_for_each_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "sheet.png"
    assert main(["synthesis", "--columns", "1", "--out", str(out)]) == 0
    assert cv2.imread(str(out)).shape == (len(KINDS) * TILE, TILE, 3)
    assert f"{len(KINDS)} kinds" in capsys.readouterr().out


def test_a_name_that_no_picture_can_have_is_said_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesis", "--columns", "1", "--out", str(tmp_path / "sheet.doc")]) == 2
    assert "use one that ends in .png" in capsys.readouterr().out
