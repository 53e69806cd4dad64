"""SQLite files that may be thrown away: whatever lies in their place, work goes on."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from adclick_backend.lock_file import locked
from adclick_backend.store.scratch import ScratchFile

SCHEMA = "CREATE TABLE notes (name TEXT PRIMARY KEY, text TEXT NOT NULL)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.sqlite3"


def add(file: ScratchFile, *names: str) -> None:
    file.write(
        lambda db: db.executemany("INSERT INTO notes VALUES (?, ?)", [(name, name * 50) for name in names])
    )


def names(file: ScratchFile) -> list[str]:
    return file.read(
        lambda db: [name for name, _ in db.execute("SELECT name, text FROM notes ORDER BY name")]
    )


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_what_is_written_is_there_the_next_time(path: Path) -> None:
    add(ScratchFile(path, 3, SCHEMA), "a")
    assert names(ScratchFile(path, 3, SCHEMA)) == ["a"]
    assert version(path) == 3


def test_a_file_from_before_there_were_versions_is_taken_over(path: Path) -> None:
    run(
        path,
        "CREATE TABLE IF NOT EXISTS notes (\n  name TEXT PRIMARY KEY,\n  text TEXT NOT NULL\n)",
        "INSERT INTO notes VALUES ('old', 'kept')",
    )
    assert version(path) == 0
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "new")
    assert names(file) == ["new", "old"]
    assert version(path) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE notes (name TEXT PRIMARY KEY)",
        "CREATE TABLE notes (name TEXT, text TEXT NOT NULL)",
        "CREATE TABLE other (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
    ],
)
def test_a_file_without_a_version_and_with_other_tables_is_replaced(path: Path, statement: str) -> None:
    run(path, statement)
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "new")
    assert names(file) == ["new"]


@pytest.mark.parametrize("found", [1, 3, 2**31 - 1, -1])
def test_a_file_of_another_version_older_or_newer_is_replaced(path: Path, found: int) -> None:
    """Its table may be called the same: what the columns mean is not known."""
    run(path, SCHEMA, "INSERT INTO notes VALUES ('theirs', 'x')", f"PRAGMA user_version = {found}")
    file = ScratchFile(path, 2, SCHEMA)
    assert names(file) == []
    add(file, "new")
    assert names(file) == ["new"]
    assert version(path) == 2


def text(data: bytes) -> bytes:
    return b"this is no database, " * 100


def nothing(data: bytes) -> bytes:
    return b""


def half(data: bytes) -> bytes:
    return data[: len(data) // 2 - 100]


def a_torn_page(data: bytes) -> bytes:
    """The first page, and with it the version, is sound."""
    return data[:4096] + b"\xff" * (len(data) - 4096)


def a_torn_schema(data: bytes) -> bytes:
    return data[:100] + b"\0" * 3996 + data[4096:]


def a_later_format(data: bytes) -> bytes:
    return data[:18] + b"\x09\x09" + data[20:]


@pytest.mark.parametrize("damage", [text, nothing, half, a_torn_page, a_torn_schema, a_later_format])
def test_a_damaged_file_is_replaced(path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = ScratchFile(path, 1, SCHEMA)
    add(file, *(f"{i:03}" for i in range(300)))
    path.write_bytes(damage(path.read_bytes()))
    add(file, "new")
    assert names(file) == ["new"]
    assert version(path) == 1


def test_the_log_of_a_damaged_file_does_not_get_into_the_new_one(path: Path) -> None:
    """A killed process leaves a -wal; what is in it belongs to the file that is gone."""
    file = ScratchFile(path, 1, SCHEMA)
    add(file, *(f"{i:03}" for i in range(300)))
    program = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute(\"INSERT INTO notes VALUES ('killed', 'x')\")\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)
    log = path.with_name("notes.sqlite3-wal")
    assert log.stat().st_size > 0
    path.write_bytes(b"no database" * 1000)
    assert names(file) == []
    add(file, "new")
    assert names(file) == ["new"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_replaced_file_is_told_in_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("no database" * 100)
    names(ScratchFile(path, 1, SCHEMA))
    assert caplog.messages == [
        f"{path} cannot be used (file is not a database) and is replaced by an empty file."
    ]


def test_a_file_that_is_locked_for_long_is_not_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "a")
    monkeypatch.setattr(ScratchFile, "BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            add(file, "b")
    assert names(file) == ["a"]


def test_a_full_disk_is_no_reason_to_replace_a_file(path: Path) -> None:
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "a")

    def fill(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1")
        db.execute("INSERT INTO notes VALUES ('b', ?)", ("x" * 100_000,))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        file.write(fill)
    assert names(file) == ["a"]


def test_work_that_fails_leaves_nothing_behind(path: Path) -> None:
    file = ScratchFile(path, 1, SCHEMA)

    def fail(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO notes VALUES ('half', '')")
        raise ValueError

    with pytest.raises(ValueError):
        file.write(fail)
    assert names(file) == []


def test_a_file_is_not_replaced_under_the_hands_of_somebody(path: Path) -> None:
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "a")
    reading, go_on, replaced = threading.Event(), threading.Event(), threading.Event()

    def read(db: sqlite3.Connection) -> None:
        reading.set()
        go_on.wait()

    def write() -> None:
        add(file, "new")
        replaced.set()

    threads = [threading.Thread(target=file.read, args=(read,)), threading.Thread(target=write)]
    threads[0].start()
    assert reading.wait(10)
    path.write_bytes(b"no database" * 1000)
    threads[1].start()
    too_early = replaced.wait(0.3)
    go_on.set()
    for thread in threads:
        thread.join()
    assert not too_early
    assert names(file) == ["new"]


def processes(path: Path, versions: list[int], count: int) -> list[subprocess.CompletedProcess[str]]:
    """Processes that begin at once, each adding ``count`` notes to the file of its version."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from adclick_backend.lock_file import locked\n"
        "from adclick_backend.store.scratch import ScratchFile\n"
        "path, worker, version, count, schema = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5]), sys.argv[5]\n"
        "print('ready', flush=True)\n"
        "with locked(path.with_name('start'), shared=True):\n"
        "    pass\n"
        "for i in range(count):\n"
        "    note = (f'{worker} {i}', 'x')\n"
        "    ScratchFile(path, version, schema).write(lambda db: db.execute('INSERT INTO notes VALUES (?, ?)', note))\n"
    )
    with locked(path.with_name("start")):
        started = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(path), str(worker), str(version), str(count), SCHEMA],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for worker, version in enumerate(versions)
        ]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *said)
        for process in started
        for said in [process.communicate(timeout=120)]
    ]


@pytest.mark.parametrize("before", [b"", b"no database" * 1000, "newer"])
def test_processes_that_find_it_unusable_at_once_replace_it_once(path: Path, before: bytes | str) -> None:
    """Nothing that one of them wrote into the new file is lost to another that comes to replace it."""
    if isinstance(before, bytes):
        path.write_bytes(before)
    else:
        run(path, SCHEMA, "PRAGMA user_version = 2")
    done = processes(path, [1] * 4, 10)
    assert [process.stderr for process in done if process.returncode] == []
    assert len(names(ScratchFile(path, 1, SCHEMA))) == 40
    assert sum(process.stderr.count("replaced") for process in done) == (0 if before == b"" else 1)


def test_two_releases_side_by_side_both_go_on(path: Path) -> None:
    done = processes(path, [1, 2, 1, 2], 15)
    assert [process.stderr for process in done if process.returncode] == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_a_folder_in_the_place_of_a_file_is_moved_aside(
    path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in it may be somebody's."""
    folder = path.with_name(path.name + suffix)
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "new")
    assert names(ScratchFile(path, 1, SCHEMA)) == ["new"]
    (aside,) = path.parent.glob(f"{folder.name}.in-the-way-*")
    assert (aside / "mine.txt").read_text() == "mine"
    assert "is replaced by an empty file" in caplog.text


def test_a_log_without_its_file_or_of_another_one_is_thrown_away(path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"\xff" * 40_000)
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "new")
    assert names(file) == ["new"]


def test_a_file_that_this_user_may_not_write_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another owner, in a folder that can be written."""
    file = ScratchFile(path, 1, SCHEMA)
    add(file, "theirs")
    attempt, theirs = ScratchFile._attempt, path.stat().st_ctime_ns

    def refuse(self: ScratchFile, work: Callable[[sqlite3.Connection], object]) -> object:
        if path.exists() and path.stat().st_ctime_ns == theirs:
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return attempt(self, work)

    monkeypatch.setattr(ScratchFile, "_attempt", refuse)
    add(file, "new")
    assert names(file) == ["new"]


def test_work_goes_on_in_memory_and_comes_back_to_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19, where no small disk can be mounted: what was there is known, what was deleted
    meanwhile stays deleted, and what others wrote stays."""
    now = [0.0]
    file = ScratchFile(path, 1, SCHEMA, clock=lambda: now[0])
    add(file, "a", "b")
    attempt = ScratchFile._attempt

    def fail(self: ScratchFile, work: Callable[[sqlite3.Connection], object]) -> object:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(ScratchFile, "_attempt", fail)
    add(file, "c")
    file.write(lambda db: db.execute("DELETE FROM notes WHERE name = 'a'"))
    assert names(file) == ["b", "c"]
    with pytest.raises(sqlite3.IntegrityError):
        add(file, "d", "c")
    assert names(file) == ["b", "c"]
    monkeypatch.setattr(ScratchFile, "_attempt", attempt)
    assert names(ScratchFile(path, 1, SCHEMA)) == ["a", "b"]
    add(ScratchFile(path, 1, SCHEMA), "other")
    now[0] += ScratchFile.MEMORY_S
    assert names(file) == ["b", "c", "other"]
    assert names(ScratchFile(path, 1, SCHEMA)) == ["b", "c", "other"]
