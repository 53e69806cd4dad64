"""Operating points of what serves: chosen, seen by every worker, taken back; those of one version and source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adclick_backend.store.operating_points import FILE, point_changes
from adclick_backend.store.proposal_source import PACKAGED, RESIDUAL, TRAINED, ProposalSource
from adclick_backend.store.thresholds import Thresholds
from adclick_backend.store.versions import Registry, RegistryError
from tests.helpers.versions import candidate

TYPES = ["dent", "scratch"]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data", "adclick-lite-2")


def trained(registry: Registry, folder: Path) -> str:
    name = registry.new_name("3")
    registry.publish("3", candidate(folder / f"candidate-{name}", name.encode(), types=TYPES), name)
    return registry.activate("3", name).name


def test_a_version_of_which_nobody_chose_a_threshold_is_as_calibrated(
    registry: Registry, tmp_path: Path
) -> None:
    trained(registry, tmp_path)
    standing = Thresholds(registry).of("3")
    assert (standing.name, standing.types, standing.before) == ("v1", ("dent", "scratch"), None)
    assert standing.points == {"dent": 0.5, "scratch": 0.5}
    assert registry.proposing("3") == ProposalSource(TRAINED, registry.get("3", "v1").weights)
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"


def test_what_is_chosen_counts_in_every_worker_at_once(registry: Registry, tmp_path: Path) -> None:
    """Label Studio asks again for the predictions of a version whose name has changed."""
    trained(registry, tmp_path)
    other = Registry(tmp_path / "data", "adclick-lite-2")
    before = other.serving_name("3")
    Thresholds(registry).choose("3", "v1", TRAINED, {"scratch": 0.2, "dent": 0.5})
    source = other.proposing("3")
    assert source is not None and (source.points, source.by_hand) == ((("scratch", 0.2),), {"scratch"})
    first = other.serving_name("3")
    assert first.startswith(f"{before}-at-")
    Thresholds(other).choose("3", "v1", TRAINED, {"scratch": 0.3})
    assert len({before, first, registry.serving_name("3")}) == 3
    Thresholds(other).choose("3", "v1", TRAINED, {"scratch": 0.2})
    assert registry.serving_name("3") == first  # the same cut has the same name


def test_taking_back_brings_each_earlier_choice(registry: Registry, tmp_path: Path) -> None:
    trained(registry, tmp_path)
    thresholds, usual = Thresholds(registry), registry.serving_name("3")
    thresholds.choose("3", "v1", TRAINED, {"dent": 0.2})
    thresholds.choose("3", "v1", TRAINED, {"dent": 0.2})  # nothing new
    assert thresholds.choose("3", "v1", TRAINED, {"dent": 0.9, "scratch": 0.4}).before == {"dent": 0.2}
    assert thresholds.undo("3", "v1", TRAINED).points == {"dent": 0.2, "scratch": 0.5}
    assert thresholds.undo("3", "v1", TRAINED).points == {"dent": 0.5, "scratch": 0.5}
    assert registry.serving_name("3") == usual
    with pytest.raises(RegistryError, match="No threshold of version v1 was changed"):
        thresholds.undo("3", "v1", TRAINED)
    told = [(change.points, change.undone) for change in point_changes(registry.get("3", "v1").points)]
    assert told == [
        ({}, True),
        ({"dent": 0.2}, True),
        ({"dent": 0.9, "scratch": 0.4}, False),
        ({"dent": 0.2}, False),
    ]


def test_a_version_goes_and_comes_back_with_its_thresholds(registry: Registry, tmp_path: Path) -> None:
    trained(registry, tmp_path)
    Thresholds(registry).choose("3", "v1", TRAINED, {"dent": 0.2})
    name = registry.serving_name("3")
    trained(registry, tmp_path)
    assert Thresholds(registry).of("3").points == {"dent": 0.5, "scratch": 0.5}
    registry.delete("3", "v1")
    with pytest.raises(
        RegistryError, match=r"meant for v1, .* but version v2 serves project 3 now.*nothing was changed"
    ):
        Thresholds(registry).choose("3", "v1", TRAINED, {"dent": 0.3})
    registry.bring_back("3", "v1")
    registry.activate("3", "v1")
    assert registry.serving_name("3") == name


def test_thresholds_of_one_source_say_nothing_about_another(registry: Registry, tmp_path: Path) -> None:
    trained(registry, tmp_path)
    Thresholds(registry).choose("3", "v1", TRAINED, {"dent": 0.2})
    registry.choose("3", RESIDUAL)
    standing = Thresholds(registry).of("3")
    assert (standing.types, standing.points) == (("defect",), {"defect": 0.5})
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1-residual"
    with pytest.raises(
        RegistryError, match=r"masks from the trained network, but .* masks from the residual"
    ):
        Thresholds(registry).undo("3", "v1", TRAINED)


@pytest.mark.parametrize("choice", ["", RESIDUAL])
def test_a_project_without_a_version_has_thresholds_too(registry: Registry, choice: str) -> None:
    registry.choose("3", choice)
    usual, source = registry.serving_name("3"), choice or PACKAGED
    standing = Thresholds(registry).choose("3", "", source, {"defect": 0.8})
    assert registry.proposing("3") == ProposalSource(source, points=(("defect", 0.8),)) == standing.source
    assert registry.serving_name("3").startswith(f"{usual}-at-")
    assert registry.proposing("4") is None and registry.serving_name("4") == "adclick-lite-2"
    Thresholds(registry).undo("3", "", source)
    assert registry.serving_name("3") == usual
    assert registry.proposing("3") == (ProposalSource(choice) if choice else None)
    assert registry.list("3") == []


def test_unknown_types_and_impossible_points_change_nothing(registry: Registry, tmp_path: Path) -> None:
    trained(registry, tmp_path)
    thresholds = Thresholds(registry)
    with pytest.raises(RegistryError, match="knows no defect type 'hole'; it knows: dent, scratch"):
        thresholds.choose("3", "v1", TRAINED, {"hole": 0.2})
    for point in (0.0, 1.0, -3.0, float("nan")):
        with pytest.raises(RegistryError, match=r"threshold of 'dent' cannot be .*from 0\.001 to 0\.999"):
            thresholds.choose("3", "v1", TRAINED, {"dent": point, "scratch": 0.4})
    assert not (registry.get("3", "v1").folder / FILE).exists()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"trained": {"chosen": [{"dent": 7}], "log": []}}', b"\xff"]
)
def test_a_damaged_file_counts_as_none(
    registry: Registry, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    trained(registry, tmp_path)
    (registry.get("3", "v1").folder / FILE).write_bytes(content)
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"
    assert "the calibrated thresholds are used" in caplog.text


def test_only_so_many_choices_are_kept(registry: Registry, tmp_path: Path) -> None:
    trained(registry, tmp_path)
    thresholds = Thresholds(registry)
    for number in range(1, 230):
        thresholds.choose("3", "v1", TRAINED, {"dent": number / 1000})
    kept = json.loads((registry.get("3", "v1").folder / FILE).read_text())[TRAINED]
    assert (len(kept["chosen"]), len(kept["log"])) == (100, 200)
    assert thresholds.of("3").points["dent"] == 0.229
