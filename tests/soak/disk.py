"""A small file system of its own for the data folder, which can be filled up."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType

SIZE_MB = 2000
BALLAST_MB = 32
_BLOCKS = (2**22, 2**16, 2**12)  # bytes; large ones first, small ones for what they leave


class SmallDisk:
    """A tmpfs at ``folder``, where that can be mounted; an ordinary folder elsewhere. A context manager.

    Before it is filled up it is made small, so that the file that fills it takes no more memory than ``BALLAST_MB``.

    Attributes:
        why_not: why it cannot be filled up; "" when it can.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.why_not = folder, ""
        self._ballast = folder / "ballast"

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir(parents=True)
        if os.geteuid() != 0:
            self.why_not = "a full disk needs root, who may mount a small file system"
            return self
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "soak", str(self.folder)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            self.why_not = f"a small file system for a full disk cannot be mounted ({said.strip()})"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)

    @property
    def used_mb(self) -> float:
        """What is taken."""
        return shutil.disk_usage(self.folder).used / 1e6

    def stay_full(self, until: threading.Event, seconds: float) -> None:
        """Fill it up, and again whatever is given back, for so many seconds or until the event; then free it."""
        self._resize(int(self.used_mb * 1e6 / 2**20) + BALLAST_MB)
        try:
            with self._ballast.open("wb", buffering=0) as ballast:
                for _ in range(max(1, int(seconds / 0.2))):
                    _fill(ballast.fileno())
                    if until.wait(0.2):
                        break
        finally:
            self._ballast.unlink(missing_ok=True)
            self._resize(SIZE_MB)

    def _resize(self, size_mb: int) -> None:
        command = ["mount", "-o", f"remount,size={size_mb}m", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)


def _fill(file: int) -> None:
    for size in _BLOCKS:
        block = bytes(size)
        try:
            while os.write(file, block) == size:
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
