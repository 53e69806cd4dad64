"""What glibc does with freed memory."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adclick_backend import cli
from adclick_backend.commands import serve

WORK = """
import json, resource, threading
import numpy as np
from adclick_backend.heap import keep_freed_memory

def work():
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [np.ones(16 * 2**20, np.uint8) for _ in range(10)]
        del blocks
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

keep_freed_memory()
faults = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps(faults))
"""
"""Takes and frees 160 MB five times, in a thread as the engine does, and counts the pages that had to be filled."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_memory_that_was_freed_is_there_for_the_next_image() -> None:
    found = subprocess.run([sys.executable, "-c", WORK], capture_output=True, check=True, text=True)
    first, *others = json.loads(found.stdout)
    assert max(others) < first / 10


def test_a_server_that_gunicorn_starts_begins_with_it(tmp_path: Path) -> None:
    words = "from adclick_backend import heap; heap.keep_freed_memory = lambda: print('kept'); "
    found = subprocess.run(
        [sys.executable, "-c", f"{words}import adclick_backend._wsgi; print('made')"],
        env={**os.environ, "ADCLICK_DATA_DIR": str(tmp_path)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert found.stdout.split() == ["kept", "made"]


def test_every_command_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: done.append("kept"))
    monkeypatch.setattr(serve, "run", lambda args: done.append("served") or 0)
    assert cli.main(["serve"]) == 0
    assert done == ["kept", "served"]
