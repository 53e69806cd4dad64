"""The course of the day, from an empty data folder to the report."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from adclick_backend.store import Store, StoreError
from tests.helpers.fake_label_studio import PERSONAL_TOKEN
from tests.helpers.silent_server import SilentServer
from tests.soak import kept, logs
from tests.soak.client import CONFIG, Client, normal_choice
from tests.soak.clock import Clock
from tests.soak.dashboard import Dashboard, synchronise
from tests.soak.disk import SmallDisk
from tests.soak.findings import Findings, find
from tests.soak.label_studio import PROJECT, SoakLabelStudio
from tests.soak.mishaps import Mishaps, play
from tests.soak.people import Annotator
from tests.soak.plan import Plan
from tests.soak.record import Record
from tests.soak.report import write
from tests.soak.server import UP_S, Server
from tests.soak.watch import Watch

REFERENCES = 8
READY_S = 180.0
SILENT_HOSTS = 2
DISK_CACHE_MB = 200  # of a data folder that has to fit into a small file system

Found = TypeVar("Found")


class Day:
    """One day with one server.

    Args:
        plan: its length.
        out: empty folder for the report, the server's log and the data folder.
        workers: processes of the server.
        annotators: people at work.
    """

    def __init__(self, plan: Plan, out: Path, workers: int, annotators: int) -> None:
        self._plan, self._out = plan, out
        self._workers, self._annotators = workers, annotators
        self._record = Record()
        self._auth = ("soak", secrets.token_urlsafe(16))

    def play(self) -> Findings:
        """Play it, and write the report."""
        record, plan = self._record, self._plan
        with ExitStack() as stack:
            hosts = [stack.enter_context(SilentServer()) for _ in range(SILENT_HOSTS)]
            label_studio = SoakLabelStudio(CONFIG, [host.url for host in hosts])
            stack.enter_context(label_studio)
            disk = stack.enter_context(SmallDisk(self._out / "data"))
            clock = Clock(self._out / "clock")
            server = Server(disk.folder, self._out / "server.log", self._settings(label_studio, hosts, clock))
            stack.callback(lambda: clock.sweep(server.masters))
            stack.callback(server.stop)
            client = Client(server.url, self._auth, record)
            self._set_up(server, client, label_studio, disk.folder)
            mishaps = Mishaps(server, client, disk, clock, record, plan.mishap_s)
            self._work(server, client, label_studio, mishaps)
            record.note(f"the data folder holds {disk.used_mb:.0f} MB")
            if all(not host.connections for host in hosts):
                record.leave_out("no image was asked of a silent host.")
            return self._end(server, label_studio, disk.folder)

    def _settings(
        self, label_studio: SoakLabelStudio, hosts: list[SilentServer], clock: Clock
    ) -> dict[str, str]:
        return {
            "WORKERS": str(self._workers),
            "BASIC_AUTH_USER": self._auth[0],
            "BASIC_AUTH_PASS": self._auth[1],
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": PERSONAL_TOKEN,
            "ADCLICK_IMAGE_HOSTS": ",".join(host.netloc for host in hosts),
            "ADCLICK_DISK_CACHE_MB": str(DISK_CACHE_MB),
            **clock.environment,
        }

    def _set_up(self, server: Server, client: Client, label_studio: SoakLabelStudio, data: Path) -> None:
        """Start, connect, and wait until the first references are in use."""
        self._record.note(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the start")
        self._record.note(f"/health answered {server.start():.1f} s after the start")
        client.set_up(label_studio.url, PERSONAL_TOKEN)
        for _ in range(REFERENCES):
            task = label_studio.add_task("normal")
            client.submit(*_in_order(label_studio, task))
        store = Store(data)
        try:
            deadline = time.monotonic() + READY_S
            while len(store.references.bank(str(PROJECT), "")) < REFERENCES:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{REFERENCES} references were not ready; see {server.log}.")
                time.sleep(0.5)
        finally:
            store.close()

    def _work(self, server: Server, client: Client, label_studio: SoakLabelStudio, mishaps: Mishaps) -> None:
        """The working day itself, quiet first."""
        record, plan = self._record, self._plan
        silent, over, unwatched = threading.Event(), threading.Event(), threading.Event()
        people = [
            Annotator(i, client, label_studio, silent, over, plan.settle_s) for i in range(self._annotators)
        ]
        watch = Watch(server, client, record, unwatched)
        supervisor = threading.Thread(target=server.keep_up, args=(unwatched, record.note), daemon=True)
        record.begin()
        record.note(
            f"{self._annotators} annotators come; quiet from {plan.settle_s:.0f} to {plan.at(0):.0f} s"
        )
        for person in people:
            person.start()
        watch.start()
        supervisor.start()
        try:
            play([], record, plan.at(0))
            silent.set()
            with record.window("silent hosts", excuses=False):
                play(mishaps.of(plan), record, plan.at(1))
        finally:
            over.set()
            for person in people:
                person.join(120)
            unwatched.set()
            watch.join()
            supervisor.join(UP_S)

    def _end(self, server: Server, label_studio: SoakLabelStudio, data: Path) -> Findings:
        """Compare labels, look through the logs, write the report."""
        truth, told = label_studio.annotations, self._record.acknowledged
        before = self._tried(lambda: kept.read(data, told, truth))
        said = self._tried(lambda: synchronise(data, Dashboard(server.url, self._auth)))
        server.stop()
        for file in data.glob("adclick.sqlite3*"):  # the file system below it goes with the day
            shutil.copy(file, self._out)
        after = self._tried(lambda: kept.read(data, told, truth))
        basic = base64.b64encode(":".join(self._auth).encode()).decode()
        hidden = [("the password", self._auth[1]), ("the password", basic), ("the API key", PERSONAL_TOKEN)]
        hidden += [("an access token", token) for token in label_studio.access_tokens]
        findings = find(
            self._record,
            self._plan,
            before=before,
            after=after,
            synchronised=said or "Nothing: it could not be pressed.",
            fell=server.fell,
            jobs=self._tried(lambda: kept.jobs(data)) or [],
            log=logs.look_through([server.log, *data.glob("projects/*/jobs/*/log.txt")], hidden),
        )
        write(self._out, self._record, findings)
        return findings

    def _tried(self, read: Callable[[], Found]) -> Found | None:
        """What was read of the data folder; None, and a note, when it is damaged."""
        try:
            return read()
        except (sqlite3.Error, StoreError, OSError) as error:
            self._record.note(f"The data folder cannot be read: {error}")
            return None


def _in_order(
    label_studio: SoakLabelStudio, task: dict[str, object]
) -> tuple[str, dict[str, object], dict[str, object]]:
    action, annotation = label_studio.save(task, [normal_choice()])
    return action, task, annotation
