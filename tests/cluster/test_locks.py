"""Locks between machines, which a PostgreSQL database keeps."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from adclick_backend.jobs.queue import Jobs
from adclick_backend.settings import Settings
from adclick_backend.store import DiskError, Store
from adclick_backend.store.locks import DatabaseLocks
from tests.helpers.postgres import PostgresServer
from tests.helpers.references import wait_for

pytestmark = pytest.mark.cluster

HOLD = """
import sys
from pathlib import Path
from adclick_backend.store import Store
store = Store(Path(sys.argv[1]), sys.argv[2])
held = store.locks.try_hold("jobs")
print("held" if held else "refused", flush=True)
sys.stdin.read()
"""


def test_a_lock_of_another_process_ends_when_that_is_killed(tmp_path: Path, postgres: str) -> None:
    store = Store(tmp_path / "here", postgres)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "there"), postgres],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert store.locks.try_hold("jobs") is None
        other = store.locks.try_hold("references")
        assert other is not None
        other.release()
        process.kill()
    found = []
    assert wait_for(lambda: bool(found.append(store.locks.try_hold("jobs")) or found[-1]))
    found[-1].release()
    store.close()


def test_who_holds_a_lock_is_waited_for(tmp_path: Path, postgres: str) -> None:
    store, done = Store(tmp_path, postgres), threading.Event()

    def other() -> None:
        with store.locks.hold("projects/3/models/"):
            done.set()

    thread = threading.Thread(target=other)
    with store.locks.hold("projects/3/models/"):
        thread.start()
        assert not done.wait(0.3)
    thread.join(5)
    assert done.is_set()
    store.close()


def test_a_lock_is_lost_when_the_database_goes_away_and_had_again_afterwards(
    tmp_path: Path, postgres: str, postgres_server: PostgresServer
) -> None:
    stores = [Store(tmp_path / name, postgres) for name in ("here", "there")]
    held = stores[0].locks.try_hold("jobs")
    assert held is not None and not held.lost()
    postgres_server.stop()
    try:
        assert held.lost()
        with pytest.raises(DiskError, match="cannot be reached"):
            stores[1].locks.try_hold("jobs")
    finally:
        postgres_server.start()
    assert held.lost()
    again = stores[1].locks.try_hold("jobs")
    assert again is not None and not again.lost()
    held.release()
    assert stores[0].locks.try_hold("jobs") is None
    again.release()
    for store in stores:
        store.close()


@pytest.mark.parametrize("broken", [False, True])
def test_who_gets_no_lock_leaves_no_connection_open(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    holding, asking = (Store(tmp_path / name, postgres) for name in ("here", "there"))
    held = holding.locks.try_hold("jobs")
    assert held is not None
    asking.locks.close()  # its process ends, while one of its threads still asks
    if broken:
        monkeypatch.setattr(DatabaseLocks, "ALONE_S", ("no number",) * 3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(SQLAlchemyError) if broken else nullcontext():
            assert asking.locks.try_hold("jobs") is None
        asking.database.close()
        del asking
        gc.collect()
    assert [str(one.message) for one in said] == []
    held.release()
    holding.close()


WAITS = """
import json, sys
from pathlib import Path
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.jobs.control import JobControl
from adclick_backend.jobs.files import JobFiles

settings = Settings(**json.loads(sys.stdin.readline()))
store = Store(settings.data_dir, settings.database_url)
control = JobControl(store, JobFiles(settings.data_dir), store.jobs.find(int(sys.argv[sys.argv.index("--job") + 1])))
control.report("Learning.", 0.4, "training")
sys.stdin.read()
"""


def test_one_of_two_machines_runs_jobs_and_one_that_was_cut_off_ends_in_words(
    tmp_path: Path, postgres: str, postgres_server: PostgresServer
) -> None:
    machines = []
    for name in ("one", "two"):
        settings = Settings(data_dir=tmp_path / name, database_url=postgres)
        store = Store(settings.data_dir, postgres)
        store.disk.watch = True
        machines.append((store, Jobs(store, settings, (sys.executable, "-c", WAITS))))
    for _, jobs in machines:
        jobs.start()
    _, asked = machines[1]

    def state(number: int) -> str:
        with suppress(DiskError):  # the server does not take everybody at once
            return asked.get("1", number).state
        return ""

    job = asked.enqueue("1", "train", "dashboard")
    assert asked.enqueue("1", "train", "dashboard").id == job.id
    assert wait_for(lambda: state(job.id) == "training")
    postgres_server.stop()
    postgres_server.start()
    assert wait_for(lambda: state(job.id) == "failed")
    assert "start it again" in asked.get("1", job.id).message
    again = asked.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state(again.id) == "training")
    for _, jobs in machines:
        jobs.stop()
    for (
        thread
    ) in threading.enumerate():  # who looks whether the database is back opens connections of its own
        if thread.name == "disk-watch":
            thread.join(60)
            assert not thread.is_alive(), "the database is back, and nobody noticed"
    for store, _ in machines:
        store.close()
