"""The engine with the packaged weights, on small drawn images."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save

from adclick_backend.clicks.near import Near
from adclick_backend.engine import cache
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.cache import STALE_S, FeatureFiles, Usual, WeightedLru
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.networks import SegmentationNetworks
from adclick_backend.engine.turning import turned
from adclick_backend.engine.windows import LOOKED_AT
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.store.proposal_source import TRAINED, ProposalSource
from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import backbone_of, start_of_training
from model.checkpoint.files import read_weights, write_checkpoint
from model.checkpoint.manifest import (
    BACKBONES,
    LITE,
    PACKAGED,
    PACKAGED_SEG,
    PACKAGED_STATED,
    VIT,
    CheckpointError,
    Packaged,
    manifest_path,
    read_manifest,
)
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.interactive.config import ClickConfig
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window
from model.matching.nearest import MatchingConfig

Pixels = NDArray[np.uint8]


def draw(seed: int, defect: tuple[int, int] | None = None) -> Pixels:
    """A grey plate with a bolt, noise, and maybe a dark spot of radius 9 at (x, y)."""
    rng = np.random.default_rng(seed)
    image = np.full((160, 240, 3), 140, np.uint8)
    cv2.circle(image, (120, 80), 40, (190, 185, 180), -1)
    if defect:
        cv2.circle(image, defect, 9, (60, 40, 30), -1)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def no_image() -> Pixels:
    raise AssertionError("the image should not be read")


def look_closer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open windows of 48 pixels, too."""
    predictor = engine._model()
    closer = replace(predictor.config, zoom=replace(predictor.config.zoom, smallest=48))
    monkeypatch.setattr(predictor, "config", closer)


class Shelf:
    """An engine with the references of one project kept where the backend keeps them."""

    def __init__(self, folder: Path, settings: Settings | None = None):
        # Two threads of torch wait for each other longer than they work, on a busy machine.
        self.settings = settings or Settings(data_dir=folder, model_threads=1)  # type: ignore[call-arg]
        self.engine = Engine(self.settings)
        self.shas: list[str] = []

    def add(self, pixels: Pixels) -> str:
        data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        sha = hashlib.sha256(data).hexdigest()
        folder = self.settings.data_dir / "projects/7/references"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sha}.png").write_bytes(data)
        self.engine.encode_reference(ImageKey("7", sha), pixels)
        self.shas.append(sha)
        return sha

    @property
    def bank(self) -> ReferenceBank:
        return ReferenceBank("7", "", tuple(sorted(self.shas)))


def lite(folder: Path) -> Settings:
    """For what does not depend on how well the networks see: half the time."""
    return Settings(data_dir=folder, model_threads=1, backbone="lite")  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("data"))
    for seed in range(5):
        shelf.add(draw(seed))
    return shelf


def test_16_bit_references_are_read_with_the_white_point_of_their_bank(tmp_path: Path) -> None:
    """From the kept copies too, and under names of their own: a new white point finds nothing of the old one."""
    shelf, shas = Shelf(tmp_path), []
    folder = tmp_path / "projects/7/references"
    folder.mkdir(parents=True)
    for seed in range(3):
        data = cv2.imencode(".png", draw(seed)[..., 0].astype(np.uint16) * 16)[1].tobytes()
        shas.append(hashlib.sha256(data).hexdigest())
        (folder / f"{shas[-1]}.png").write_bytes(data)
    image = draw(50, (60, 110))
    key, masks = ImageKey("7", "a" * 64, 4095), []
    for white in (4095, 8191):
        bank = ReferenceBank("7", "", tuple(sorted(shas)), white)
        read = shelf.engine._images.references.kept_copy(bank.key(shas[0]))
        np.testing.assert_allclose(read[..., 0], draw(0)[..., 0] * 16.0 * 255 / white, atol=0.51)
        found = shelf.engine.click(key._replace(white=white), bank, lambda: image, [Click(60, 110, True)])
        masks.append(found.mask)
    assert masks[0][110, 60]
    names = {path.name.partition(".")[0] for path in (tmp_path / "projects/7/cache").rglob("*.features.*")}
    assert names == {f"{sha}-{white}" for sha in shas for white in (4095, 8191)}


def test_an_engine_knows_its_version_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from adclick_backend.engine.engine import Engine, Settings\n"
        f"version = Engine(Settings(data_dir=pathlib.Path({str(tmp_path)!r}))).version\n"
        "sys.exit('torch' in sys.modules or not version.startswith('adclick'))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_click_gives_the_mask_of_the_spot(shelf: Shelf) -> None:
    key = ImageKey("7", "a" * 64)
    found = shelf.engine.click(key, shelf.bank, lambda: draw(50, (60, 110)), [Click(60.5, 110.5, True)])
    true = np.hypot(*(np.indices((160, 240)) - np.array([110, 60])[:, None, None])) <= 9
    assert found.mask.shape == (160, 240)
    assert (found.mask & true).sum() / (found.mask | true).sum() > 0.6
    assert 0 < found.score <= 1
    assert {"features", "match", "network"} <= found.milliseconds.keys()


def test_an_opened_image_is_not_read_again(shelf: Shelf) -> None:
    key = ImageKey("7", "b" * 64)
    shelf.engine.prepare(key, shelf.bank, lambda: draw(51, (60, 110)))
    assert shelf.engine.prepare(key, shelf.bank, no_image) == {}
    assert shelf.engine.click(key, shelf.bank, no_image, [Click(60, 110, True)]).mask.any()


def test_a_restarted_engine_finds_prepared_images_on_disk(shelf: Shelf) -> None:
    key, clicks, image = ImageKey("7", "c" * 64), [Click(60.0, 110.0, True)], draw(52, (60, 110))
    before = shelf.engine.click(key, shelf.bank, lambda: image, clicks)
    after = Engine(shelf.settings).click(key, shelf.bank, lambda: image, clicks)
    assert "features" not in after.milliseconds
    assert (before.mask ^ after.mask).mean() < 0.005  # kept in half precision


@pytest.mark.parametrize("count", [0, 1])
def test_without_or_with_one_reference_a_click_still_gives_a_mask(shelf: Shelf, count: int) -> None:
    """Reliability row 21."""
    bank = ReferenceBank("7", "few", shelf.bank.references[:count])
    found = shelf.engine.click(
        ImageKey("7", "d" * 64), bank, lambda: draw(53, (60, 110)), [Click(60, 110, True)]
    )
    assert found.mask[110, 60]
    assert found.mask.mean() < 0.2


def test_the_weights_of_stated_licences_answer_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chosen by name; no segmentation network that saw other sets has a say."""
    monkeypatch.setenv("ADCLICK_CHECKPOINT", "stated-licences")
    settings = Settings(data_dir=tmp_path)
    assert settings.checkpoint == PACKAGED_STATED
    assert start_of_training(PACKAGED_STATED) == PACKAGED_STATED
    engine, bank = Engine(settings), ReferenceBank("7", "", ("a" * 64, "b" * 64, "c" * 64))
    assert engine.source(bank, None) == "residual"
    key = ImageKey("7", "d" * 64)
    found = engine.click(key, ReferenceBank("7", "", ()), lambda: draw(53, (60, 110)), [Click(60, 110, True)])
    assert found.mask[110, 60]
    assert found.mask.mean() < 0.2
    products = read_manifest(PACKAGED_STATED)["training"]["products"]
    stated = {"aws_cookie", "bsdata", "coffee_leaf", "deeppcb", "hsst_fabric", "intel_hazelnut"}
    assert {product.split("/")[0] for product in products} == stated


def test_an_image_is_no_reference_of_its_own(shelf: Shelf) -> None:
    """Matched with itself it would have no residual at all."""
    key = ImageKey("7", shelf.shas[0])
    shelf.engine.prepare(key, shelf.bank, lambda: draw(0))
    opened = shelf.engine._images.open(key, shelf.bank.without(key.sha), no_image, {})
    assert float(opened.prepared.log_energies.mean()) > -6


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


def test_leave_one_out_finds_the_odd_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for seed in range(4):
        shelf.add(draw(seed))
    odd = shelf.add(draw(9, (190, 40)))
    told: list[tuple[int, int]] = []
    energies = shelf.engine.leave_one_out(shelf.bank, lambda done, of: told.append((done, of)))
    assert max(energies, key=energies.__getitem__) == odd
    assert told == [(i, 5) for i in range(1, 6)]
    assert shelf.engine.leave_one_out(ReferenceBank("7", "", shelf.bank.references[:2])) == {}


def test_a_turned_part_is_recognised_and_a_defect_is_not_excused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    def slot(seed: int, degrees: float, spot: bool = False) -> Pixels:
        """A round plate of 160 x 160 with a slot that shows how it lies, and maybe a large dark spot."""
        rng = np.random.default_rng(seed)
        image = np.full((160, 160, 3), 140, np.uint8)
        cv2.circle(image, (80, 80), 60, (190, 185, 180), -1)
        cv2.rectangle(image, (76, 26), (84, 70), (70, 70, 80), -1)
        if spot:
            cv2.circle(image, (62, 104), 14, (60, 40, 130), -1)
        return turned(np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8), degrees)

    for seed in range(5):
        shelf.add(slot(seed, 0))
    lies_otherwise, defect = shelf.add(slot(8, 90)), shelf.add(slot(9, 90, spot=True))
    levels = shelf.engine.leave_one_out(shelf.bank)
    usual = sorted(levels.values())[4]
    assert levels[lies_otherwise] > 1.5 * usual
    angles: list[None] = []
    least = shelf.engine.least_turned(shelf.bank, lies_otherwise, 1.2 * usual, lambda: angles.append(None))
    assert least <= 1.2 * usual
    assert len(angles) == 9  # 270 degrees more, and no further
    assert shelf.engine.least_turned(shelf.bank, defect, 1.2 * usual) > 1.2 * usual


def test_leave_one_out_reads_a_bank_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cost grows linearly with the bank: nothing of the whole bank is read again for each reference."""
    shelf, reads = Shelf(tmp_path), []
    for seed in range(4):
        shelf.add(draw(seed))
    rows = FeatureFiles._rows
    monkeypatch.setattr(
        FeatureFiles, "_rows", lambda self, project: reads.append(project) or rows(self, project)
    )
    assert len(shelf.engine.leave_one_out(shelf.bank)) == 4
    assert reads == ["7"]


def test_further_clicks_see_the_mask_before(shelf: Shelf) -> None:
    key, first = ImageKey("7", "1" * 64), Click(60.0, 110.0, True)
    image = draw(60, (60, 110))
    shelf.engine.click(key, shelf.bank, lambda: image, [first])
    both = shelf.engine.click(key, shelf.bank, no_image, [first, Click(120.0, 80.0, False)])
    assert both.mask[110, 60]
    assert not both.mask[80, 120]


def test_clicks_correct_a_mask_that_was_there_and_no_other_object_begins_with_it(shelf: Shelf) -> None:
    key, image = ImageKey("7", "2" * 64), draw(64, (60, 110))
    spot = np.hypot(*(np.indices((160, 240)) - np.array([110, 60])[:, None, None])) <= 9
    false = np.zeros((160, 240), bool)
    false[20:36, 190:210] = True
    away = [Click(200.0, 28.0, False)]
    corrected = shelf.engine.click(key, shelf.bank, lambda: image, away, begun=spot | false).mask
    assert not corrected[28, 200]
    assert corrected[spot].mean() > 0.6
    assert not shelf.engine.click(key, shelf.bank, no_image, away).mask.any()  # the same click on nothing
    again = shelf.engine.click(key, shelf.bank, no_image, away, begun=spot | false).mask
    assert np.array_equal(again, corrected)


def test_a_window_is_opened_once_and_compared_with_the_references(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    look = Predictor.look

    def counted(self: Predictor, image: Pixels, window: Window, references: list[Pixels]) -> Prepared:
        looks.append(len(references))
        return look(self, image, window, references)

    monkeypatch.setattr(Predictor, "look", counted)
    look_closer(shelf.engine, monkeypatch)
    key, image = ImageKey("7", "3" * 64), cv2.resize(draw(61, (60, 110)), (960, 640))
    clicks = [Click(240.0, 440.0, True), Click(250.0, 446.0, True), Click(236.0, 430.0, True)]
    for count in (1, 2, 3):
        found = shelf.engine.click(key, shelf.bank, lambda: image, clicks[:count])
    assert looks == [LOOKED_AT]
    assert found.mask.shape == (640, 960)
    assert found.mask[440, 240]


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


def test_a_first_click_finds_open_what_was_expected(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a window is opened for it, nor is the whole image looked at."""
    look_closer(shelf.engine, monkeypatch)
    key, image = ImageKey("7", "9" * 64), cv2.resize(draw(62, (60, 110)), (960, 640))
    proposed = shelf.engine.propose(key, shelf.bank, lambda: image)
    assert proposed.regions[0].mask[440, 240]
    shelf.engine.look_ahead(key, shelf.bank, no_image)
    seen: list[Frame] = []
    logits = Predictor.logits
    monkeypatch.setattr(Predictor, "look", lambda *_: pytest.fail("a window was opened"))
    monkeypatch.setattr(
        Predictor,
        "logits",
        lambda self, prepared, frame, *rest: (seen.append(frame), logits(self, prepared, frame, *rest))[1],
    )
    found = shelf.engine.click(key, shelf.bank, no_image, [Click(243.0, 441.0, True)])
    assert found.mask[440, 240]
    assert found.mask.mean() < 0.02
    assert [(frame.image_height, frame.image_width) for frame in seen] != [(640, 960)]
    assert len(seen) == 1


def test_another_engine_goes_on_with_an_object_to_the_digit(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process of the same or another machine: the first click looked from near, as it was expected there."""
    look_closer(shelf.engine, monkeypatch)
    key, image = ImageKey("7", "7" * 64), cv2.resize(draw(62, (60, 110)), (960, 640))
    clicks = [Click(243.0, 441.0, True), Click(250.0, 446.0, True)]
    shelf.engine.propose(key, shelf.bank, lambda: image)
    near = shelf.engine.near(key, shelf.bank)
    assert near.windows
    found = [
        shelf.engine.click(key, shelf.bank, lambda: image, clicks[:count], near=near) for count in (1, 2)
    ]
    other = Engine(shelf.settings)
    look_closer(other, monkeypatch)
    assert not other.near(key, shelf.bank).windows
    again = other.click(key, shelf.bank, lambda: image, clicks, near=near)
    assert np.array_equal(again.mask, found[1].mask)
    assert np.array_equal(again.probability, found[1].probability)
    # Where nothing was expected, the whole image is looked at first.
    elsewhere = other.click(key, shelf.bank, lambda: image, clicks, near=Near(near.bank))
    assert not np.array_equal(elsewhere.probability, again.probability)


def test_two_threads_open_an_image_once(shelf: Shelf) -> None:
    reads: list[int] = []

    def load() -> Pixels:
        reads.append(1)
        return draw(70)

    threads = [
        threading.Thread(target=shelf.engine.prepare, args=(ImageKey("7", "2f" * 32), shelf.bank, load))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1


def test_projects_share_nothing_on_disk(shelf: Shelf) -> None:
    """Reliability row 24."""
    sha = shelf.shas[0]
    shelf.engine.encode_reference(ImageKey("8", sha), draw(0))
    files = {p.parts[-4] for p in shelf.settings.data_dir.glob(f"projects/*/cache/*/{sha}*")}
    assert files == {"7", "8"}


@pytest.mark.parametrize("name", BACKBONES)
def test_each_backbone_has_networks_of_its_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADCLICK_BACKBONE", f" {name.upper()} ")
    settings, networks = Settings(data_dir=tmp_path, model_threads=1), BACKBONES[name]
    assert settings.click_weights == networks.click
    shelf = Shelf(tmp_path, settings)
    for seed in range(4):
        shelf.add(draw(seed))
    assert shelf.engine.version == read_manifest(networks.click)["version"]
    key, image = ImageKey("7", "d" * 64), draw(53, (60, 110))
    found = shelf.engine.click(key, shelf.bank, lambda: image, [Click(60, 110, True)])
    assert (found.mask & spot()).sum() / (found.mask | spot()).sum() > 0.6
    assert shelf.engine.propose(key, shelf.bank, no_image).source == "packaged"
    assert start_of_training(networks.click) == networks.seg
    assert start_of_training(networks.stated) == networks.stated
    monkeypatch.setenv("ADCLICK_CHECKPOINT", "stated-licences")
    assert Settings(data_dir=tmp_path).click_weights == networks.stated


def test_an_own_network_behind_a_packaged_backbone_trains_from_the_packaged_start(tmp_path: Path) -> None:
    assert start_of_training(own_network(tmp_path)) == LITE.seg
    other = own_network(tmp_path, scale=0.5, scaled="backbone.stem.conv.weight")
    assert start_of_training(other) == other


def own_network(
    folder: Path, *, scale: float = 1.0, scaled: str = "network.head.weight", **about: Any
) -> Path:
    """A checkpoint of the packaged one's name, another one where ``scale`` is not 1; the backbone is inside."""
    weights = folder / "own.safetensors"
    state = read_weights(LITE.click)
    state[scaled] = state[scaled] * scale
    write_checkpoint(weights, state, {**read_manifest(LITE.click), **about})
    return weights


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


def adapted_network(folder: Path, scale: float, **about: Any) -> Path:
    """A click network as a project's training writes it: without the backbone, which its manifest names."""
    weights, manifest = folder / "click.safetensors", read_manifest(PACKAGED)
    state = {k: v for k, v in read_weights(PACKAGED).items() if k.startswith("network.")}
    state["network.head.weight"] = state["network.head.weight"] * scale
    behind = {"backbone_sha256": backbone_of(PACKAGED, manifest).sha256, "version": "adapted"}
    write_checkpoint(weights, state, {**manifest, **behind, **about})
    return weights


def test_the_adapted_network_of_a_project_answers_its_clicks_from_what_all_networks_see(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Both may be asked in turn: each goes on from its own answers."""
    key, image = ImageKey("7", "ad" * 32), draw(70, (60, 110))
    clicks = [Click(60.0, 110.0, True), Click(60.0, 80.0, False)]
    weights = adapted_network(tmp_path, 0.5)
    shared = [shelf.engine.click(key, shelf.bank, lambda: image, clicks[:n]).probability for n in (1, 2)]
    own = [shelf.engine.click(key, shelf.bank, no_image, clicks[:n], weights).probability for n in (1, 2)]
    for one, other in zip(shared, own, strict=True):
        assert not np.array_equal(one, other)
    again = shelf.engine.click(key, shelf.bank, no_image, clicks, None).probability
    assert np.array_equal(again, shared[1])
    assert np.array_equal(
        Engine(shelf.settings).click(key, shelf.bank, lambda: image, clicks, weights).mask,
        shelf.engine.click(key, shelf.bank, no_image, clicks, weights).mask,
    )


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({"backbone_sha256": "0" * 64}, r"another backbone \(\w+ 0{12}\) than clicks are answered with"),
        ({"long_side": 640}, r"another working size \(640\) than clicks are answered with \(512\)"),
        ({"preset": "base"}, r"another preset \(base\)"),
        ({"network": {"widths": [8] * 5}}, "does not fit this network"),
        ({"backbone_sha256": "abc"}, "64 hexadecimal digits"),
    ],
)
def test_an_adapted_network_that_cannot_be_used_is_told_from_one_that_cannot_be_read(
    shelf: Shelf, tmp_path: Path, about: dict[str, Any], why: str
) -> None:
    """Reliability row 8: the shared network answers instead."""
    key, click, image = ImageKey("7", "ae" * 32), [Click(60, 110, True)], draw(71, (60, 110))
    weights = adapted_network(tmp_path, 1.0, **about)
    for ask in (
        lambda: shelf.engine.load_click(weights),
        lambda: shelf.engine.click(key, shelf.bank, lambda: image, click, weights),
    ):
        with pytest.raises(VersionError, match=f"The click network could not be loaded: .*{why}"):
            ask()
    weights.unlink()
    manifest_path(weights).unlink()
    with pytest.raises(EngineError, match="cannot be read") as caught:
        shelf.engine.load_click(weights)
    assert not isinstance(caught.value, VersionError)
    assert shelf.engine.click(key, shelf.bank, no_image, click).mask.any()


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


def test_a_network_that_is_exchanged_before_it_is_loaded_is_refused(tmp_path: Path) -> None:
    """Else what it makes would lie under the key of the other."""
    settings = Settings(data_dir=tmp_path / "data")  # type: ignore[call-arg]
    engine = Engine(settings, own_network(tmp_path))
    own_network(tmp_path, scale=0.5)
    with pytest.raises(
        EngineError, match=r"own\.safetensors was exchanged since the start: restart the backend"
    ):
        engine.prepare(ImageKey("7", "a" * 64), ReferenceBank("7", "", ()), lambda: draw(9))
    assert list((tmp_path / "data").glob("projects/*/cache/*/*.safetensors")) == []


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


def test_a_damaged_checkpoint_is_said_in_words(tmp_path: Path) -> None:
    """Reliability row 8."""
    engine = Engine(Settings(data_dir=tmp_path), tmp_path / "no.safetensors")  # type: ignore[call-arg]
    assert engine.state == "failed"
    with pytest.raises(EngineError, match=r"no\.json"):
        engine.warm_up()


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: WeightedLru[str, str] = WeightedLru(10)
    for name in "abc":
        cache.put(name, name, 4)
    assert [cache.get(n) for n in "abc"] == [None, "b", "c"]
    cache.put("d", "d", 50)
    assert [cache.get(n) for n in "bcd"] == [None, None, "d"]


def test_usual_energies_are_measured_again_when_the_bank_has_doubled(tmp_path: Path) -> None:
    usual = Usual(tmp_path, "", "float32")
    assert usual.wanted(["a", "b"]) == "a"
    usual.put({"a": {"joint": 4.0}}, 2)
    usual.put({"b": {"joint": 2.0}}, 2)
    assert usual.wanted(["a", "b"]) is None
    assert usual.mean(["a", "b"]) == {"joint": 3.0}
    assert usual.wanted(["a", "b", "c", "d", "e"]) == "a"


def test_only_the_first_references_and_those_that_were_checked_say_what_is_usual(tmp_path: Path) -> None:
    """In whatever order, and for whatever, they were measured: nothing depends on what was opened before."""
    references, means, peaks = ["a", "b", "c", "d"], set(), set()
    levels = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.7}
    for number, order in enumerate(["ab", "ba", "dba", "cdab"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        usual = Usual(folder, "", "float32")
        for sha in order:
            usual.put({sha: {"joint": levels[sha]}}, 4)
        means.add(usual.mean(references)["joint"])
        assert usual.wanted(references, 3) == (None if "c" in order else "c")
        usual.put({"c": {"joint": levels["c"]}}, 4)
        peaks.add(tuple(usual.every(references, "joint", 3)))
    assert means == {(0.1 + 0.2) / 2}
    assert peaks == {(0.1, 0.2, 0.3)}
    usual.put({sha: {"joint": levels[sha]} for sha in reversed(references)}, 4, checked=True)
    assert usual.mean(references)["joint"] == sum(levels.values()) / 4
    assert Usual(tmp_path, "", "bfloat16").wanted(references) == "a"


def test_threads_that_measure_at_once_lose_nothing(tmp_path: Path) -> None:
    names = [f"{i:02d}" for i in range(24)]
    start = threading.Barrier(len(names))

    def measure(name: str) -> None:
        usual = Usual(tmp_path, "", "float32")
        start.wait()
        usual.put({name: {"joint": 1.0}}, len(names))

    threads = [threading.Thread(target=measure, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Usual(tmp_path, "", "float32").every(names, "joint", len(names))) == len(names)


# --- equal to the digit


def logits_of(engine: Engine, bank: ReferenceBank, name: str, clicks: list[Click]) -> bytes:
    """The logits after some clicks, each answered in turn."""
    key, image = ImageKey("7", name * 64), draw(80 + ord(name), (60, 110))
    for count in range(1, len(clicks) + 1):
        engine.click(key, bank, lambda: image, clicks[:count])
    found = engine._answers.get((key, engine.near(key, bank), None, (), "", tuple(clicks)))
    assert found is not None
    return found.whole.logits.tobytes()


CLICKS = [Click(60.5, 110.5, True), Click(120.5, 80.5, False), Click(66.5, 114.5, True)]


def test_two_engines_answer_equal_to_the_digit(tmp_path: Path) -> None:
    """Whichever image each of them opened first, and whether features lie there or are computed again."""
    found = []
    for number, names in enumerate(["ab", "ba", "ab"]):
        shelf = Shelf(tmp_path / str(number), lite(tmp_path / str(number)))
        for seed in range(5):
            shelf.add(draw(seed))
        if number == 2:
            for path in shelf.settings.data_dir.glob("projects/7/cache/*/*.features.safetensors"):
                path.unlink()
        found.append({name: logits_of(shelf.engine, shelf.bank, name, CLICKS) for name in names})
        proposed = shelf.engine.propose(ImageKey("7", "c" * 64), shelf.bank, lambda: draw(90, (60, 110)))
        found[-1]["c"] = b"".join(region.mask.tobytes() for region in proposed.regions)
        found[-1]["score"] = str(proposed.score).encode()
    assert found[0] == found[1] == found[2]


def test_lost_answers_are_given_again_equal_to_the_digit(shelf: Shelf) -> None:
    """To an engine that was started between two clicks, or that answered others since."""
    whole = logits_of(shelf.engine, shelf.bank, "k", CLICKS)
    again = Engine(shelf.settings)
    key, image = ImageKey("7", "k" * 64), draw(80 + ord("k"), (60, 110))
    again.click(key, shelf.bank, lambda: image, CLICKS)
    found = again._answers.get((key, again.near(key, shelf.bank), None, (), "", tuple(CLICKS)))
    assert found is not None
    assert found.whole.logits.tobytes() == whole


def test_the_number_format_is_said_and_what_was_matched_in_another_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, key = Shelf(tmp_path, lite(tmp_path)), ImageKey("7", "a" * 64)
    for seed in range(3):
        shelf.add(draw(seed))
    (tmp_path / "cpuinfo").write_text("flags : avx512f\n")
    monkeypatch.setattr("model.features.number_format.CPUINFO", tmp_path / "cpuinfo")
    prepared = []
    for asked, level in (("float32", "INFO"), ("bfloat16", "WARNING")):
        engine = Engine(shelf.settings.model_copy(update={"number_format": asked}))
        caplog.clear()
        with caplog.at_level("INFO"):
            engine.warm_up()
            milliseconds = engine.prepare(key, shelf.bank, lambda: draw(50, (60, 110)))
        assert "match" in milliseconds
        said = [r for r in caplog.records if f"Computing in {asked}" in r.getMessage()]
        assert [r.levelname for r in said] == [level]
        prepared += shelf.settings.data_dir.glob(
            f"projects/7/cache/*/{key.sha}-*-{asked}.prepared.safetensors"
        )
    assert len(prepared) == 2


# --- proposing


def trained(weights: Path) -> ProposalSource:
    """The segmentation network of a version."""
    return ProposalSource(TRAINED, weights)


class FakeSegmenter:
    """Says that the dark spot is a stain, from the very image that was prepared."""

    backbone_id = backbone_of(PACKAGED, read_manifest(PACKAGED))

    def __init__(self) -> None:
        self.asked = 0

    def maps(self, prepared: Prepared, frame: Frame) -> dict[str, NDArray[np.float32]]:
        self.asked += 1
        log = prepared.log_energies[0, 0].float().numpy()
        dark = cv2.resize(log, (frame.width, frame.height)) > log.max() - 1
        return {"stain": np.where(dark, 0.9, 0.05).astype(np.float32)}


def spot() -> NDArray[np.bool_]:
    return np.asarray(np.hypot(*(np.indices((160, 240)) - np.array([110, 60])[:, None, None])) <= 9)


def test_references_alone_propose_what_is_unusual(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with other weights than the packaged ones, which no segmentation network comes with."""
    monkeypatch.setattr(shelf.engine._sources.networks, "packaged", None)
    key = ImageKey("7", "1" * 64)
    found = shelf.engine.propose(key, shelf.bank, lambda: draw(63, (60, 110)))
    assert (found.source, found.size) == ("residual", (160, 240))
    (region,) = found.regions
    assert region.type == "defect"
    assert (region.mask & spot()).sum() / (region.mask | spot()).sum() > 0.4
    assert 0 < found.score < 0.6  # it is only the residual
    assert shelf.engine.propose(key, shelf.bank, no_image) is found
    assert shelf.engine.click(key, shelf.bank, no_image, [Click(60, 110, True)]).mask.any()


def test_how_unlike_the_references_an_image_is(shelf: Shelf) -> None:
    """Another good image is as unlike them as they are unlike each other; something else is not."""
    good, other = draw(64), np.ascontiguousarray(draw(64).transpose(1, 0, 2)[::-1])
    other[40:200] = np.random.default_rng(0).integers(0, 256, other[40:200].shape, np.uint8)
    found = [
        shelf.engine.unlike(ImageKey("7", name * 32), shelf.bank, lambda pixels=pixels: pixels)  # type: ignore[misc]
        for name, pixels in (("5d", good), ("5e", other))
    ]
    assert 0.6 < found[0] < 1.6 < 3.0 < found[1]
    alone = ReferenceBank("7", "", shelf.bank.references[:1])
    assert shelf.engine.unlike(ImageKey("7", "5d" * 32), alone, lambda: good) == 0.0


def test_the_packaged_network_proposes_before_any_training(shelf: Shelf) -> None:
    key = ImageKey("7", "70" * 32)
    found = shelf.engine.propose(key, shelf.bank, lambda: draw(64, (60, 110)))
    assert found.source == "packaged"
    (region,) = found.regions
    assert region.type == "defect"
    assert (region.mask & spot()).sum() / (region.mask | spot()).sum() > 0.4
    assert shelf.engine.propose(ImageKey("7", "6" * 64), shelf.bank, lambda: draw(22)).regions == ()


def test_masks_are_cut_where_a_person_set_the_threshold(shelf: Shelf) -> None:
    """The same forward's maps, shifted; a threshold of 0.5, or none, changes no bit."""
    key, asked = ImageKey("7", "7a" * 32), ProposalSource("packaged")
    usual = shelf.engine.propose(key, shelf.bank, lambda: draw(64, (60, 110)), asked)
    maps = shelf.engine.maps(key, shelf.bank, no_image, asked)
    areas = {}
    for point in (0.01, 0.5, 0.97):
        found = shelf.engine.propose(key, shelf.bank, no_image, asked.at({"defect": point, "scratch": 0.1}))
        areas[point] = sum(int(region.mask.sum()) for region in found.regions)
        moved = shelf.engine.maps(key, shelf.bank, no_image, asked.at({"defect": point}))["defect"]
        assert np.array_equal(moved > 0.5, maps["defect"] > point)
    assert areas[0.01] > areas[0.5] > areas[0.97]
    assert areas[0.5] == sum(int(region.mask.sum()) for region in usual.regions)
    assert shelf.engine.propose(key, shelf.bank, no_image, asked) is usual
    residual = shelf.engine.maps(key, shelf.bank, no_image, ProposalSource("residual"))
    assert np.array_equal(shelf.engine.maps(key, shelf.bank, no_image, asked)["defect"], maps["defect"])
    assert not np.array_equal(residual["defect"], maps["defect"])


def test_a_threshold_says_nothing_about_the_network_that_steps_in(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf.engine._sources.networks, "get", {Path("v1"): FakeSegmenter()}.__getitem__)
    few, key = ReferenceBank("7", "", shelf.bank.references[:2]), ImageKey("7", "7b" * 32)
    asked = ProposalSource("invad-tiny", Path("v1"), points=(("stain", 0.99),))
    found = shelf.engine.propose(key, few, lambda: draw(66, (60, 110)), asked)
    assert (found.source, [region.type for region in found.regions]) == ("trained", ["stain"])
    cut = ProposalSource("trained", Path("v1"), points=(("stain", 0.99),))
    assert shelf.engine.propose(key, few, no_image, cut).regions == ()


def test_two_references_propose_nothing(shelf: Shelf) -> None:
    """Reliability row 21: with so few nobody can say what is usual."""
    bank = ReferenceBank("7", "two", shelf.bank.references[:2])
    found = shelf.engine.propose(ImageKey("7", "3" * 64), bank, lambda: draw(65, (60, 110)))
    assert (found.regions, found.source) == ((), "none")
    assert shelf.engine.source(bank, None) == "none"
    assert shelf.engine.source(bank, trained(Path("trained"))) == "trained"


def test_a_trained_version_proposes_and_each_version_is_asked_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {Path("v1"): FakeSegmenter(), Path("v2"): FakeSegmenter()}
    monkeypatch.setattr(shelf.engine._sources.networks, "get", networks.__getitem__)
    key = ImageKey("7", "4" * 64)
    for weights in (Path("v1"), Path("v2"), Path("v1")):
        found = shelf.engine.propose(key, shelf.bank, lambda: draw(66, (60, 110)), trained(weights))
        assert found.source == "trained"
        assert [region.type for region in found.regions] == ["stain"]
        assert found.regions[0].mask[110, 60]
    assert [network.asked for network in networks.values()] == [1, 1]


@pytest.mark.parametrize(("serving", "before"), [(VIT, LITE), (LITE, VIT)])
def test_a_version_goes_on_seeing_with_the_backbone_that_it_was_trained_behind(
    serving: Packaged, before: Packaged, tmp_path: Path
) -> None:
    """Its maps are what they were, and clicks are answered by what serves now."""
    weights, key, image = tmp_path / "weights.safetensors", ImageKey("7", "5e" * 32), draw(66, (60, 110))
    state = read_weights(before.seg)
    state["skip.trust"] = state["skip.trust"] + 0.1  # no packaged one
    write_checkpoint(weights, state, read_manifest(before.seg))
    then = Shelf(tmp_path / "then")
    then.engine = Engine(then.settings, before.click)
    now = Shelf(tmp_path / "now")
    now.engine = Engine(now.settings, serving.click)
    for seed in range(4):
        then.add(draw(seed)), now.add(draw(seed))
    click = [Click(60, 110, True)]
    answer = now.engine.click(key, now.bank, lambda: image, click).probability
    expected = then.engine.maps(key, then.bank, lambda: image, trained(weights))
    found = now.engine.maps(key, now.bank, lambda: image, trained(weights))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name], values)
    assert now.engine.propose(key, now.bank, no_image, trained(weights)).source == "trained"
    again = Engine(now.settings, serving.click)
    assert np.array_equal(again.maps(key, now.bank, no_image, trained(weights))["defect"], expected["defect"])
    assert np.array_equal(again.click(key, now.bank, lambda: image, click).probability, answer)


def test_a_version_behind_a_backbone_that_is_not_here_says_so(shelf: Shelf, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    write_checkpoint(
        weights,
        read_weights(LITE.seg),
        {**read_manifest(LITE.seg), "backbone_sha256": "ab" * 32},
    )
    says = r"trained behind the backbone efficientnet_lite0 \(abababababab\), which is not among the weights here"
    with pytest.raises(VersionError, match=says):
        shelf.engine.load(weights)
    with pytest.raises(VersionError, match=says):
        shelf.engine.propose(ImageKey("7", "5f" * 32), shelf.bank, no_image, trained(weights))


def test_a_version_that_cannot_be_loaded_is_explained(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_: Path) -> None:
        raise CheckpointError("weights.safetensors is truncated.")

    monkeypatch.setattr(shelf.engine._sources.networks, "get", damaged)
    with pytest.raises(EngineError, match="network could not be loaded: weights"):
        shelf.engine.propose(ImageKey("7", "5" * 64), shelf.bank, lambda: draw(67), trained(Path("v1")))


def test_weights_that_do_not_fit_are_told_from_weights_that_cannot_be_read(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Reliability row 8: the one asks for another version, the other may be over in a moment."""
    weights = tmp_path / "weights.safetensors"
    state = read_weights(PACKAGED_SEG)
    write_checkpoint(
        weights, {**state, "skip.trust": state["skip.trust"].expand(2)}, read_manifest(PACKAGED_SEG)
    )
    with pytest.raises(VersionError, match=r"could not be loaded: .* has other shapes for skip\.trust"):
        shelf.engine.propose(ImageKey("7", "5" * 64), shelf.bank, lambda: draw(67), trained(weights))
    with pytest.raises(VersionError, match=r"has other shapes for skip\.trust"):
        shelf.engine.load(weights)
    weights.unlink()
    with pytest.raises(EngineError, match="cannot be read") as caught:
        shelf.engine.load(weights)
    assert not isinstance(caught.value, VersionError)


@pytest.mark.parametrize("about", [{"long_side": "abc"}, {"backbone": 3}, {"format": 99}])
def test_a_click_checkpoint_that_cannot_be_used_is_said_before_anything_is_loaded(
    about: dict[str, Any], tmp_path: Path
) -> None:
    """Reliability row 8."""
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(PACKAGED.read_bytes())
    manifest_path(weights).write_text(json.dumps({**read_manifest(PACKAGED), **about}))
    engine = Engine(Settings(data_dir=tmp_path), weights)  # type: ignore[call-arg]
    assert (engine.state, engine.version) == ("failed", "none")
    assert "own.safetensors" in str(engine.failure)
    with pytest.raises(EngineError, match=r"own\.safetensors"):
        engine.warm_up()


def test_segmenters_stay_loaded_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Path, str]] = []
    module = types.ModuleType("model.segmentation.predictor")
    module.SegPredictor = lambda *args: loaded.append(args) or object()  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, "model.segmentation.predictor", module)
    segmenters = SegmentationNetworks("cpu", kept=2)
    names = [Path(name) for name in ("a", "b", "a", "c", "a", "b")]
    for name in names:
        segmenters.get(name)
    assert [path.name for path, *_ in loaded] == ["a", "b", "c", "b"]


def test_what_is_usual_is_known_though_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19: else the same would be measured without end."""
    monkeypatch.setattr(cache, "locked", _no_room)
    files = FeatureFiles(tmp_path, "key", 10)
    files.usual("1", "").put({"a": {"joint": 4.0}}, 2)
    files.usual("1", "").put({"b": {"joint": 2.0}}, 2)
    assert files.usual("1", "").wanted(["a", "b"]) is None
    monkeypatch.undo()
    files.usual("1", "").put({"c": {"joint": 2.0}}, 2)
    assert set(FeatureFiles(tmp_path, "key", 10).usual("1", "")._read()) == {"a", "b", "c"}


def _no_room(path: Path, shared: bool = False) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_engines_of_two_machines_see_an_image_alike_whatever_each_has_measured(tmp_path: Path) -> None:
    """One has compared all references with each other, the other has just begun; they share a database."""
    store = Store(tmp_path / "database")
    machines = [Shelf(tmp_path / name, lite(tmp_path / name)) for name in ("one", "two", "alone")]
    for machine in machines:
        for seed in range(4):
            machine.add(draw(seed))
    for machine in machines[:2]:
        machine.engine.share(store.values)
    first, second, alone = (machine.engine for machine in machines)
    bank = machines[0].bank
    first.leave_one_out(bank)
    key, image, click = ImageKey("7", "4" * 64), draw(50, (60, 110)), [Click(60.5, 110.5, True)]
    found = [engine.click(key, bank, lambda: image, click).probability for engine in (second, first)]
    assert np.array_equal(*found)
    assert not np.array_equal(alone.click(key, bank, lambda: image, click).probability, found[0])
    # What is measured later changes nothing, as long as the references are the same.
    second.leave_one_out(bank)
    other = ImageKey("7", "5" * 64)
    assert np.array_equal(second.click(other, bank, lambda: image, click).probability, found[0])
    store.close()
