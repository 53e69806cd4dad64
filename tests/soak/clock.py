"""The clock of the server alone, which can be put forward; that of the machine is never touched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.helpers.documents import ROOT

STEP_S = 15 * 60
_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


class Clock:
    """libfaketime in front of the C library of every process that gets :attr:`environment`.

    Times of files are ahead as much as the clock is, those from before the step as well.

    Args:
        file: holds by how much the clock is ahead.

    Attributes:
        why_not: why it cannot be stepped; "" when it can.
    """

    def __init__(self, file: Path) -> None:
        found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
        self.why_not = (
            "" if found else "a step of the clock needs libfaketime (Debian: apt-get install faketime)"
        )
        self.environment: dict[str, str] = {}
        self._file = file
        if found:
            self._put(0)
            self.environment = {
                "LD_PRELOAD": str(found[0]),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_CACHE_DURATION": "1",  # seconds until a process has read the file again
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",  # the name of older releases
                "PYTHONPATH": f"{ROOT}:{Path(__file__).with_name('preloaded')}",
            }

    def step(self) -> None:
        """Put it forward by ``STEP_S``."""
        self._put(STEP_S)

    def sweep(self, masters: Iterable[int]) -> None:
        """Delete what libfaketime leaves in shared memory when the process that began it is killed."""
        for pid in masters:
            for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
                (Path("/dev/shm") / name).unlink(missing_ok=True)

    def _put(self, seconds: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"+{seconds}\n")
        new.replace(self._file)  # nobody reads half of it
