"""Versions on disk: published whole or not at all, switched in one step, never served when damaged."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.store.database import KEPT_S
from adclick_backend.store.proposal_source import AUTOMATIC, ProposalSource
from adclick_backend.store.version import Version
from adclick_backend.store.versions import Registry, RegistryError
from model.checkpoint.manifest import FORMAT
from tests.helpers.versions import candidate, click_candidate, detector_candidate, publish


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data", "adclick-lite-2")


def names(registry: Registry) -> list[str]:
    return [version.name for version in registry.list("3")]


def test_an_untrained_project_is_served_by_the_packaged_network(registry: Registry) -> None:
    assert (registry.list("3"), registry.current("3")) == ([], None)
    assert (registry.serving_name("3"), registry.new_name("3")) == ("adclick-lite-2", "v1")


def test_the_name_begins_with_the_version_in_the_package(tmp_path: Path) -> None:
    assert Registry(tmp_path).serving_name("3").startswith("adclick-")


def test_a_published_version_serves_once_it_is_activated(registry: Registry, tmp_path: Path) -> None:
    publish(registry, tmp_path, activate=False)
    assert names(registry) == ["v1"]
    assert registry.current("3") is None
    registry.activate("3", "v1")
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"
    assert registry.serving_name("4") == "adclick-lite-2"
    serving = registry.current("3")
    assert serving is not None and serving.serving
    assert serving.weights.read_bytes() == b"v1"


def test_the_newest_version_is_listed_first(registry: Registry, tmp_path: Path) -> None:
    for _ in range(11):
        publish(registry, tmp_path)
    assert names(registry)[:3] == ["v11", "v10", "v9"]
    assert [version.name for version in registry.list("3") if version.serving] == ["v11"]


def test_rolling_back_goes_through_what_served_before_down_to_the_package(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry, tmp_path)
    publish(registry, tmp_path, activate=False)
    publish(registry, tmp_path)
    first = registry.roll_back("3")
    assert first is not None and first.name == "v1"
    assert registry.roll_back("3") is None
    assert registry.serving_name("3") == "adclick-lite-2"
    with pytest.raises(RegistryError, match="nothing to roll back"):
        registry.roll_back("3")


def test_rolling_back_and_activating_again_does_not_go_in_circles(registry: Registry, tmp_path: Path) -> None:
    publish(registry, tmp_path)
    publish(registry, tmp_path)
    registry.roll_back("3")
    registry.activate("3", "v2")
    again = registry.roll_back("3")
    assert again is not None and again.name == "v1"
    assert registry.roll_back("3") is None


def test_the_serving_version_cannot_be_deleted_and_no_name_comes_back(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry, tmp_path)
    publish(registry, tmp_path)
    with pytest.raises(RegistryError, match="v2 serves project 3: activate another version or roll back"):
        registry.delete("3", "v2")
    registry.roll_back("3")
    registry.delete("3", "v2")
    assert (names(registry), registry.new_name("3")) == (["v1"], "v3")


def test_a_deleted_version_is_kept_for_a_while_and_brought_back(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = publish(registry, tmp_path).weights.read_bytes()
    publish(registry, tmp_path)
    registry.delete("3", "v1")
    assert [name for name, _ in registry.deleted("3")] == ["v1"]
    assert registry.before("3") is None
    back = registry.bring_back("3", "v1")
    assert back.weights is not None and back.weights.read_bytes() == content
    assert (names(registry), registry.deleted("3")) == (["v2", "v1"], ())
    for name in ("v1", "v9", "../v1", ""):
        with pytest.raises(RegistryError, match="no deleted version"):
            registry.bring_back("3", name)
    registry.delete("3", "v1")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEPT_S + 60)
    assert registry.deleted("3") == ()
    with pytest.raises(RegistryError, match="no deleted version"):
        registry.bring_back("3", "v1")
    publish(registry, tmp_path)
    assert not list(tmp_path.rglob("deleted-*"))  # its space is free again
    assert names(registry) == ["v3", "v2"]


def test_a_roll_back_is_taken_back_step_by_step(registry: Registry, tmp_path: Path) -> None:
    for _ in range(3):
        publish(registry, tmp_path)
    with pytest.raises(RegistryError, match="Nothing of project 3 was rolled back"):
        registry.go_forward("3")
    for _ in range(3):
        registry.roll_back("3")
    assert registry.current("3") is None
    went = []
    while (after := registry.after("3")) is not None:
        assert registry.go_forward("3") == replace(after, serving=True)
        went.append(after.name)
    assert went == ["v1", "v2", "v3"]
    before = registry.before("3")
    assert before is not None and before.name == "v2"  # and back again
    registry.roll_back("3")
    registry.delete("3", "v3")
    assert registry.after("3") is None  # what was deleted cannot serve
    registry.bring_back("3", "v3")
    registry.activate("3", "v1")
    assert registry.after("3") is None  # another choice was made since


def test_an_unknown_version_is_refused_with_those_that_there_are(registry: Registry, tmp_path: Path) -> None:
    publish(registry, tmp_path)
    for name in ("v7", "../v1", ""):
        with pytest.raises(RegistryError, match=r"has no version .*; it has: v1\."):
            registry.activate("3", name)
        with pytest.raises(RegistryError, match="has no version"):
            registry.delete("3", name)


def test_a_damaged_version_is_listed_and_the_one_before_serves(registry: Registry, tmp_path: Path) -> None:
    """Reliability row 8: wrong hash, the previous version keeps serving."""
    publish(registry, tmp_path)
    newer = publish(registry, tmp_path)
    newer.weights.write_bytes(b"v")
    serving = registry.current("3")
    assert serving is not None and serving.name == "v1"
    assert "damaged or were exchanged" in registry.list("3")[0].damage
    with pytest.raises(RegistryError, match="v2 cannot serve"):
        registry.activate("3", "v2")
    serving.weights.unlink()
    assert registry.current("3") is None


def say(newer: Version, **about: Any) -> None:
    """Change what a version's manifest says; None takes it away."""
    path = newer.folder / "weights.json"
    manifest = {**json.loads(path.read_text()), **about}
    path.write_text(json.dumps({name: value for name, value in manifest.items() if value is not None}))


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"types": None}, "The manifest of version v2 lacks types"),
        ({"offsets": None}, "The manifest of version v2 lacks offsets"),
        ({"backbone": None}, "The manifest of version v2 lacks backbone"),
        ({"preset": None}, "lacks one of: version, preset, sha256"),
        ({"format": 1}, "The manifest of version v2 lacks network"),
        ({"format": FORMAT + 1}, "written by a newer ADClick"),
        ({"offsets": [0.0]}, "says offsets = "),
        ({"types": ["defect", "dent"]}, "has no offset for the type 'dent'"),
        ({"preset": "lite"}, "holds the preset 'lite'; masks before the first click need"),
        ({"created": "yesterday"}, "says created = 'yesterday'"),
        ({"metrics": ["good"]}, "says metrics = "),
    ],
)
def test_a_version_that_no_network_can_be_built_from_does_not_serve(
    about: dict[str, Any], says: str, registry: Registry, tmp_path: Path
) -> None:
    """Reliability row 8: its weights are whole, and still it cannot be loaded."""
    publish(registry, tmp_path)
    say(publish(registry, tmp_path), **about)
    serving, fallen = registry.current("3"), registry.fallen("3")
    assert serving is not None and serving.name == "v1"
    assert fallen is not None and fallen.name == "v2"
    assert says in fallen.damage == registry.list("3")[0].damage
    with pytest.raises(RegistryError, match="v2 cannot serve"):
        registry.activate("3", "v2")


def test_a_version_that_could_not_be_loaded_is_refused_by_every_worker(
    registry: Registry, tmp_path: Path
) -> None:
    """Reliability rows 8 and 16."""
    publish(registry, tmp_path)
    newer = publish(registry, tmp_path)
    other = Registry(tmp_path / "data", "adclick-lite-2")
    assert other.serving_name("3") == "adclick-lite-2+p3-v2"
    assert registry.fallen("3") is None
    registry.refuse("3", newer.weights, "It lacks a layer.")
    for worker in (registry, other, Registry(tmp_path / "data", "adclick-lite-2")):
        assert worker.serving_name("3") == "adclick-lite-2+p3-v1"
        assert worker.list("3")[0].damage == "It lacks a layer."
        with pytest.raises(RegistryError, match=r"v2 cannot serve: It lacks a layer\. Choose another one"):
            worker.activate("3", "v2")


def test_what_could_not_be_loaded_is_tried_again_by_another_release_or_network_and_when_it_was_mended(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = publish(registry, tmp_path)
    registry.refuse("3", newer.weights, "It lacks a layer.")
    assert registry.current("3") is None
    with monkeypatch.context() as patch:
        patch.setattr("adclick_backend.store.versions.__version__", "99.0")
        assert Registry(tmp_path / "data", "adclick-lite-2").serving_name("3") == "adclick-lite-2+p3-v1"
    assert Registry(tmp_path / "data", "adclick-lite-2").serving_name("3") == "adclick-lite-2"
    assert Registry(tmp_path / "data", "x").serving_name("3") == "x+p3-v1"
    say(newer, version="mended")
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"


def test_a_refusal_that_cannot_be_written_down_holds_in_this_process(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19: a full disk lets no request try the broken version again and again."""
    newer = publish(registry, tmp_path)

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("adclick_backend.store.shelves.write_atomically", full)
    registry.refuse("3", newer.weights, "It lacks a layer.")
    assert registry.current("3") is None
    assert registry.list("3")[0].damage == "It lacks a layer."


def test_only_versions_of_the_project_are_refused(registry: Registry, tmp_path: Path) -> None:
    folder = candidate(tmp_path / "own")
    registry.refuse("3", folder / "weights.safetensors", "It lacks a layer.")
    assert not (folder / "refused.json").exists()


def test_a_version_serves_again_once_its_files_can_be_read_again(registry: Registry, tmp_path: Path) -> None:
    """A disk that was away for a moment costs no version."""
    version = publish(registry, tmp_path)
    away = version.weights.rename(tmp_path / "away")
    assert registry.current("3") is None
    assert "cannot be read" in registry.list("3")[0].damage
    away.rename(version.weights)
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"


def test_a_damaged_candidate_is_not_published(registry: Registry, tmp_path: Path) -> None:
    folder = candidate(tmp_path / "candidate")
    (folder / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(RegistryError, match="was not kept"):
        registry.publish("3", folder, "v1")
    assert names(registry) == []


def test_a_full_disk_leaves_no_version_and_no_files(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19: the disk is full while a version is published."""
    publish(registry, tmp_path)

    def full(*_: object, **__: object) -> None:
        (registry.list("3")[0].folder.parent / ".v2.half").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        publish(registry, tmp_path)
    assert names(registry) == ["v1"]
    assert not list(registry.list("3")[0].folder.parent.glob(".v2*"))
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"


def test_what_a_killed_process_left_of_a_version_is_no_version(registry: Registry, tmp_path: Path) -> None:
    """Reliability row 18: no half version is visible."""
    publish(registry, tmp_path)
    models = registry.list("3")[0].folder.parent
    candidate(models / ".v2.half")
    assert (names(registry), registry.new_name("3")) == (["v1"], "v2")
    assert publish(registry, tmp_path).weights.read_bytes() == b"v2"


def test_a_project_id_stays_below_the_data_folder(registry: Registry) -> None:
    """Reliability row 24: ids are validated before they become paths."""
    with pytest.raises(ValueError, match="A project id is a number"):
        registry.serving_name("../x")


OTHER_WORKER = """
import sys
from pathlib import Path
from adclick_backend.store.versions import Registry

registry = Registry(Path(sys.argv[1]), "adclick-lite-2")
print(registry.serving_name("3"), flush=True)
for _ in sys.stdin:
    print(registry.serving_name("3"), flush=True)
"""


def test_a_switch_is_seen_by_another_worker(registry: Registry, tmp_path: Path) -> None:
    """Reliability row 16: what one process activates the other serves, and back again."""
    publish(registry, tmp_path)
    publish(registry, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_WORKER, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline() == "adclick-lite-2+p3-v2\n"
        for switch, expected in ((registry.roll_back, "v1"), (lambda p: registry.activate(p, "v2"), "v2")):
            switch("3")
            print(file=other.stdin, flush=True)
            assert other.stdout.readline() == f"adclick-lite-2+p3-{expected}\n"


def test_readers_see_one_version_or_the_other_while_versions_switch(
    registry: Registry, tmp_path: Path
) -> None:
    """Reliability row 14: the switch is one step."""
    publish(registry, tmp_path)
    publish(registry, tmp_path)
    seen: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        own = Registry(tmp_path / "data", "adclick-lite-2")
        while not stop.is_set():
            version = own.current("3")
            seen.add("nothing" if version is None else version.weights.read_text())

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(20):
        registry.activate("3", f"v{number % 2 + 1}")
    stop.set()
    for reader in readers:
        reader.join()
    assert seen == {"v1", "v2"}


def with_clicks(registry: Registry, folder: Path, **manifest: Any) -> Version:
    """Publish a version that has a click network too, and let it serve."""
    made = click_candidate(candidate(folder / registry.new_name("3")), **manifest)
    return registry.activate("3", registry.publish("3", made, registry.new_name("3")).name)


def test_a_version_brings_its_click_network_along_and_takes_it_back(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry, tmp_path)
    version = with_clicks(registry, tmp_path)
    assert version.clicks is not None and version.clicks.read_bytes() == b"clicks"
    assert version.weights is not None and version.weights.read_bytes() == b"weights"
    back = registry.roll_back("3")
    assert back is not None and (back.name, back.clicks) == ("v1", None)
    assert registry.activate("3", "v2").clicks == version.clicks


@pytest.mark.parametrize("damage", ["exchanged", "gone", "of another network"])
def test_a_version_with_a_damaged_click_network_serves_without_it(
    registry: Registry, tmp_path: Path, damage: str
) -> None:
    """Reliability row 8."""
    version = with_clicks(registry, tmp_path)
    assert version.clicks is not None
    if damage == "exchanged":
        version.clicks.write_bytes(b"others")
    elif damage == "gone":
        version.clicks.unlink()
    else:
        click_candidate(version.folder, preset="lite-seg")
    found = registry.current("3")
    assert found is not None and (found.name, found.damage, found.clicks) == ("v1", "", None)
    assert found.click_damage
    with pytest.raises(RegistryError, match="was not kept"):
        registry.publish("3", found.folder, "v2")


def test_a_click_network_that_could_not_be_loaded_is_not_tried_again(
    registry: Registry, tmp_path: Path
) -> None:
    """Reliability row 8: in no other worker process either, and the rest of the version goes on serving."""
    version = with_clicks(registry, tmp_path)
    assert version.clicks is not None
    registry.refuse("3", version.clicks, "It lacks a layer.")
    other = Registry(tmp_path / "data", "adclick-lite-2").current("3")
    assert other is not None
    assert (other.name, other.damage, other.click_damage, other.clicks) == (
        "v1",
        "",
        "It lacks a layer.",
        None,
    )


def test_a_version_may_answer_clicks_alone(registry: Registry, tmp_path: Path) -> None:
    """Then the packaged network proposes masks; without a word of that, a version whose weights are gone is damaged."""
    folder = click_candidate(tmp_path / "alone", alone=True, created=5.0, metrics={"click_1": 0.5})
    version = registry.activate("3", registry.publish("3", folder, "v1").name)
    assert (version.weights, version.damage, version.created) == (None, "", 5.0)
    assert version.clicks is not None and version.metrics == {"click_1": 0.5}
    version = with_clicks(registry, tmp_path)
    for name in ("weights.safetensors", "weights.json"):
        (version.folder / name).unlink()
    assert registry.get("3", "v2").damage
    found = registry.current("3")
    assert found is not None and found.name == "v1"


# --- detectors, and what masks come from


def with_detectors(registry: Registry, folder: Path, source: str = "invad-tiny") -> Version:
    """The next version has detectors, and its masks come from them; it serves."""
    name = registry.new_name("3")
    found = candidate(folder / f"detecting-{name}", name.encode(), source=source)
    registry.publish("3", detector_candidate(found), name)
    return registry.activate("3", name)


def test_a_version_proposes_from_the_source_that_it_names(registry: Registry, tmp_path: Path) -> None:
    publish(registry, tmp_path)
    assert registry.proposing("3") == ProposalSource("trained", registry.get("3", "v1").weights)
    version = with_detectors(registry, tmp_path)
    assert version.parts == ("invad-tiny", "residual")
    assert registry.proposing("3") == ProposalSource("invad-tiny", version.weights, version.detector)
    assert registry.serving_name("3") == "adclick-lite-2+p3-v2"
    assert registry.proposing("4") is None
    registry.roll_back("3")
    assert registry.proposing("3") == ProposalSource("trained", registry.get("3", "v1").weights)


def test_a_source_that_somebody_chose_is_another_version_to_label_studio(
    registry: Registry, tmp_path: Path
) -> None:
    """Label Studio asks for predictions of a version that it has none of."""
    registry.choose("3", "residual")
    assert registry.serving_name("3") == "adclick-lite-2-residual"
    assert registry.proposing("3") == ProposalSource("residual")
    version = with_detectors(registry, tmp_path)
    other = Registry(tmp_path / "data", "adclick-lite-2")
    assert other.serving_name("3") == "adclick-lite-2+p3-v1-residual"
    other.choose("3", "invad-tiny+residual")
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1-invad-tiny-residual"
    assert registry.proposing("3") == ProposalSource("invad-tiny+residual", version.weights, version.detector)
    registry.choose("3", "invad-tiny")  # what it has anyway
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"
    registry.choose("3", AUTOMATIC)
    assert (registry.choice("3"), registry.serving_name("3")) == ("", "adclick-lite-2+p3-v1")


def test_a_choice_that_a_version_lacks_counts_as_none(registry: Registry, tmp_path: Path) -> None:
    with_detectors(registry, tmp_path)
    registry.choose("3", "residual+invad-tiny")
    publish(registry, tmp_path)
    assert registry.proposing("3") == ProposalSource("trained", registry.get("3", "v2").weights)
    assert registry.serving_name("3") == "adclick-lite-2+p3-v2"
    for name in ("onenip-tiny", "../x", "invad-tiny", "none", "+"):
        with pytest.raises(RegistryError, match="version v2 of project 3 cannot make them"):
            registry.choose("3", name)
    with pytest.raises(RegistryError, match="the packaged networks of project 4 cannot make them"):
        registry.choose("4", "trained")
    assert not (tmp_path / "data/projects/4").exists()


@pytest.mark.parametrize("damage", ["exchanged", "gone", "of another network", "refused"])
def test_a_version_whose_masks_come_from_damaged_detectors_does_not_serve(
    registry: Registry, tmp_path: Path, damage: str
) -> None:
    """Reliability row 8: the version before does."""
    publish(registry, tmp_path)
    version = with_detectors(registry, tmp_path)
    assert version.detector is not None
    if damage == "exchanged":
        version.detector.write_bytes(b"others")
    elif damage == "gone":
        version.detector.with_suffix(".json").unlink()
    elif damage == "refused":
        registry.refuse("3", version.detector, "It lacks a layer.")
    else:
        detector_candidate(version.folder, preset="lite-seg")
    found, other = registry.current("3"), Registry(tmp_path / "data", "adclick-lite-2").current("3")
    assert found is not None and other is not None
    assert (found.name, other.name) == ("v1", "v1")
    fallen = registry.fallen("3")
    assert fallen is not None and fallen.name == "v2" and fallen.damage
    with pytest.raises(RegistryError, match="was not kept"):
        registry.publish("3", fallen.folder, "v3")


def test_a_version_that_needs_no_detectors_serves_without_them(registry: Registry, tmp_path: Path) -> None:
    """Reliability row 8: what somebody chose is not there any more, and its own source is."""
    version = with_detectors(registry, tmp_path, source="packaged")
    registry.choose("3", "invad-tiny")
    assert version.detector is not None
    version.detector.write_bytes(b"others")
    found = registry.current("3")
    assert found is not None and (found.name, found.damage, found.parts) == ("v1", "", ())
    assert "damaged or were exchanged" in found.detector_damage
    assert registry.proposing("3") == ProposalSource("packaged", found.weights)


def test_the_detectors_of_the_server_have_their_name_in_what_label_studio_is_told(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "adclick-lite-2", shared=lambda: ("invad-7", ProposalSource("invad-tiny")))
    assert registry.serving_name("3") == "adclick-lite-2+invad-7"
    publish(registry, tmp_path)
    assert registry.serving_name("3") == "adclick-lite-2+p3-v1"
