"""Copies of the database, and putting one back (row "backup/restore")."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adclick_backend import cli
from adclick_backend.store import Store, StoreError
from adclick_backend.store.backups import KEPT, BackupError, back_up, backups, check, is_due, restore
from adclick_backend.store.tables import SCHEMA
from tests.helpers.backend import Backend, annotation, point, task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    made = Store(folder)
    made.values.set("1", "key", "before")
    yield made
    made.close()


def kept_value(file: Path) -> str:
    with closing(sqlite3.connect(file)) as database:
        return str(database.execute("SELECT value FROM key_values WHERE key = 'key'").fetchone()[0])


def damage(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def test_everything_is_served_again_after_a_restore(tmp_path: Path) -> None:
    """Labels, references and versions, end to end: backed up, lost, restored by the commands, started again."""
    backend = Backend(tmp_path)
    backend.setup()
    backend.webhook("PROJECT_UPDATED")
    image = backend.draw("a.png", [(10, 10, 200)])
    good = backend.draw("good.png")
    backend.webhook("ANNOTATION_CREATED", annotation=annotation(3), task={"id": 5, "data": {"image": good}})
    backend.work()
    backend.serve_version()
    data = backend.settings.data_dir
    copy = tmp_path / "copy.sqlite3"
    assert cli.main(["backup", str(copy), "--data-dir", str(data)]) == 0
    counts = backend.services.labels.details("1")
    backend.close()
    damage(data / "adclick.sqlite3")
    with pytest.raises(StoreError, match="is damaged"):
        Backend(tmp_path)
    assert cli.main(["restore", str(copy), "--data-dir", str(data)]) == 0
    again = Backend(tmp_path)
    assert again.services.labels.details("1") == counts
    assert counts.normal == 1
    assert [one.state for one in again.services.store.references.of_project("1")] == ["ready"]
    version = again.services.registry.current("1")
    assert version and version.name == "v1"
    clicked = again.click(task(image), [point(10, 10)]).json["results"][0]
    assert clicked["result"] and clicked["model_version"].endswith("v1")
    assert again.engine.clicked[-1][1].references
    again.close()
    assert len(list(data.glob("adclick.sqlite3.replaced-*"))) == 1


def test_a_copy_holds_what_is_still_in_the_log_and_only_its_owner_reads_it(
    store: Store, folder: Path
) -> None:
    store.values.set("1", "key", "latest")
    assert (folder / "adclick.sqlite3-wal").stat().st_size > 0
    copy = back_up(folder)
    assert copy.parent == folder / "backups"
    assert kept_value(copy) == "latest"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    check(copy)


def test_a_copy_made_while_others_write_is_sound(store: Store, folder: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            store.values.set("1", f"key {number % 500}", "x" * 2000)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            check(back_up(folder, folder / f"copy-{number}.sqlite3"))
    finally:
        stop.set()
        writer.join()


def test_a_few_copies_are_kept(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(KEPT + 3):
        monkeypatch.setattr(time, "strftime", lambda form, day=day: f"202611{day:02}-030000")
        back_up(folder)
    assert len(backups(folder)) == KEPT
    assert backups(folder)[0].name == f"adclick-202611{KEPT + 2:02}-030000.sqlite3"


def test_one_copy_is_made_each_day_by_itself(tmp_path: Path) -> None:
    """By the one worker that holds the lock of the references."""
    backend = Backend(tmp_path)
    data, keeper = backend.settings.data_dir, backend.services.keeper
    for expected in (1, 1):
        keeper._swept = -1e9
        backend.work()
        assert len(backups(data)) == expected
    assert not is_due(data)
    os.utime(backups(data)[0], (1e9, 1e9))
    assert is_due(data)
    backend.close()


def test_a_disk_that_is_nearly_full_keeps_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend(tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**7, 10**7))
    backend.services.keeper._swept = -1e9
    backend.work()
    assert backups(backend.settings.data_dir) == []
    (problem,) = backend.services.store.problems.latest("")
    assert "No copy of the database was made: it needs" in problem.sentence
    assert "of 10 MB that are free" in problem.sentence
    backend.close()


def test_nothing_half_written_stays(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("adclick_backend.store.backups.flush", fail)
    with pytest.raises(BackupError, match="could not be copied"):
        back_up(folder)
    assert list((folder / "backups").iterdir()) == []


def test_a_file_that_exists_is_not_written_over(store: Store, folder: Path) -> None:
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(BackupError, match="exists already"):
        back_up(folder, folder / "mine.txt")
    assert (folder / "mine.txt").read_text() == "mine"


def test_the_replaced_database_is_kept_with_its_log(store: Store, folder: Path) -> None:
    copy = back_up(folder)
    program = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute(\"UPDATE key_values SET value = 'after' WHERE key = 'key'\")\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder / "adclick.sqlite3")], check=True)
    store.close()
    kept = restore(folder, copy)
    assert kept and kept_value(kept) == "after"
    assert kept_value(folder / "adclick.sqlite3") == "before"
    assert not list(folder.glob(".adclick*"))


def test_a_running_backend_is_not_restored_under_its_hands(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    copy = back_up(folder)
    backend = Backend(tmp_path)
    backend.services.jobs.start()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            restore(folder, copy)
        except BackupError as error:
            assert "A backend is running with the data folder" in str(error)
            break
        time.sleep(0.05)
    else:
        pytest.fail("it was restored")
    backend.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: file.write_text("no database " * 500), "is damaged, or no database"),
        (damage, "is damaged"),
        (lambda file: None, "but not one of ADClick"),
        (lambda file: _set_version(file, SCHEMA + 1), "was written by a newer ADClick"),
    ],
)
def test_what_is_no_sound_copy_changes_nothing(
    store: Store, folder: Path, tmp_path: Path, make: object, said: str
) -> None:
    copy = tmp_path / "copy.sqlite3"
    if said == "but not one of ADClick":
        with closing(sqlite3.connect(copy)) as other:
            other.execute("CREATE TABLE notes (text TEXT)")
    else:
        back_up(folder, copy)
        make(copy)  # type: ignore[operator]
    store.close()
    with pytest.raises(BackupError, match=said):
        restore(folder, copy)
    assert kept_value(folder / "adclick.sqlite3") == "before"
    assert not list(folder.glob("*.replaced-*"))


def _set_version(file: Path, version: int) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA user_version = {version}")


def test_a_damaged_database_is_called_that_and_the_last_copy_is_named(store: Store, folder: Path) -> None:
    copy = back_up(folder)
    store.close()
    (folder / "adclick.sqlite3").write_text("no database " * 500)
    with pytest.raises(StoreError) as raised:
        Store(folder)
    assert f"The database {folder / 'adclick.sqlite3'} is damaged (file is not a database)" in str(
        raised.value
    )
    assert f"adclick restore {copy}" in str(raised.value)


def test_a_database_that_is_damaged_while_it_is_used_is_said_on_health(tmp_path: Path) -> None:
    backend = Backend(tmp_path)
    backend.setup()
    data = backend.settings.data_dir
    back_up(data)
    backend.services.store.close()
    with (data / "adclick.sqlite3").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 400_000)
    answer = backend.webhook("START_TRAINING", stranger=True)
    assert answer.status_code == 503
    assert "is damaged" in backend.client.get("/health").json["reason"]
    assert "adclick restore" in backend.client.get("/health").json["reason"]


def test_a_database_that_others_could_read_is_tightened_at_the_start(store: Store, folder: Path) -> None:
    file = folder / "adclick.sqlite3"
    beside = [file, *(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in beside} == {0o600}
    for path in beside:
        path.chmod(0o644)
    Store(folder).close()
    assert {stat.S_IMODE(path.stat().st_mode) for path in beside if path.exists()} == {0o600}


def test_a_database_of_postgresql_is_left_to_its_own_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADCLICK_DATABASE_URL", "postgresql://user:secret@db/adclick")
    for command in (["backup"], ["restore", str(tmp_path / "copy.sqlite3")]):
        assert cli.main(command) == 1
        said = capsys.readouterr().err
        assert "pg_dump" in said and "pg_restore" in said and "secret" not in said
