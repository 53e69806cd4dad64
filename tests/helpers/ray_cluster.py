"""A Ray cluster on loopback: a head, and nodes that can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.helpers.served import free_port

RAY = Path(sys.executable).with_name("ray")
START_S = 180.0
ROOT = Path(__file__).parents[2]
QUICK = Path(__file__).with_name("quick_ray")
"""First on the module path of every process of Ray."""

# A node gives up when its helpers, a Python process each, take more than 15 s to start on a busy machine.
FIRST = 'echo -10 2>/dev/null >/proc/self/autogroup; exec "$@"'


class RayCluster:
    """A head without a processor of its own, and nodes with one each.

    Args:
        folder: for sockets and logs; a short path.
        environment: variables of all that runs there.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._head = ""
        self._nodes: list[str] = []

    def start_head(self) -> None:
        """Start the head, also once it was killed."""
        words = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        self._head = self._start(words, 0)

    def add_node(self) -> int:
        """Start one more node; its number."""
        self._nodes.append(self._start([f"--address={self.address}"], 1))
        return len(self._nodes) - 1

    def kill_node_of(self, pid: int) -> int:
        """End the node that a process runs on and all that runs there, as a power cut would; its number."""
        number = next(number for number, mark in enumerate(self._nodes) if pid in _marked(mark))
        self.kill_node(number)
        return number

    def runs(self, pid: int) -> bool:
        """Whether a process runs on one of the nodes."""
        return any(pid in _marked(mark) for mark in self._nodes)

    def kill_node(self, number: int) -> None:
        """End a node and all that runs there."""
        _kill(self._nodes[number])

    def kill_head(self) -> None:
        """End the head; its nodes follow when they notice."""
        _kill(self._head)

    def stop(self) -> None:
        """End everything."""
        for mark in (*self._nodes, self._head):
            _kill(mark)

    def _start(self, words: list[str], cpus: int) -> str:
        """Run `ray start`; the mark of all the processes that it left."""
        mark = f"adclick-{time.monotonic_ns()}"
        command = [str(RAY), "start", *words, f"--num-cpus={cpus}", "--object-store-memory=100000000"]
        environment = {
            **os.environ,
            **self._environment,
            "PYTHONPATH": f"{QUICK}:{ROOT}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",
            "MARK": mark,
        }
        done = subprocess.run(
            ["sh", "-c", FIRST, "ray", *command, "--disable-usage-stats"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=START_S,
            start_new_session=True,
        )
        if done.returncode:
            _kill(mark)
            raise RuntimeError(f"Ray did not start: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return mark


def _marked(mark: str) -> set[int]:
    """Processes whose environment has the mark."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            alive = entry.with_name("stat").read_text().rpartition(")")[2].split()[0] != "Z"
            if alive and f"MARK={mark}".encode() in entry.read_bytes():
                found.add(int(entry.parent.name))
    return found


def _kill(mark: str) -> None:
    """End processes with the mark, and what they were about to start."""
    while pids := _marked(mark) if mark else set():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


@contextmanager
def ray_cluster(nodes: int, **environment: str) -> Iterator[RayCluster]:
    """A head with so many nodes, and variables of all that runs there."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    cluster = RayCluster(folder, environment)
    try:
        cluster.start_head()
        for _ in range(nodes):
            cluster.add_node()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
