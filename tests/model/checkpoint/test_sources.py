"""What the code makes is known by the code that made it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.checkpoint.sources import PREPARING, ROOT, SAMPLING, fingerprint

BESIDE = {"checkpoint", "clicks", "language", "metrics"}
"""What preparing imports and is not made by: files, clicks, how good a mask is, and words that none reads here."""


@pytest.mark.parametrize("rooms", [PREPARING, SAMPLING])
def test_every_changed_line_of_a_room_changes_the_fingerprint(rooms: tuple[str, ...], tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    before = fingerprint(rooms, copy)
    assert before == fingerprint(rooms) == fingerprint(rooms[::-1])
    for path in (copy / "evidence/prepared.py", copy / "features/encoding.py", copy / "matching/nearest.py"):
        code = path.read_text()
        path.write_text(code.replace("0.5", "0.6").replace("1e-4", "1e-5") + "\nLAYOUT_TOO = 1\n")
        assert fingerprint(rooms, copy) != before
        path.write_text(code)
    assert fingerprint(rooms, copy) == before
    (copy / "evidence/prepared.py").rename(copy / "evidence/ready.py")
    assert fingerprint(rooms, copy) != before


def test_code_of_other_rooms_does_not_matter(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    (copy / "metrics/masks.py").write_text("")
    (copy / "new.py").write_text("")
    assert (fingerprint(PREPARING, copy), fingerprint(SAMPLING, copy)) == (
        fingerprint(PREPARING),
        fingerprint(SAMPLING),
    )


def test_no_room_that_prepares_images_is_forgotten() -> None:
    """A room that these come to import has to be listed, or named here with the reason."""
    code = (
        "import sys, model.interactive.predictor\n"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('model.')})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) - BESIDE == set(PREPARING)
