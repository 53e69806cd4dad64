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
from dataclasses import dataclass, replace
from typing import Any

from adclick_backend import __version__
from adclick_backend.cluster.connection import Cluster, ClusterError, check_release

ANSWER_S = 1.0
"""Seconds that a worker waits for output before it says that there is none."""


KEPT = 4000
"""Bytes of the output of a process that is only shown when it fails."""


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

    def meeting_point(self) -> tuple[str, int]:
        """This node's address as the others reach it, and a port that is free."""
        from ray.util import get_node_ip_address

        with socket.create_server(("", 0)) as free:
            return str(get_node_ip_address()), int(free.getsockname()[1])

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


def run_together(
    cluster: Cluster,
    program: Program,
    count: int,
    write: Callable[[bytes], object],
    waiting: Callable[[str], object],
) -> int:
    """Run a program so many times at once, as ``torchrun`` would, wherever there is room; its exit status.

    Each finds the others by the variables RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. The output of the
    first is passed on, and that of whichever fails. When one ends badly, all are ended.

    Args:
        cluster: that was joined.
        program: to be run.
        count: how many times.
        write: gets the output, as it comes.
        waiting: told about every second why they have not begun yet.

    Raises:
        WorkerLost: a node is gone.
        ClusterError: there is never room for all of them.
    """
    size = {"cpus": program.cpus, "gpus": program.gpus}
    if (most := cluster.most(**size)) < count:
        raise ClusterError(
            f"{count} processes were asked for, and the Ray cluster has room for {most} of them: ask for fewer, or add "
            "nodes."
        )
    workers = [cluster.start(RemoteProcess, **size) for _ in range(count)]
    try:
        meeting = workers[0].meeting_point.remote()
        while not cluster.finished([meeting], ANSWER_S):
            waiting(cluster.why_waiting(**size))
        host, port = cluster.result(meeting)
        begun = []
        for rank, worker in enumerate(workers):
            place = {
                "RANK": rank,
                "WORLD_SIZE": count,
                "LOCAL_RANK": 0,
                "MASTER_ADDR": host,
                "MASTER_PORT": port,
            }
            environment = {**program.environment, **{name: str(value) for name, value in place.items()}}
            begun.append(worker.begin.remote(replace(program, environment=environment), __version__))
        while len(cluster.finished(begun, ANSWER_S)) < count:
            waiting(cluster.why_waiting(**size))
        nodes = [cluster.result(answer) for answer in begun]
        write(f"Runs on {', '.join(nodes)}.\n".encode())
        return _until_all_end(cluster, workers, write)
    finally:
        for worker in workers:
            cluster.end(worker)


def _until_all_end(cluster: Cluster, workers: Sequence[Any], write: Callable[[bytes], object]) -> int:
    """Wait for all; the exit status of the first that ends badly, else 0."""
    said = [b""] * len(workers)
    asked = {worker.more.remote(): rank for rank, worker in enumerate(workers)}
    while asked:
        for answer in cluster.finished(list(asked), ANSWER_S):
            rank = asked.pop(answer)
            output, status = cluster.result(answer)
            if rank == 0:
                write(output)
            said[rank] = (said[rank] + output)[-KEPT:]
            if status:
                if rank:
                    write(b"The process of rank %d ended with status %d:\n%s" % (rank, status, said[rank]))
                return int(status)
            if status is None:
                asked[workers[rank].more.remote()] = rank
    return 0
