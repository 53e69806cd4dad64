"""Prepared images on disk: found again by another process, and no reference has to go for them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from adclick_backend.engine.cache import EXPECTED_BYTES, FeatureFiles
from model.evidence.prepared import Prepared
from model.features.encoding import Encoded

BANK = "b" * 32


def prepared(numbers: int = 1000) -> Prepared:
    maps = torch.zeros(1, 1, 1, numbers)
    return Prepared(maps, {}, torch.zeros(1, 0), maps.clone(), maps.clone())


def reference() -> Encoded:
    return Encoded(
        torch.zeros(1, 3, 8, 8), {s: torch.zeros(1, 4, 16 // s, 16 // s) for s in (4, 8, 16)}, torch.zeros(8)
    )


def test_a_prepared_image_is_found_by_another_process_and_counts_as_used(tmp_path: Path) -> None:
    FeatureFiles(tmp_path, "key", 100).save_prepared("1", "a" * 64, BANK, prepared(), (48, 64), ())
    (path,) = tmp_path.glob("projects/1/cache/key/*.prepared.safetensors")
    os.utime(path, (1000, 1000))
    other = FeatureFiles(tmp_path, "key", 100)
    assert other.has_prepared("1", "a" * 64, BANK)
    assert path.stat().st_mtime > 1000
    assert not other.has_prepared("1", "a" * 64, "c" * 32)  # with other references
    assert not other.has_prepared("2", "a" * 64, BANK)


def test_the_room_for_images_is_what_references_and_other_projects_leave(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, "key", 1)
    assert files.room("1").each == EXPECTED_BYTES
    files.save("1", "f" * 64, reference())
    for project in ("1", "2"):
        files.save_prepared(project, "a" * 64, BANK, prepared(), (48, 64), ())
    room = files.room("1")
    assert room.each == room.own > 12_000
    assert room.held == room.references + 2 * room.own
    assert room.images == (room.capacity - room.references - room.own) // room.own


def test_references_go_last_when_the_cache_is_full(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, "key", 1)
    files.save("1", "f" * 64, reference())
    (kept,) = tmp_path.glob("projects/1/cache/key/*.features.safetensors")
    os.utime(kept, (1000, 1000))  # nobody used it for years
    for number in range(4):
        files.save_prepared("1", f"{number:064x}", BANK, prepared(25_000), (48, 64), ())
    assert kept.exists()
    assert not files.has_prepared("1", f"{0:064x}", BANK)
    assert files.room("1").held <= files.room("1").capacity
