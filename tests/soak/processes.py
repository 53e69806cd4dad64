"""Every process of the server, found by a mark in its environment: a job outlives the worker that started it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MARK = "SOAK_RUN"


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it; memory in MB."""

    pid: int
    parent: int
    command: str
    resident_mb: float

    @property
    def is_job(self) -> bool:
        """Whether it does the work of a job, such as a training."""
        return " --job " in self.command


def marked(mark: str) -> list[Process]:
    """Every process that was started with ``MARK=mark`` in its environment, and lives."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            lines = (folder / "status").read_text().splitlines()
        except OSError:  # it ended just now, or is somebody else's
            continue
        fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        if "VmRSS" in fields:  # not of a process that is dead and was not waited for
            memory = int(fields["VmRSS"][0]) / 1000
            found.append(Process(int(folder.name), int(fields["PPid"][0]), command, memory))
    return found
