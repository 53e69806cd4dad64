"""A data folder that is lived in goes to PostgreSQL and S3, whatever ends the move before its end."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.store.files import ObjectFiles, open_files
from adclick_backend.store.moving.contents import contents_of
from adclick_backend.store.moving.move import unfinished
from adclick_backend.store.moving.rows import check_table
from adclick_backend.store.shelves import open_shelf
from adclick_backend.store.tables import METADATA
from adclick_backend.store.versions import Registry
from tests.helpers.backend import Backend
from tests.helpers.lived_in import PROJECT, live_in
from tests.helpers.postgres import PostgresServer
from tests.helpers.s3 import S3Server

pytestmark = pytest.mark.cluster

MOVES, KILLS = int(os.environ.get("ADCLICK_MOVES", "3")), 3


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def lived_in(connected: Backend, tmp_path: Path) -> Path:
    """The data folder of a project that somebody has worked with for a while, without its backend."""
    live_in(connected, tmp_path)
    connected.services.stop()
    return connected.settings.data_dir


class Target:
    """A database and a bucket of one move."""

    def __init__(
        self, postgres: PostgresServer, s3: S3Server, folder: Path, patch: pytest.MonkeyPatch
    ) -> None:
        self.database, self.files, self._folder = postgres.database(), s3.bucket(), folder
        for name, value in s3.environment.items():
            patch.setenv(name, value)

    def start(self, data: Path) -> subprocess.Popen[str]:
        words = ["--data-dir", str(data), "--to-database", self.database, "--to-files", self.files]
        return subprocess.Popen(
            [sys.executable, "-m", "adclick_backend", "move-data", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def run(self, data: Path) -> tuple[int, str, str, float]:
        """Exit status, output, errors, and the seconds since the first sentence."""
        process, began = self.start(data), time.monotonic()
        assert process.stdout is not None
        first = process.stdout.readline()
        began = time.monotonic() if first else began
        out, err = process.communicate(timeout=300)
        return process.returncode, first + out, err, time.monotonic() - began

    def kill(self, data: Path, after_s: float) -> None:
        """Begin, or go on, and kill it so long after its first sentence."""
        process = self.start(data)
        assert process.stdout is not None
        if process.stdout.readline():
            timer = threading.Timer(after_s, process.send_signal, (signal.SIGKILL,))
            timer.start()
        process.communicate(timeout=300)

    def opened(self, number: int) -> tuple[Store, ObjectFiles]:
        files = open_files(Settings(data_dir=self._folder / f"machine-{number}", files_url=self.files))
        assert isinstance(files, ObjectFiles)
        return Store(self._folder / f"machine-{number}", self.database), files


def hash_of(folder: Path) -> str:
    """Of everything in a data folder but the files that SQLite lays beside its own."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith(("-shm", "-wal", ".lock")):
            digest.update(
                f"{path.relative_to(folder)} {path.stat().st_mtime_ns} ".encode() + path.read_bytes()
            )
    return digest.hexdigest()


def assert_all_there(data: Path, target: Target, number: int) -> None:
    """Every row and every file, compared here and not by what moved them."""
    store, files = target.opened(number)
    with closing(store), closing(Store(shutil.copytree(data, target._folder / f"copy-{number}"))) as source:
        for table in METADATA.sorted_tables:
            assert check_table(source.database, table) == check_table(store.database, table), table.name
        sent = {one.name: one.digest().sha256 for contents in contents_of(data) for one in contents.files}
        arrived = {name: files.sha256(name) for name in files.inventory("projects")}
        assert arrived == sent and len(sent) > 40
        assert not unfinished(store)
        here, shelf = (
            Registry(data),
            open_shelf(
                Settings(data_dir=target._folder / f"machine-{number}", files_url=target.files),
                store.values,
                store.locks,
            ),
        )
        there = Registry(data, shelf=shelf)
        assert here.serving_name(PROJECT) == there.serving_name(PROJECT)
        assert [(v.name, v.damage) for v in here.list(PROJECT)] == [
            (v.name, v.damage) for v in there.list(PROJECT)
        ]
        job = store.jobs.enqueue("2", "train", "a person", "Waiting.")
        assert job.id > max(row.id for row in source.jobs.of_project(PROJECT)), "numbers go on"


def test_moves_that_are_killed_at_any_moment_and_resumed_bring_everything(
    lived_in: Path,
    postgres_server: PostgresServer,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, dice = hash_of(lived_in), random.Random(22)
    whole = Target(postgres_server, s3_server, tmp_path, monkeypatch)
    code, out, err, takes_s = whole.run(lived_in)
    assert (code, err) == (0, ""), out + err
    assert out.count(": equal") == len(METADATA.sorted_tables) and "NOT EQUAL" not in out
    assert_all_there(lived_in, whole, 0)
    killed = 0
    for number in range(1, MOVES + 1):
        target = Target(postgres_server, s3_server, tmp_path, monkeypatch)
        for _ in range(KILLS):
            target.kill(lived_in, dice.uniform(0, 0.5 * takes_s))
            with closing(Store(tmp_path / "look", target.database)) as store:
                killed += bool(unfinished(store))
        code, out, err, _ = target.run(lived_in)
        assert (code, err) == (0, ""), out + err
        assert_all_there(lived_in, target, number)
    assert killed >= MOVES, "most were killed while something was still to be done"
    assert hash_of(lived_in) == before, "the folder is as it was"
    print(
        f"{MOVES} moves, killed {KILLS} times each ({killed} times before the end), {takes_s:.1f} s without"
    )


def test_a_target_that_holds_other_data_is_refused(
    lived_in: Path,
    postgres_server: PostgresServer,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Target(postgres_server, s3_server, tmp_path, monkeypatch)
    store, files = target.opened(0)
    with closing(store):
        files.put("projects/9/reports/v1.html", b"somebody's")
        code, _, err, _ = target.run(lived_in)
        assert code == 1 and err.startswith("The object store holds other files under that prefix")
        store.projects.save("9", title="Somebody's")
        code, _, err, _ = target.run(lived_in)
        assert code == 1 and err.startswith("The database holds other data")
        assert store.projects.get("9").title == "Somebody's"
        assert files.path("projects/9/reports/v1.html").read_bytes() == b"somebody's"


def test_a_backend_that_runs_here_or_there_is_said(
    lived_in: Path,
    postgres_server: PostgresServer,
    s3_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Target(postgres_server, s3_server, tmp_path, monkeypatch)
    with closing(Store(lived_in)) as own:
        held = own.locks.try_hold("jobs")
        assert held is not None
        code, _, err, _ = target.run(lived_in)
        held.release()
    assert code == 1 and f"A backend is running with the data folder {lived_in}" in err
    store, _ = target.opened(0)
    with closing(store):
        held = store.locks.try_hold("references")
        assert held is not None
        code, _, err, _ = target.run(lived_in)
        held.release()
        assert code == 1 and "A backend is running with that database" in err
        assert store.projects.all() == []
