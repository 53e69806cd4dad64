"""A data folder copied elsewhere: rows in batches, files by content, gone on with after any end, compared at last."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from adclick_backend.store import Store
from adclick_backend.store.files import ObjectFiles
from adclick_backend.store.files.cache import FileCache
from adclick_backend.store.moving import move as moving
from adclick_backend.store.moving import rows
from adclick_backend.store.moving.move import MoveError, move, unfinished
from adclick_backend.store.moving.rows import check_table, copy_rows
from adclick_backend.store.shelves import SharedShelf
from adclick_backend.store.tables import METADATA, key_values, problems
from adclick_backend.store.thresholds import Thresholds
from adclick_backend.store.versions import Registry
from tests.helpers.bucket import Bucket
from tests.helpers.versions import publish


class Elsewhere:
    """Where the folder goes: a database and a bucket."""

    def __init__(self, folder: Path) -> None:
        self.store, self.bucket = Store(folder / "there"), Bucket()
        cache = FileCache(folder / "cache", 100)
        self.files = ObjectFiles(lambda: self.bucket, "bucket/line", "s3://bucket/line", cache)
        self.said: list[str] = []

    def take(self, data: Path) -> None:
        move(data, self.store, self.files, self.said.append)

    def registry(self, folder: Path) -> Registry:
        shelf = SharedShelf(self.files, self.store.values, self.store.locks, folder / "curves")
        return Registry(folder, "adclick-lite-2", shelf=shelf)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with rows in several tables, and a file of every kind."""
    folder = tmp_path / "data"
    store, registry = Store(folder), Registry(folder, "adclick-lite-2")
    for project in ("3", "4"):
        store.projects.save(project, title=f"Flanges {project} äß\N{SNOWMAN}")
        for number in range(7):
            store.problems.add(project, f"Sentence {number} of many.", number)
    store.references.add("3", product="", sha="a" * 64, source="upload", name="a.png", file=f"{'a' * 64}.png")
    store.values.set("3", "nul", "a\0b")
    for kind, name in (
        ("references", f"{'a' * 64}.png"),
        ("labels", f"{'b' * 64}.png"),
        ("reports", "v1.html"),
        ("reports/removed", "1-v0.html"),
        ("generated/scratch-0", "look.json"),
        ("jobs/5", "log.txt"),
        ("jobs/5", "weights.bin"),
        ("thumbnails", f"{'a' * 64}.jpg"),
        ("somebody's", "notes.txt"),
    ):
        path = folder / "projects" / "3" / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{kind} {name}".encode())
    for _ in range(3):
        publish(registry, tmp_path)
    registry.delete("3", "v1")
    thresholds = Thresholds(registry)
    standing = thresholds.of("3")
    thresholds.choose("3", "v3", standing.source.name, {standing.types[0]: 0.25})
    registry.propose_when("3", "never")
    store.close()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Elsewhere:
    return Elsewhere(tmp_path)


def test_everything_arrives_and_is_said(data: Path, there: Elsewhere, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    there.take(data)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert "projects: 2 rows here, 2 there" in "\n".join(there.said)
    assert sum(sentence.endswith(": equal") for sentence in there.said) == len(METADATA.sorted_tables)
    assert there.said[-1].startswith("files: ")
    assert "Project 3: somebody's is nothing of ADClick's and stays here." in there.said
    assert there.store.projects.get("3").title == "Flanges 3 äß\N{SNOWMAN}"
    assert there.store.values.get("3", "nul") == "a\N{REPLACEMENT CHARACTER}b"
    assert there.files.names("projects/3") == [
        *("generated", "jobs", "labels", "models", "references", "reports")
    ]
    assert there.files.path("projects/3/jobs/5/log.txt").read_bytes() == b"jobs/5 log.txt"
    assert not there.files.exists("projects/3/jobs/5/weights.bin")
    here, moved = Registry(data, "adclick-lite-2"), there.registry(tmp_path / "machine")
    assert moved.serving_name("3") == here.serving_name("3") != "adclick-lite-2+p3-v3"
    assert [v.name for v in moved.list("3")] == ["v3", "v2"] and not any(v.damage for v in moved.list("3"))
    assert moved.deleted("3") == here.deleted("3") and moved.when("3") == "never"
    assert moved.bring_back("3", "v1").weights is not None
    assert moved.new_name("3") == "v4" and not unfinished(there.store)


def test_what_was_moved_already_is_compared(data: Path, there: Elsewhere) -> None:
    there.take(data)
    there.take(data)
    assert "It was moved already; what is there is compared." in there.said
    there.store.projects.save("4", title="Changed since")
    with pytest.raises(MoveError, match=r"1 things are not the same there, such as table projects\."):
        there.take(data)
    assert there.store.projects.get("4").title == "Changed since", "nothing is put back over it"


@pytest.mark.parametrize("moment", [1, 2, 5, 9, 14, 20, 30])
def test_a_move_that_ends_at_any_moment_goes_on(
    data: Path, there: Elsewhere, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    monkeypatch.setattr(rows, "BATCH_ROWS", 3)
    left = moment

    def killing(work: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return work(*args, **more)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(rows, "_put", killing(rows._put))
        for name in ("pipe_file", "put_file"):
            patch.setattr(there.bucket, name, killing(getattr(there.bucket, name)))
        with pytest.raises(KeyboardInterrupt):
            there.take(data)
    if moment > 1:
        assert "run adclick move-data again" in unfinished(there.store)
    there.take(data)
    assert not unfinished(there.store) and "NOT EQUAL" not in " ".join(there.said)


def test_what_changed_before_it_is_gone_on_with_is_taken_as_it_is_then(
    data: Path, there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_check_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            there.take(data)
    (data / "projects/3/reports/v1.html").unlink()
    (data / "projects/3/generated/scratch-0/look.json").write_text("another")
    store = Store(data)
    store.projects.save("3", title="Renamed")
    with store.database.write() as connection:
        connection.execute(problems.delete().where(problems.c.id < 4))
    store.close()
    there.take(data)
    assert not there.files.exists("projects/3/reports/v1.html")
    assert there.files.path("projects/3/generated/scratch-0/look.json").read_text() == "another"
    assert there.store.projects.get("3").title == "Renamed"
    with there.store.database.read() as connection:
        assert connection.execute(select(func.min(problems.c.id))).scalar() == 4


def test_a_place_that_holds_something_else_is_refused(data: Path, there: Elsewhere) -> None:
    there.files.put("projects/9/reports/v1.html", b"somebody's")
    with pytest.raises(MoveError, match="The object store holds other files under that prefix"):
        there.take(data)
    there.store.projects.save("9", title="Somebody's")
    with pytest.raises(MoveError, match="The database holds other data, and nothing was changed"):
        there.take(data)
    assert [project.id for project in there.store.projects.all()] == ["9"]
    assert there.files.names("projects") == ["9"]


def test_the_move_of_another_folder_is_not_gone_on_with(data: Path, there: Elsewhere) -> None:
    there.store.values.set("", rows.MOVE, json.dumps({"of": "/srv/other on line3", "state": "begun"}))
    with pytest.raises(MoveError, match="Another data folder, /srv/other on line3, was moved"):
        there.take(data)


def test_a_backend_that_runs_is_said(data: Path, there: Elsewhere) -> None:
    store = Store(data)
    held = store.locks.try_hold("jobs")
    assert held is not None
    with pytest.raises(MoveError, match="A backend is running with the data folder"):
        there.take(data)
    held.release()
    held = there.store.locks.try_hold("references")
    assert held is not None
    with pytest.raises(MoveError, match="A backend is running with that database"):
        there.take(data)
    held.release()
    there.take(data)


def test_a_folder_without_a_database_is_said(tmp_path: Path, there: Elsewhere) -> None:
    with pytest.raises(MoveError, match="There is no database"):
        there.take(tmp_path)


def test_rows_are_brought_in_line_and_no_others_are_touched(tmp_path: Path) -> None:
    source, target = Store(tmp_path / "a"), Store(tmp_path / "b")
    for number in range(1200):
        source.values.set(str(number % 7), f"key {number:04d}", "value" * (number % 5))
    target.values.set("3", "versions", "of the target")
    target.values.set("9", "key", "of nobody")
    copy_rows(source.database, target.database, key_values)
    assert check_table(source.database, key_values) == check_table(target.database, key_values)
    assert check_table(source.database, key_values).rows == 1200
    assert target.values.get("3", "versions") == "of the target" and target.values.get("9", "key") is None
