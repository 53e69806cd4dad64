"""What happened, second by second: requests, windows of mishaps, samples of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from tests.soak.images import LEAST_IOU

What = Literal["open", "click", "submit", "health", "train"]
UNSENT = ("connection refused", "connection broken")  # problems that say nothing of how long an answer takes


@dataclass(frozen=True)
class Asked:
    """A request and what came of it; times in seconds of the day.

    Attributes:
        problem: what a person saw instead of an answer; "" when all was well.
        iou: of the mask that came back with the stain of the task; None without a mask to compare.
        silent: the task's image lies on a host that never answers, so that no mask is due, but an answer is.
    """

    what: What
    began: float
    ended: float
    task: int = 0
    problem: str = ""
    iou: float | None = None
    silent: bool = False

    @property
    def foreign(self) -> bool:
        """Whether a click was answered with a mask that is not of the task's image."""
        return self.what == "click" and self.iou is not None and self.iou < LEAST_IOU


@dataclass
class Window:
    """Something that goes on from ``began`` to ``ended``, in seconds of the day.

    Attributes:
        excuses: whether a click may fail meanwhile. The server is not to be impressed by hosts that never answer, by
            slow clients or by a training.
    """

    name: str
    began: float
    ended: float = float("inf")
    excuses: bool = True

    def overlaps(self, began: float, ended: float) -> bool:
        """Whether it went on at any time of a request."""
        return self.began <= ended and began <= self.ended


class Sample(NamedTuple):
    """Resident memory at a time of the day: of all processes, and of the server's without those of jobs, in MB."""

    at: float
    all_mb: float
    server_mb: float


class Spread(NamedTuple):
    """Seconds that a kind of request took."""

    number: int
    p50: float
    p95: float
    most: float


def spread(seconds: Sequence[float]) -> Spread:
    """Median, 95th percentile and maximum; not a number when there are none."""
    if not len(seconds):
        return Spread(0, float("nan"), float("nan"), float("nan"))
    p50, p95 = np.percentile(seconds, [50, 95])
    return Spread(len(seconds), float(p50), float(p95), float(max(seconds)))


@dataclass
class Record:
    """Everything that was seen. Safe to share between threads, which only append."""

    asked: list[Asked] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    acknowledged: set[int] = field(default_factory=set)
    """Ids of annotations of which the webhook was answered with 2xx."""
    left_out: list[str] = field(default_factory=list)
    _start: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        """The day begins now, with no request on its way; what was acknowledged and left out before stays written."""
        with self._lock:
            self._start = time.monotonic()
            self.asked, self.samples, self.notes = [], [], []

    @property
    def now(self) -> float:
        """Seconds since the day began; no step of a clock changes it."""
        return time.monotonic() - self._start

    def add(self, asked: Asked) -> None:
        """A request has ended."""
        with self._lock:
            self.asked.append(asked)

    def note(self, sentence: str) -> None:
        """Write down, and say, what happens."""
        self.notes.append((self.now, sentence))
        print(f"{self.now:6.0f} s  {sentence}", flush=True)

    def leave_out(self, sentence: str) -> None:
        """Something of the day cannot be played here."""
        self.left_out.append(sentence)
        self.note(f"Left out: {sentence}")

    def open_window(self, name: str, *, excuses: bool = True, lasts: float = float("inf")) -> Window:
        """Something begins, and goes on until its end is set or ``lasts`` seconds are over."""
        window = Window(name, self.now, self.now + lasts, excuses)
        self.windows.append(window)
        self.note(f"{name} ...")
        return window

    @contextmanager
    def window(self, name: str, *, excuses: bool = True) -> Iterator[Window]:
        """Something goes on inside the block."""
        window = self.open_window(name, excuses=excuses)
        try:
            yield window
        finally:
            window.ended = self.now
            self.note(f"... {name}: over")

    def during(self, asked: Asked) -> list[Window]:
        """What went on at any time of a request."""
        return [window for window in self.windows if window.overlaps(asked.began, asked.ended)]

    def excused(self, asked: Asked) -> bool:
        """Whether a mishap explains that the request failed."""
        return any(window.excuses for window in self.during(asked))

    def seconds(
        self, what: What, began: float = 0.0, ended: float = float("inf"), *, silent: bool = False
    ) -> list[float]:
        """How long the requests of a kind took that began in a time of the day, refused and broken ones left out."""
        return [
            one.ended - one.began
            for one in self.asked
            if one.what == what
            and one.silent == silent
            and began <= one.began < ended
            and one.problem not in UNSENT
        ]
