"""A program that runs on whichever node of the cluster has room, with its output as if it ran here."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from adclick_backend import __version__
from adclick_backend.cluster.connection import Cluster, check_release

ANSWER_S = 1.0
"""Seconds that a worker waits for output before it says that there is none."""


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        words: arguments of the Python interpreter of the node.
        given: written to its standard input, which then stays open; where the program is watched over, it ends when
            that closes.
        environment: variables besides those of the node.
        cpus: processors that it is given.
        gpus: of the node's graphics cards, those that it sees.
    """

    words: Sequence[str]
    given: bytes
    environment: Mapping[str, str]
    cpus: int
    gpus: int = 0


class RemoteProcess:
    """In a worker of the cluster: one program, which ends with the worker."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._output: queue.Queue[bytes] = queue.Queue()

    def begin(self, program: Program, release: str) -> str:
        """Start it; answers the node's name.

        Raises:
            ClusterError: another release is installed here.
        """
        node = socket.gethostname()
        check_release(release, node)
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, *program.words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )
        threading.Thread(target=self._read, name="read-output", daemon=True).start()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # it died at once; `more` says so
                self._process.stdin.write(program.given)
                self._process.stdin.flush()
        return node

    def more(self) -> tuple[bytes, int | None]:
        """What it has written since, and its exit status once it is over: negative when a signal ended it."""
        process, found = self._process, []
        if process is None:
            raise RuntimeError("The program was not begun.")
        with suppress(queue.Empty):
            found.append(self._output.get(timeout=ANSWER_S))
            while True:
                found.append(self._output.get_nowait())
        if b"" not in found:
            return b"".join(found), None
        with suppress(ProcessLookupError):  # what it started and left behind
            os.killpg(process.pid, signal.SIGKILL)
        return b"".join(found), process.wait()

    def _read(self) -> None:
        """Pass on what it writes; b"" is the end."""
        if self._process is None or self._process.stdout is None:
            return
        while chunk := os.read(self._process.stdout.fileno(), 1 << 16):
            self._output.put(chunk)
        self._output.put(b"")


def run_remotely(
    cluster: Cluster, program: Program, write: Callable[[bytes], object], waiting: Callable[[str], object]
) -> int:
    """Run a program on a node and pass on what it writes; its exit status.

    Args:
        cluster: that was joined.
        program: to be run.
        write: gets its output, as it comes.
        waiting: told about every second why it has not begun yet; may raise, which ends the wait.

    Raises:
        WorkerLost: its node is gone.
        ClusterError: no node can run it.
    """
    worker = cluster.start(RemoteProcess, cpus=program.cpus, gpus=program.gpus)
    try:
        begun = worker.begin.remote(program, __version__)
        while not cluster.finished([begun], ANSWER_S):
            waiting(cluster.why_waiting(cpus=program.cpus, gpus=program.gpus))
        write(f"Runs on the node {cluster.result(begun)} of the Ray cluster.\n".encode())
        while True:
            output, status = cluster.result(worker.more.remote())
            write(output)
            if status is not None:
                return int(status)
    finally:
        cluster.end(worker)
