"""What is kept on disk: found again by whoever sees alike, and by nobody else."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from adclick_backend.engine import cache
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.engine.cache import STALE_S, FeatureFiles
from adclick_backend.engine.engine import Engine
from adclick_backend.settings import Settings
from model.clicks import Click
from model.interactive.config import ClickConfig
from model.matching.nearest import MatchingConfig
from tests.helpers.shelf import Shelf, draw, lite, no_image, own_network


def test_a_restarted_engine_finds_prepared_images_on_disk(shelf: Shelf) -> None:
    key, clicks, image = ImageKey("7", "c" * 64), [Click(60.0, 110.0, True)], draw(52, (60, 110))
    before = shelf.engine.click(key, shelf.bank, lambda: image, clicks)
    after = Engine(shelf.settings).click(key, shelf.bank, lambda: image, clicks)
    assert "features" not in after.milliseconds
    assert (before.mask ^ after.mask).mean() < 0.005  # kept in half precision


def test_lost_features_are_computed_again_from_the_kept_copy(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for seed in range(2):
        shelf.add(draw(seed))
    for path in tmp_path.glob("projects/7/cache/*/*"):
        path.unlink()
    engine = Engine(shelf.settings)
    assert engine.click(
        ImageKey("7", "e" * 64), shelf.bank, lambda: draw(9, (60, 110)), [Click(60, 110, True)]
    ).mask.any()
    for path in [*tmp_path.glob("projects/7/cache/*/*"), *tmp_path.glob("projects/7/references/*")]:
        path.unlink()
    with pytest.raises(EngineError, match="is gone; remove it and add the image again"):
        Engine(shelf.settings).prepare(ImageKey("7", "f" * 64), shelf.bank, lambda: draw(9))


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE descriptors RENAME COLUMN descriptor TO packed")
        database.execute("PRAGMA user_version = 99")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def torn(path: Path) -> None:
    """The rows; the first page is sound."""
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)


@pytest.mark.parametrize("spoil", [newer, garbage, torn])
def test_descriptors_that_cannot_be_used_are_computed_again(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    shelf = Shelf(tmp_path, lite(tmp_path))
    for seed in range(2):
        shelf.add(draw(seed))
    key, clicks = ImageKey("7", "e" * 64), [Click(60, 110, True)]
    before = shelf.engine.click(key, shelf.bank, lambda: draw(9, (60, 110)), clicks).mask
    folder = next(tmp_path.glob("projects/7/cache/*"))
    spoil(folder / "descriptors.sqlite")
    for path in folder.glob("*.prepared.safetensors"):
        path.unlink()
    after = Engine(shelf.settings).click(key, shelf.bank, lambda: draw(9, (60, 110)), clicks).mask
    assert np.array_equal(after, before)
    assert all(FeatureFiles(tmp_path, folder.name, 64, "float32").has("7", sha) for sha in shelf.shas)


def test_descriptors_from_before_the_file_had_a_version_are_kept(tmp_path: Path) -> None:
    files = FeatureFiles(tmp_path, "some", 64, "float32")
    with closing(sqlite3.connect(files.folder("7") / "descriptors.sqlite")) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS descriptors (sha TEXT PRIMARY KEY, descriptor BLOB NOT NULL)"
        )
        blob = np.arange(3, dtype=np.float16).tobytes()
        database.execute("INSERT OR REPLACE INTO descriptors VALUES (?, ?)", ("a" * 64, blob))
    kept = files.descriptors("7", "bank", ["a" * 64], lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(kept, [[0, 1, 2]])


def test_another_way_of_looking_finds_nothing_that_the_usual_one_kept(shelf: Shelf) -> None:
    """What is prepared, and what is usual among the references, follow from how places are matched."""
    config = ClickConfig(matching=MatchingConfig(position_weight=150.0))
    other = Engine(shelf.settings, config=config)
    assert other.version == shelf.engine.version
    key, image = ImageKey("7", "8" * 64), draw(63, (60, 110))
    shelf.engine.prepare(key, shelf.bank, lambda: image)
    read: list[int] = []
    other.prepare(key, shelf.bank, lambda: (read.append(1), image)[1])
    assert read, "what the other engine prepared was taken for its own"
    Engine(shelf.settings, config=config).prepare(key, shelf.bank, no_image)


def test_projects_share_nothing_on_disk(shelf: Shelf) -> None:
    """Reliability row 24."""
    sha = shelf.shas[0]
    shelf.engine.encode_reference(ImageKey("8", sha), draw(0))
    files = {p.parts[-4] for p in shelf.settings.data_dir.glob(f"projects/*/cache/*/{sha}*")}
    assert files == {"7", "8"}


def kept_by(settings: Settings, weights: Path | None = None) -> Path:
    """The folder in which an engine keeps what it made of project 7."""
    return Engine(settings, weights)._images.files.folder("7")


def test_a_network_behind_another_backbone_of_the_same_name_reads_nothing_of_the_old_one(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path / "data")  # type: ignore[call-arg]
    key, bank = ImageKey("7", "a" * 64), ReferenceBank("7", "", ())
    before = Engine(settings, own_network(tmp_path))
    before.prepare(key, bank, lambda: draw(9, (60, 110)))
    assert Engine(settings, tmp_path / "own.safetensors").prepare(key, bank, no_image) == {}
    after = Engine(settings, own_network(tmp_path, scale=0.5, scaled="backbone.stem.conv.weight"))
    assert after.version == before.version
    with pytest.raises(AssertionError, match="should not be read"):
        after.prepare(key, bank, no_image)
    assert "features" in after.prepare(key, bank, lambda: draw(9, (60, 110)))
    assert not after._images.files.has("7", "a" * 64)


def test_a_retrained_network_behind_the_same_backbone_goes_on_with_what_was_prepared(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")  # type: ignore[call-arg]
    key, bank, click = ImageKey("7", "a" * 64), ReferenceBank("7", "", ()), [Click(60, 110, True)]
    before = Engine(settings, own_network(tmp_path)).click(key, bank, lambda: draw(9, (60, 110)), click)
    after = Engine(settings, own_network(tmp_path, scale=0.5)).click(key, bank, no_image, click)
    assert not np.array_equal(before.probability, after.probability)


def test_the_same_network_at_another_size_reads_nothing_of_the_old_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")  # type: ignore[call-arg]
    folders = {kept_by(settings, own_network(tmp_path, long_side=side)) for side in (512, 640, 512)}
    assert len(folders) == 2


def test_a_changed_layout_reads_nothing_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of the code that prepares images was changed, or of the code that keeps them."""
    settings = Settings(data_dir=tmp_path)  # type: ignore[call-arg]
    before = kept_by(settings)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "fingerprint", lambda rooms: "of an upgrade")
        cache.layout.cache_clear()
        assert kept_by(settings) != before
    own = tmp_path / "cache.py"
    own.write_bytes(Path(cache.__file__).read_bytes() + b"# stored otherwise")
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_CODE", (own, *cache._CODE[1:]))
        cache.layout.cache_clear()
        assert kept_by(settings) != before
    cache.layout.cache_clear()
    assert kept_by(settings) == before


def test_kept_files_that_lack_something_count_as_absent(shelf: Shelf) -> None:
    key = ImageKey("7", "8" * 64)
    shelf.engine.prepare(key, shelf.bank, lambda: draw(71, (60, 110)))
    files = shelf.engine._images.files
    path = files._path("7", f"{key.sha}-{shelf.bank.fingerprint}", "prepared")
    whole = load(path.read_bytes())
    assert files.load_prepared("7", key.sha, shelf.bank.fingerprint) is not None
    assert {
        "static",
        "scales",
        "vectors",
        "log_energies",
        "shape",
        "nearest",
        "level.texture",
    } <= whole.keys()
    for name in whole:
        path.write_bytes(save({other: tensor for other, tensor in whole.items() if other != name}))
        assert files.load_prepared("7", key.sha, shelf.bank.fingerprint) is None
    assert "features" in Engine(shelf.settings).prepare(key, shelf.bank, lambda: draw(71, (60, 110)))
    assert load(path.read_bytes()).keys() == whole.keys()
    reference = files._path("7", shelf.shas[0], "features")
    whole = load(reference.read_bytes())
    for name in whole:
        reference.write_bytes(save({other: tensor for other, tensor in whole.items() if other != name}))
        assert files.load("7", shelf.shas[0]) is None
    Engine(shelf.settings)._images.references.of(ImageKey("7", shelf.shas[0]))
    assert load(reference.read_bytes()).keys() == whole.keys()


def test_what_other_networks_left_goes_when_nobody_used_it_for_a_day(tmp_path: Path) -> None:
    old, used = (FeatureFiles(tmp_path, name, 100, "float32") for name in ("adclick-lite-6", "used"))
    now, image = time.time(), {"static": torch.zeros(3)}
    for files in (old, used):
        files._write(files._path("7", "a", "prepared"), image)
        (files.folder("7") / "levels-1.json").write_text("{}")
        for path in (*files.folder("7").iterdir(), files.folder("7")):
            os.utime(path, (now - STALE_S - 60,) * 2)
    assert used._read(used._path("7", "a", "prepared")) is not None  # as whoever serves with it does
    new = FeatureFiles(tmp_path, "new", 100, "float32")
    for _ in range(2):
        new._write(new._path("7", "a", "prepared"), image)
        assert {path.name for path in tmp_path.glob("projects/7/cache/*")} == {"used", "new"}
        FeatureFiles(tmp_path, "adclick-lite-6", 100, "float32").folder(
            "7"
        )  # a day passes before it is looked at again
        os.utime(old.folder("7"), (now - STALE_S - 60,) * 2)
        new._swept -= STALE_S + 1
