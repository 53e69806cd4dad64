"""The mishaps of the day, one function each, and the order in which they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.soak import plan
from tests.soak.client import Client
from tests.soak.clock import Clock
from tests.soak.disk import SmallDisk
from tests.soak.record import Record
from tests.soak.server import Server, kill
from tests.soak.slow_clients import SlowClients

JOB_S = 45.0  # that a training may take to begin


class Due(NamedTuple):
    """What is done at a time of the day, in seconds; an action may take a while, the next one then comes later."""

    at: float
    act: Callable[[], None]


class Mishaps:
    """Plays what goes wrong to a server; each method takes as long as its mishap, but for kills and the clock."""

    def __init__(
        self, server: Server, client: Client, disk: SmallDisk, clock: Clock, record: Record, lasts: float
    ) -> None:
        self._server, self._client, self._disk, self._clock = server, client, disk, clock
        self._record, self._lasts = record, lasts

    def kill_worker(self) -> None:
        """One of two workers goes, with whatever it was answering."""
        workers = sorted(self._server.workers(), key=lambda process: process.resident_mb)
        if not workers:
            self._record.leave_out("no worker could be killed: there was none.")
            return
        self._record.open_window(plan.WORKER_KILLED, lasts=plan.AFTER_KILL_S)
        kill(workers[-1].pid)

    def kill_master(self) -> None:
        """The master goes, and a supervisor starts the server again."""
        window = self._record.open_window(plan.MASTER_KILLED, lasts=plan.AWAY_S)
        try:
            back = self._server.kill_master()
        except TimeoutError as error:
            self._record.note(str(error))
            return
        window.ended = window.began + min(max(back, plan.AFTER_KILL_S), plan.AWAY_S)
        self._record.note(f"/health answered {back:.1f} s after the master was killed")

    def kill_training(self) -> None:
        """The process of the training goes, once there is one."""
        deadline = time.monotonic() + JOB_S
        while not (jobs := self._server.jobs()) and time.monotonic() < deadline:
            time.sleep(0.5)
        if not jobs:
            self._record.leave_out(f"no training could be killed: none ran within {JOB_S:.0f} s.")
            return
        self._record.open_window("training killed", lasts=plan.AFTER_KILL_S, excuses=False)
        for job in jobs:
            kill(job.pid)

    def train(self) -> None:
        """Somebody presses *Start Training*."""
        taken = self._client.start_training()
        self._record.note("Start Training was " + ("pressed" if taken else "refused"))

    def step_clock(self) -> None:
        """The server's clock is put forward."""
        if self._clock.why_not:
            self._record.leave_out(f"{self._clock.why_not}.")
            return
        self._clock.step()
        self._record.open_window("clock +15 min", lasts=self._lasts)

    def fill_disk(self) -> None:
        """The disk of the data folder is full for a while."""
        if self._disk.why_not:
            self._record.leave_out(f"{self._disk.why_not}.")
            return
        with self._record.window("disk full"):
            self._disk.stay_full(threading.Event(), self._lasts)

    def be_slow(self, seconds: float) -> None:
        """Slow clients call, and drip."""
        clients = SlowClients(self._client.url, plan.SLOW_CLIENTS, self._client.auth)
        with self._record.window("slow clients", excuses=False), clients.dripping():
            time.sleep(seconds)
        self._record.note(f"{plan.SLOW_CLIENTS} slow clients called {clients.calls} times")

    def of(self, day: plan.Plan) -> list[Due]:
        """All of them, in order."""
        slow_s = max(plan.LEAST_SLOW_S, day.at(plan.SLOW_CLIENTS_GO) - day.at(plan.SLOW_CLIENTS_COME))
        kills = {"worker": self.kill_worker, "master": self.kill_master, "training": self.kill_training}
        due = [Due(day.at(share), kills[what]) for what, share in plan.KILLS]
        due += [Due(day.at(share), self.train) for share in (plan.TRAINING, plan.TRAINING_AGAIN)]
        due += [
            Due(day.at(plan.SLOW_CLIENTS_COME), lambda: self.be_slow(slow_s)),
            Due(day.at(plan.CLOCK_STEP), self.step_clock),
            Due(day.at(plan.FULL_DISK), self.fill_disk),
        ]
        return sorted(due)


def play(due: Sequence[Due], record: Record, end: float) -> None:
    """Do each thing in its time, and go on until the end, or a little longer when the last thing came late."""
    for at, act in due:
        time.sleep(max(at - record.now, 0.0))
        act()
        time.sleep(plan.GAP_S)
    time.sleep(max(0.0, end - record.now, plan.AFTER_KILL_S if due else 0.0))
