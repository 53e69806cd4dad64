"""Locks by name between processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from adclick_backend.store.locks import FileLocks

HOLD = """
import sys
from pathlib import Path
from adclick_backend.store.locks import FileLocks
held = FileLocks(Path(sys.argv[1])).try_hold("jobs")
print("held" if held else "refused", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_by_one_and_given_back(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path / "data")
    held = locks.try_hold("jobs")
    assert held is not None and not held.lost()
    assert (tmp_path / "data" / "jobs.lock").is_file()
    assert locks.try_hold("jobs") is None
    other = locks.try_hold("references")
    assert other is not None
    held.release()
    again = locks.try_hold("jobs")
    assert again is not None
    again.release()
    other.release()


def test_a_lock_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    """Reliability row 18."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        locks = FileLocks(tmp_path)
        assert locks.try_hold("jobs") is None
        process.kill()
    held = locks.try_hold("jobs")
    assert held is not None
    held.release()


def test_who_holds_a_lock_is_waited_for(tmp_path: Path) -> None:
    locks, done = FileLocks(tmp_path), threading.Event()

    def other() -> None:
        with FileLocks(tmp_path).hold("projects/3/models/"):
            done.set()

    thread = threading.Thread(target=other)
    with locks.hold("projects/3/models/"):
        thread.start()
        assert not done.wait(0.1)
    thread.join(5)
    assert done.is_set() and (tmp_path / "projects" / "3" / "models" / ".lock").is_file()
