"""The floor plan in ``setup.cfg``: imports only run down, and one that does not is named with both files."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("adclick_backend", "adclick_runtime", "model")


def contracts(root: Path) -> subprocess.CompletedProcess[str]:
    """The check, as ``make check`` runs it."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The code and the contracts, to be spoilt."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("weights", "__pycache__")
        )
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


def test_all_contracts_are_kept() -> None:
    done = contracts(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "wrong", "named"),
    [
        (
            "model/matching/nearest.py",
            "import model.interactive.mask",
            "model.matching.nearest -> model.interactive.mask",
        ),
        (
            "model/clicks.py",
            "from adclick_backend.settings import Settings",
            "model.clicks -> adclick_backend.settings",
        ),
        ("adclick_runtime/regions.py", "import torch", "adclick_runtime.regions -> torch"),
        (
            "adclick_backend/labels/mirror.py",
            "from adclick_backend.web.app import create_app",
            "adclick_backend.labels.mirror -> adclick_backend.web.app",
        ),
        (
            "model/training/losses.py",
            "from model.training.segmentation import losses",
            "model.training.losses -> model.training.segmentation.losses",
        ),
    ],
)
def test_an_import_that_runs_up_is_named_with_both_files(
    copy: Path, file: str, wrong: str, named: str
) -> None:
    (copy / file).write_text((copy / file).read_text() + f"\n{wrong}\n")
    done = contracts(copy)
    assert done.returncode == 1
    assert named in done.stdout
    assert "Move what is shared into a room below" in done.stdout  # what to do


def test_a_circle_of_files_in_one_room_is_found(copy: Path) -> None:
    path = copy / "model" / "checkpoint" / "manifest.py"
    path.write_text(path.read_text() + "\nfrom model.checkpoint import files\n")
    done = contracts(copy)
    assert done.returncode == 1
    assert ".files" in done.stdout and ".manifest" in done.stdout


def test_a_new_room_needs_a_place(copy: Path) -> None:
    (copy / "model" / "attic").mkdir()
    (copy / "model" / "attic" / "__init__.py").touch()
    done = contracts(copy)
    assert done.returncode == 1
    assert "attic" in done.stdout


def test_the_model_has_few_rooms_in_few_layers() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    layers = parser["importlinter:contract:model"]["layers"].split("\n")[1:]
    rooms = [room for layer in layers for room in layer.split("|")]
    assert len(rooms) <= 17
    assert len(layers) <= 9
