"""Masks of detectors behind the packaged backbone, on small drawn images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.engine import Engine
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import ProposalSource
from model.checkpoint.backbone_id import backbone_of
from model.checkpoint.manifest import LITE, PACKAGED, Packaged, manifest_path, read_manifest
from model.detectors.checkpoint import DetectorCheckpoint, Part, write_detector
from tests.helpers.shelf import Shelf, draw, no_image, spot

PARTS = ("residual", "packaged")
JOINT = "residual+packaged"


def checkpoint(
    out: Path, behind: Path = PACKAGED, parts: Sequence[str] = PARTS, serves: Sequence[str] = PARTS
) -> Path:
    """Detectors that learn nothing, which do not know what is usual on any product."""
    write_detector(
        out,
        DetectorCheckpoint(
            "detectors-1",
            backbone_of(behind, read_manifest(behind)),
            512,
            [Part(name, name) for name in parts],
            list(serves),
        ),
    )
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("detectors")


@pytest.fixture(scope="module")
def shelf(folder: Path) -> Shelf:
    """Five references, and detectors that the server has for all projects."""
    weights = checkpoint(folder / "shared.safetensors")
    shelf = Shelf(folder, Settings(data_dir=folder / "data", model_threads=1, detector=weights))  # type: ignore[call-arg]
    for seed in range(5):
        shelf.add(draw(seed))
    return shelf


def overlap(found: object) -> float:
    (region,) = found.regions  # type: ignore[attr-defined]
    return float((region.mask & spot()).sum() / (region.mask | spot()).sum())


def test_detectors_of_the_server_propose_for_a_project_that_nothing_was_trained_for(shelf: Shelf) -> None:
    """What is usual is measured on its own references, once, and found again after a restart."""
    assert shelf.engine.shared_detector.version == "detectors-1"
    key = ImageKey("7", "1" * 64)
    found = shelf.engine.propose(key, shelf.bank, lambda: draw(63, (60, 110)))
    assert found.source == JOINT
    assert [region.type for region in found.regions] == ["defect"]
    assert overlap(found) > 0.4
    assert shelf.engine.propose(ImageKey("7", "6" * 64), shelf.bank, lambda: draw(22)).regions == ()
    (kept,) = (shelf.settings.data_dir / "projects/7/cache").glob("*/*.usual-map.json")
    written = kept.stat().st_mtime_ns
    again = Engine(shelf.settings)
    assert overlap(again.propose(key, shelf.bank, lambda: draw(63, (60, 110)))) == overlap(found)
    assert kept.stat().st_mtime_ns == written


def test_what_was_measured_and_cannot_be_read_is_measured_again(shelf: Shelf) -> None:
    key = ImageKey("7", "2" * 64)
    found = shelf.engine.propose(key, shelf.bank, lambda: draw(63, (60, 110)))
    (kept,) = (shelf.settings.data_dir / "projects/7/cache").glob("*/*.usual-map.json")
    kept.write_text('{"residual": {"location": "x"}}')
    again = Engine(shelf.settings)
    assert overlap(again.propose(key, shelf.bank, lambda: draw(63, (60, 110)))) == overlap(found)


def test_a_version_proposes_from_its_detectors_and_from_each_of_them(shelf: Shelf, folder: Path) -> None:
    weights = checkpoint(folder / "detector.safetensors")
    shelf.engine.load_detector(weights)
    key = ImageKey("7", "3" * 64)
    for name in (JOINT, "residual", "packaged"):
        asked = ProposalSource(name, detector=weights)
        assert shelf.engine.propose(key, shelf.bank, lambda: draw(64, (60, 110)), asked).source == name
    first = shelf.engine.maps(key, shelf.bank, no_image, ProposalSource(JOINT, detector=weights))
    assert list(first) == ["defect"] and first["defect"].max() > 0.5 > first["defect"].mean()


def test_a_reference_is_not_compared_with_itself(shelf: Shelf, folder: Path) -> None:
    """It would be like no other image, and nothing would ever be found in it."""
    stained = draw(70, (60, 110))
    odd = shelf.add(stained)
    bank, asked = shelf.bank, ProposalSource(JOINT, detector=checkpoint(folder / "odd.safetensors"))
    shelf.shas.remove(odd)
    found = shelf.engine.propose(ImageKey("7", odd), bank, lambda: stained, asked)
    alone = shelf.engine.propose(ImageKey("7", "4" * 64), shelf.bank, lambda: stained, asked)
    assert found.size == alone.size == (160, 240)
    assert found.score == pytest.approx(alone.score, abs=0.35)


def test_with_two_references_detectors_propose_nothing_and_a_trained_network_steps_in(
    shelf: Shelf, folder: Path
) -> None:
    """Reliability row 21."""
    bank = ReferenceBank("7", "two", shelf.bank.references[:2])
    weights = checkpoint(folder / "few.safetensors")
    assert shelf.engine.source(bank, ProposalSource(JOINT, None, weights)) == "none"
    assert shelf.engine.source(bank, ProposalSource(JOINT, Path("trained"), weights)) == "trained"
    assert shelf.engine.source(shelf.bank, ProposalSource(JOINT, Path("trained"), weights)) == JOINT
    found = shelf.engine.propose(ImageKey("7", "5" * 64), bank, lambda: draw(65))
    assert (found.regions, found.source) == ((), "none")


@pytest.mark.parametrize("behind", [LITE])
def test_detectors_go_on_seeing_with_the_backbone_that_they_were_trained_behind(
    shelf: Shelf, folder: Path, behind: Packaged
) -> None:
    asked = ProposalSource(JOINT, detector=checkpoint(folder / "lite.safetensors", behind.click))
    found = shelf.engine.propose(ImageKey("7", "7" * 64), shelf.bank, lambda: draw(66, (60, 110)), asked)
    assert found.source == JOINT and overlap(found) > 0.3


def test_detectors_that_cannot_be_loaded_are_explained(shelf: Shelf, folder: Path) -> None:
    """Reliability row 8: and whoever asked knows which file it was."""
    weights = checkpoint(
        folder / "unknown.safetensors", parts=("fortune-teller",), serves=("fortune-teller",)
    )
    with pytest.raises(
        VersionError, match=r"The detector network could not be loaded: .*fortune-teller"
    ) as caught:
        shelf.engine.propose(
            ImageKey("7", "8" * 64), shelf.bank, no_image, ProposalSource("fortune-teller", detector=weights)
        )
    assert caught.value.weights == weights
    with pytest.raises(VersionError, match="fortune-teller"):
        shelf.engine.load_detector(weights)
    weights.unlink()
    with pytest.raises(EngineError, match="cannot be read"):
        Engine(shelf.settings).load_detector(weights)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("gone", "manifest shared.json of the weights cannot be read"),
        ("exchanged", "damaged or were exchanged"),
        ("foreign", "holds the preset 'lite-seg'; anomaly maps need 'detector'"),
        ("backbone", "trained behind the backbone .* which is not among the weights here"),
    ],
)
def test_detectors_of_the_server_that_cannot_be_used_leave_it_to_the_packaged_network(
    tmp_path: Path, damage: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Reliability row 8: in words, at the start."""
    weights = checkpoint(tmp_path / "shared.safetensors")
    manifest = manifest_path(weights)
    if damage == "gone":
        manifest.unlink()
    elif damage == "exchanged":
        weights.write_bytes(b"other bytes")
    elif damage == "foreign":
        manifest.write_text(manifest.read_text().replace('"preset": "detector"', '"preset": "lite-seg"'))
    else:
        sha = read_manifest(weights)["backbone_sha256"]
        manifest.write_text(manifest.read_text().replace(sha, "ab" * 32))
    engine = Engine(Settings(data_dir=tmp_path, detector=weights))  # type: ignore[call-arg]
    assert engine.shared_detector.source == ProposalSource("packaged")
    assert engine.shared_detector.version == ""
    assert (
        "ADCLICK_DETECTOR cannot be used, so the packaged network proposes" in engine.shared_detector.problem
    )
    assert re.search(says, engine.shared_detector.problem)
    assert engine.shared_detector.problem in caplog.text


def test_detectors_of_the_server_that_turn_out_to_be_unknown_are_given_up(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Reliability row 8: nothing but loading them tells; the person gets a proposal all the same."""
    weights = checkpoint(
        tmp_path / "unknown.safetensors", parts=("fortune-teller",), serves=("fortune-teller",)
    )
    engine = Engine(shelf.settings.model_copy(update={"detector": weights}))
    assert engine.shared_detector.version == "detectors-1"
    found = engine.propose(ImageKey("7", "9" * 64), shelf.bank, lambda: draw(64, (60, 110)))
    assert found.source == "packaged" and found.regions
    assert "fortune-teller" in engine.shared_detector.problem and engine.shared_detector.version == ""
