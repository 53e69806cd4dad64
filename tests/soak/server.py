"""The server under test: started as a person does, killed, and started again as a supervisor does."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import requests

from tests.helpers.documents import ROOT
from tests.helpers.served import free_port
from tests.soak.processes import MARK, Process, marked

UP_S = 120.0
_FOREIGN = (
    "ADCLICK_",
    "LABEL_STUDIO_",
    "BASIC_AUTH_",
    "LOCAL_FILES_",
    "PROMETHEUS_",
    "PORT",
    "WORKERS",
    "THREADS",
)


class Server:
    """``adclick serve`` on a free loopback port.

    Args:
        data: its data folder.
        log: file that takes what it prints.
        environment: settings, and what else it shall be started with.

    Attributes:
        masters: process ids of all masters so far.
        fell: how often it ended by itself.
    """

    def __init__(self, data: Path, log: Path, environment: Mapping[str, str]) -> None:
        self.log, self._mark, port = log, secrets.token_hex(8), free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self._environment = {
            **own,
            "MALLOC_ARENA_MAX": "2",  # as `make run` sets it
            "PYTHONFAULTHANDLER": "1",  # the log says where a process was that a signal of its own doing ended
            "PYTHONPATH": str(ROOT),
            "ADCLICK_DATA_DIR": str(data),
            "ADCLICK_HOST": "127.0.0.1",
            "PORT": str(port),
            MARK: self._mark,
            **environment,
        }
        self._master: subprocess.Popen[bytes] | None = None
        self.masters: list[int] = []
        self.fell = 0
        self._lock = threading.Lock()  # of what starts it

    def start(self) -> float:
        """Start it, again and again while the port is still taken; seconds until /health answered.

        Raises:
            TimeoutError: it did not answer.
        """
        began = time.monotonic()
        while time.monotonic() - began < UP_S:
            with self.log.open("ab") as log:
                command = [sys.executable, "-m", "adclick_backend", "serve"]
                self._master = subprocess.Popen(
                    command, env=self._environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )
                self.masters.append(self._master.pid)
            while self._master.poll() is None and time.monotonic() - began < UP_S:
                if self.workers() and self._is_healthy():
                    return time.monotonic() - began
                time.sleep(0.2)
            time.sleep(1.0)
        raise TimeoutError(f"The server did not answer /health within {UP_S:.0f} s; see {self.log}.")

    def stop(self) -> None:
        """End it in good order, and kill what is left."""
        if self._master is not None and self._master.poll() is None:
            self._master.terminate()
            try:
                self._master.wait(40)
            except subprocess.TimeoutExpired:
                self._master.kill()
        for process in self.processes():
            kill(process.pid)

    def keep_up(self, stop: threading.Event, say: Callable[[str], None]) -> None:
        """Do what a supervisor does, until told to stop: start it again whenever it ended by itself."""
        while not stop.wait(1.0):
            with self._lock:
                if self._master is None or self._master.poll() is None:
                    continue
                self.fell += 1
                say(f"the server ended by itself, with status {self._master.returncode}")
                try:
                    say(f"/health answered {self.start():.1f} s after that")
                except TimeoutError as error:
                    say(str(error))

    def kill_master(self) -> float:
        """SIGKILL; its workers are left to themselves, and it is started again. Returns what `start` does."""
        with self._lock:
            if self._master is not None:
                kill(self._master.pid)
                self._master.wait()
            return self.start()

    def processes(self) -> list[Process]:
        """The master, its workers, the processes of jobs, and what was left over by those that were killed."""
        return marked(self._mark)

    def workers(self) -> list[Process]:
        """The workers of the master that serves."""
        master = self._master.pid if self._master else 0
        return [one for one in self.processes() if one.parent == master and not one.is_job]

    def jobs(self) -> list[Process]:
        """The processes of jobs."""
        return [one for one in self.processes() if one.is_job]

    def _is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False


def kill(pid: int) -> None:
    """SIGKILL, if there is such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
