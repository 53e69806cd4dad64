"""The engine with the packaged weights, on small drawn images."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.engine.cache import FeatureFiles
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.turning import turned
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from model.checkpoint.backbone_id import start_of_training
from model.checkpoint.manifest import (
    BACKBONES,
    LITE,
    PACKAGED,
    PACKAGED_STATED,
    manifest_path,
    read_manifest,
)
from model.clicks import Click
from tests.helpers.shelf import Pixels, Shelf, draw, lite, no_image, own_network, spot


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


def test_an_opened_image_is_not_read_again(shelf: Shelf) -> None:
    key = ImageKey("7", "b" * 64)
    shelf.engine.prepare(key, shelf.bank, lambda: draw(51, (60, 110)))
    assert shelf.engine.prepare(key, shelf.bank, no_image) == {}
    assert shelf.engine.click(key, shelf.bank, no_image, [Click(60, 110, True)]).mask.any()


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


def test_a_damaged_checkpoint_is_said_in_words(tmp_path: Path) -> None:
    """Reliability row 8."""
    engine = Engine(Settings(data_dir=tmp_path), tmp_path / "no.safetensors")  # type: ignore[call-arg]
    assert engine.state == "failed"
    with pytest.raises(EngineError, match=r"no\.json"):
        engine.warm_up()


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
