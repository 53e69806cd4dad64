"""Versions that several machines share: seen by all within a second, whole, and known while nobody can be asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from adclick_backend.store import DiskError, Store
from adclick_backend.store.database import KEPT_S
from adclick_backend.store.files import ObjectFiles
from adclick_backend.store.files.cache import FileCache
from adclick_backend.store.operating_points import point_changes
from adclick_backend.store.point_curves import PointCurve
from adclick_backend.store.projects import KeyValueTable
from adclick_backend.store.shelves import FRESH_S, SharedShelf
from adclick_backend.store.thresholds import Thresholds
from adclick_backend.store.versions import Registry, RegistryError
from tests.helpers.bucket import Bucket
from tests.helpers.versions import candidate, publish


class Machine:
    """One of several that share a database and a bucket."""

    def __init__(self, folder: Path, store: Store, bucket: Bucket, clock: list[float]) -> None:
        cache = FileCache(folder / "cache" / "files", 100)
        self.files = ObjectFiles(lambda: bucket, "bucket/line", "s3://bucket/line", cache)
        self.shelf = SharedShelf(self.files, store.values, store.locks, folder / "curves", lambda: clock[0])
        self.registry = Registry(folder, "adclick-lite-2", shelf=self.shelf)


@pytest.fixture
def clock() -> list[float]:
    return [100.0]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "database")


@pytest.fixture
def machines(tmp_path: Path, store: Store, bucket: Bucket, clock: list[float]) -> tuple[Machine, Machine]:
    return Machine(tmp_path / "one", store, bucket, clock), Machine(tmp_path / "two", store, bucket, clock)


def test_what_one_machine_activates_serves_on_all_within_a_second(
    machines: tuple[Machine, Machine], tmp_path: Path, clock: list[float]
) -> None:
    one, two = (machine.registry for machine in machines)
    publish(one, tmp_path)
    assert one.serving_name("3") == two.serving_name("3") == "adclick-lite-2+p3-v1"
    publish(two, tmp_path)
    assert two.serving_name("3") == "adclick-lite-2+p3-v2"
    clock[0] += FRESH_S
    serving = one.current("3")
    assert serving is not None and serving.weights is not None
    assert serving.name == "v2" and serving.weights.read_bytes() == b"v2"
    assert one.roll_back("3") == one.current("3")
    clock[0] += FRESH_S
    assert two.serving_name("3") == "adclick-lite-2+p3-v1"
    assert two.go_forward("3").name == "v2"


def test_who_looks_again_sees_what_another_machine_has_just_said(
    machines: tuple[Machine, Machine], tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (machine.registry for machine in machines)
    publish(one, tmp_path)
    two.look_again("3")  # nothing is known yet
    assert two.when("3") == "always"
    one.propose_when("3", "never")
    assert two.when("3") == "always"
    two.look_again("3")
    assert two.when("3") == "never"
    monkeypatch.setattr(KeyValueTable, "get", lambda *_: 1 / 0)
    two.look_again("3")
    assert two.when("3") == "never", "what was known holds while the database cannot be asked"


def test_a_change_begins_from_what_others_changed_just_now(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    one, two = (machine.registry for machine in machines)
    publish(one, tmp_path)
    assert two.current("3") is not None
    for _ in range(3):
        publish(one, tmp_path)
    two.activate("3", "v1")
    two.propose_when("3", "never")
    assert two.new_name("3") == "v5", "nothing of the other machine was lost"


def test_deleting_bringing_back_and_going_for_good(
    machines: tuple[Machine, Machine], tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (machine.registry for machine in machines)
    for _ in range(2):
        publish(one, tmp_path)
    one.delete("3", "v1")
    clock[0] += FRESH_S
    assert [version.name for version in two.list("3")] == ["v2"]
    assert [name for name, _ in two.deleted("3")] == ["v1"]
    assert two.bring_back("3", "v1").name == "v1"
    two.delete("3", "v1")
    clock[0] += FRESH_S
    kept = len(machines[0].files.names("projects/3/models"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEPT_S + 60)
    publish(one, tmp_path)
    assert kept == 2 and len(machines[0].files.names("projects/3/models")) == 2
    assert one.deleted("3") == () and one.new_name("3") == "v4"
    with pytest.raises(RegistryError, match="has no deleted version 'v1'"):
        one.bring_back("3", "v1")


def test_a_machine_that_is_killed_while_it_publishes_leaves_no_version(
    machines: tuple[Machine, Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(one.shelf, "_change", killed)  # all its files are written
        with pytest.raises(KeyboardInterrupt):
            publish(one.registry, tmp_path)
    assert two.registry.list("3") == []
    publish(two.registry, tmp_path)
    assert two.registry.serving_name("3") == "adclick-lite-2+p3-v1"


def test_what_served_serves_while_neither_database_nor_store_can_be_asked(
    machines: tuple[Machine, Machine],
    tmp_path: Path,
    store: Store,
    bucket: Bucket,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = (machine.registry for machine in machines)
    publish(one, tmp_path)

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patch:
        for name in ("info", "cat_file", "get_file", "pipe_file"):
            patch.setattr(bucket, name, away)
        patch.setattr(store.values, "get", lambda *_: (_ for _ in ()).throw(DiskError("no database")))
        clock[0] += 60
        assert one.serving_name("3") == "adclick-lite-2+p3-v1"
        with pytest.raises(DiskError):
            two.serving_name("3")
    with monkeypatch.context() as patch:
        for name in ("info", "cat_file", "get_file"):
            patch.setattr(bucket, name, away)
        assert two.current("3") is None, "the packaged network answers until its files are here"
        fallen = two.fallen("3")
        assert fallen is not None and "cannot be reached" in fallen.damage
    machines[1].files._rest = None
    assert two.serving_name("3") == "adclick-lite-2+p3-v1"


def test_what_cannot_be_loaded_counts_as_damaged_on_all_machines(
    machines: tuple[Machine, Machine], tmp_path: Path, clock: list[float]
) -> None:
    one, two = (machine.registry for machine in machines)
    publish(one, tmp_path)
    version = one.current("3")
    assert version is not None and version.weights is not None
    one.refuse("3", version.weights, "Its network is of another size.")
    one.refuse("3", tmp_path / "elsewhere" / "weights.safetensors", "It is no version.")
    clock[0] += FRESH_S
    assert two.current("3") is None
    fallen = two.fallen("3")
    assert fallen is not None and fallen.damage == "Its network is of another size."


def test_thresholds_and_curves_are_shared(
    machines: tuple[Machine, Machine], tmp_path: Path, clock: list[float]
) -> None:
    one, two = (machine.registry for machine in machines)
    publish(one, tmp_path)
    here, there = Thresholds(one), Thresholds(two)
    standing = here.of("3")
    here.choose("3", "v1", standing.source.name, {standing.types[0]: 0.25})
    clock[0] += FRESH_S
    assert there.of("3").points[standing.types[0]] == 0.25
    assert one.serving_name("3") == two.serving_name("3")
    assert len(point_changes(two.get("3", "v1").points)) == 1
    assert there.undo("3", "v1", standing.source.name).points[standing.types[0]] == 0.5

    files = here.of("3").curve
    files.put_picture(0, b"no picture")
    files.write(PointCurve("adclick-lite-2", 1.0, (0.5,), standing.types, ()))
    curve = there.of("3").curve.read()
    assert curve is not None and curve.at == 1.0
    assert there.of("3").curve.picture(curve, 0) is None
    assert not list((tmp_path / "one" / "curves").glob("*")), "nothing of the putting together is left"


def test_a_candidate_that_is_damaged_is_not_kept(machines: tuple[Machine, Machine], tmp_path: Path) -> None:
    made = candidate(tmp_path / "candidate")
    (made / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(RegistryError, match="The new version was not kept"):
        machines[0].registry.publish("3", made, "v1")
    assert machines[0].files.names("projects/3/models") == []
