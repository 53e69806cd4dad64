"""Reliability rows 18 and 19: whatever happens while a file is written, it is the old one or the new one."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from model.checkpoint import atomic
from model.checkpoint.atomic import LEFTOVER_AGE_S, SPARE_BYTES, replacing, sweep_leftovers, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from model.checkpoint.atomic import replacing

with replacing(Path(sys.argv[1])) as half:
    half.write_bytes(b"the first half of")
    os.kill(os.getpid(), signal.SIGKILL)
"""

WRITER = """
import sys
from pathlib import Path
from model.checkpoint.atomic import write_atomically

sys.stdin.readline()
for _ in range(60):
    write_atomically(Path(sys.argv[1]), sys.argv[2].encode() * 300_000, durable=False)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_can_be_computed_again_leaves_room_for_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19: no cache and no training takes the last of a disk."""
    free = SPARE_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    write_atomically(tmp_path / "cache", b"enough", durable=False)
    free -= 1
    with pytest.raises(OSError, match="the last 64 MB are left to labels") as caught:
        write_atomically(tmp_path / "other", b"too little", durable=False)
    assert caught.value.errno == errno.ENOSPC
    write_atomically(tmp_path / "label", b"whatever is left")
    assert names(tmp_path) == ["cache", "label"]


def test_a_file_is_made_with_its_folder_and_then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for data in (b"one", b"two"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert names(path.parent) == ["file"]


def test_a_process_that_is_killed_while_writing_leaves_the_file_before(tmp_path: Path) -> None:
    """Reliability row 18: and what it left is swept once it is old."""
    path = tmp_path / "file"
    write_atomically(path, b"before")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    (half,) = (tmp_path / name for name in names(tmp_path) if name != "file")
    sweep_leftovers(tmp_path)
    assert half.exists(), "somebody may be writing it"
    long_ago = half.stat().st_mtime - LEFTOVER_AGE_S - 1
    os.utime(half, (long_ago, long_ago))
    others = [tmp_path / name for name in (".lock", ".hidden.txt", "old.0123abcd")]
    for other in others:
        other.touch()
        os.utime(other, (long_ago, long_ago))
    sweep_leftovers(tmp_path)
    assert names(tmp_path) == sorted(["file", *(other.name for other in others)])


def test_two_processes_write_one_file_at_once_and_nobody_reads_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"0" * 300_000)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter], stdin=subprocess.PIPE, text=True)
        for letter in "ab"
    ]
    for writer in writers:
        assert writer.stdin
        print(file=writer.stdin, flush=True)
    while any(writer.poll() is None for writer in writers):
        ((_, count),) = Counter(path.read_bytes()).items()
        assert count == 300_000
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_full_disk_leaves_the_file_before_and_nothing_beside_it(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 19."""
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def full(self: Path, *_: object) -> None:
        if step == "write_bytes":
            with self.open("wb") as file:
                file.write(b"as much as fit")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    monkeypatch.undo()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def test_what_fails_while_writing_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write() -> None:
        with replacing(path) as half:
            half.write_bytes(b"half")
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write()
    assert names(tmp_path) == []


def test_what_must_last_is_flushed_before_it_is_renamed_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "file", list[tuple[str, bool]]()
    flush = atomic.flush

    def told(what: Path) -> None:
        flushed.append(("folder" if what == tmp_path else "file", path.exists()))
        flush(what)

    monkeypatch.setattr(atomic, "flush", told)
    write_atomically(path, b"cache", durable=False)
    path.unlink()
    assert flushed == []
    write_atomically(path, b"data")
    assert flushed == [("file", False), ("folder", True)]
