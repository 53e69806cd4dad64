"""How many backends and workers a number of annotators and images needs: a simulation from measured times.

Run ``python -m adclick_backend.latency.sizing``. Each backend computes one thing at a time, in the times measured on
two cores; an image that is being opened gives way to a click after a step of the work. Requests go to the backend of
their task. Every click is written to the database, which lets one writer in at a time. What is not simulated: Label
Studio itself, the network, and the server of the images.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles

CLICK, OPEN = 0, 1  # the lower is answered first

DAY_S = 86_400.0


@dataclass(frozen=True)
class Figures:
    """What was measured, and how a person works; all times in seconds.

    Attributes:
        open: a backend of two cores prepares an image and proposes its masks.
        step: of that work; a click waits for the end of one.
        click: it answers a click in an opened image.
        write: of one transaction, during which no other backend writes.
        clicks: in an image, on average.
        pause: between two clicks of a person.
        look: from a finished image until the next one is opened.
        image: of work for a proposal without a person, on one core.
    """

    open: float = 0.74
    step: float = 0.06
    click: float = 0.08
    write: float = 0.004
    clicks: float = 4.0
    pause: float = 1.5
    look: float = 6.0
    image: float = 1.1


@dataclass(frozen=True)
class Waits:
    """What annotators waited for, in seconds, and the share of the time in which something worked.

    Attributes:
        opened: p50 and p95 from an image that is opened until its proposal is there.
        clicked: p50 and p95 from a click until its mask.
        backends: mean share over the backends.
        database: share in which somebody wrote.
        images: finished in an hour, by all annotators.
    """

    opened: tuple[float, float]
    clicked: tuple[float, float]
    backends: float
    database: float
    images: float


@dataclass
class _Person:
    """An annotator: what was asked for last, of which backend, and what is left of it and of the image."""

    backend: _Backend
    kind: int = OPEN
    asked: float = 0.0
    to_do: float = 0.0  # seconds of work
    clicks: int = 0  # to come in this image


@dataclass
class _Backend:
    """Serves a request at a time: of those that wait, the one of the lower kind that came first."""

    waiting: list[tuple[int, int, _Person]] = field(default_factory=list)  # kind, order, who asked
    turn: tuple[int, int, _Person] | None = None  # the one that is being served
    worked: float = 0.0


class _Day:
    """Annotators at their backends, event by event; only what happens after ``begin`` counts."""

    def __init__(self, annotators: int, backends: int, figures: Figures, begin: float, seed: int) -> None:
        self.figures, self.begin = figures, begin
        self.chance = random.Random(seed)
        self.backends = [_Backend() for _ in range(backends)]
        self.waits: dict[int, list[float]] = {OPEN: [], CLICK: []}
        self.images, self.written = 0, 0.0
        self._order, self._free_to_write = 0, 0.0
        self._events: list[tuple[float, int, _Person, bool]] = []  # time, order, who, whether a step is done
        for _ in range(annotators):
            first = self.chance.uniform(0, figures.look + figures.clicks * figures.pause)
            self._later(first, _Person(self.backends[0]), False)

    def run(self, until: float) -> None:
        """What happens until then."""
        while self._events and self._events[0][0] < until:
            now, _, person, done = heapq.heappop(self._events)
            if done:
                self._step_done(person, now)
            else:
                self._ask(person, now)

    def _ask(self, person: _Person, now: float) -> None:
        if person.kind == OPEN:
            person.backend = self.chance.choice(self.backends)
            person.clicks = 1 + int(self.chance.expovariate(1 / max(self.figures.clicks - 0.5, 0.01)))
        person.asked = now
        person.to_do = self.figures.open if person.kind == OPEN else self.figures.click
        self._order += 1
        heapq.heappush(person.backend.waiting, (person.kind, self._order, person))
        self._serve(person.backend, now)

    def _serve(self, backend: _Backend, now: float) -> None:
        """Begin the next step, if nothing is being computed."""
        if backend.turn is not None or not backend.waiting:
            return
        backend.turn = kind, _, person = heapq.heappop(backend.waiting)
        took = person.to_do if kind == CLICK else min(self.figures.step, person.to_do)
        person.to_do -= took
        done = now + took
        if kind == CLICK:  # written when it is computed, one backend after the other
            done = self._free_to_write = max(done, self._free_to_write) + self.figures.write
        if now >= self.begin:
            backend.worked += done - now
            self.written += self.figures.write * (kind == CLICK)
        self._later(done, person, True)

    def _step_done(self, person: _Person, now: float) -> None:
        backend = person.backend
        turn, backend.turn = backend.turn, None
        if turn is not None and person.to_do > 1e-9:
            heapq.heappush(backend.waiting, turn)
        else:
            self._answered(person, now)
        self._serve(backend, now)

    def _answered(self, person: _Person, now: float) -> None:
        if person.asked >= self.begin:
            self.waits[person.kind].append(now - person.asked)
        person.clicks -= person.kind == CLICK
        person.kind = CLICK if person.clicks else OPEN
        self.images += person.kind == OPEN and now >= self.begin
        pause = self.figures.pause if person.kind == CLICK else self.figures.look
        self._later(now + self.chance.expovariate(1 / pause), person, False)

    def _later(self, moment: float, person: _Person, done: bool) -> None:
        self._order += 1
        heapq.heappush(self._events, (moment, self._order, person, done))


def simulate(
    annotators: int, backends: int, figures: Figures | None = None, seconds: float = 3600.0, seed: int = 0
) -> Waits:
    """Annotators work on images of their own for a while, after a tenth of it in which everything fills up.

    Args:
        annotators: at work all the time.
        backends: behind one URL.
        figures: what was measured; the defaults by default.
        seconds: that are looked at.
        seed: of the pauses, which are exponential, and of which backend has which image.

    Raises:
        ValueError: there is no annotator or no backend.
    """
    if annotators < 1 or backends < 1:
        raise ValueError(f"{annotators} annotators and {backends} backends: at least one of each is needed.")
    day = _Day(annotators, backends, figures or Figures(), seconds / 10, seed)
    day.run(seconds * 1.1)
    return Waits(
        _spread(day.waits[OPEN]),
        _spread(day.waits[CLICK]),
        min(1.0, sum(backend.worked for backend in day.backends) / backends / seconds),
        day.written / seconds,
        day.images * 3600 / seconds,
    )


def days(images: int, workers: int, figures: Figures | None = None) -> float:
    """How many days proposals for a number of images take with workers of one core each."""
    return images * (figures or Figures()).image / workers / DAY_S


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """p50 and p95; 0 where nobody waited for anything."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 0.0)
    cuts = quantiles(values, n=20)
    return cuts[9], cuts[18]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m adclick_backend.latency.sizing", description=__doc__)
    measured = Figures()
    for name, value in vars(measured).items():
        parser.add_argument(f"--{name}", type=float, default=value, help="default: %(default)s")
    parser.add_argument("--annotators", type=int, nargs="+", default=[4, 16, 64, 200])
    parser.add_argument("--backends", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 16, 64, 256])
    args = parser.parse_args()
    figures = Figures(**{name: getattr(args, name) for name in vars(measured)})
    print(
        "| annotators | backends | open p50 / p95 | click p50 / p95 | backends busy | database | images an hour |"
    )
    print("|---|---|---|---|---|---|---|")
    for annotators in args.annotators:
        for backends in args.backends:
            found = simulate(annotators, backends, figures)
            print(
                f"| {annotators} | {backends} | {found.opened[0]:.1f} / {found.opened[1]:.1f} s "
                f"| {found.clicked[0] * 1000:.0f} / {found.clicked[1] * 1000:.0f} ms | {found.backends:.0%} "
                f"| {found.database:.1%} | {found.images:.0f} |"
            )
    print()
    print(f"| images | {' | '.join(f'{workers} workers' for workers in args.workers)} |")
    print(f"|---|{'---|' * len(args.workers)}")
    for images in args.images:
        cells = " | ".join(f"{days(images, workers, figures):.1f} days" for workers in args.workers)
        print(f"| {images:,} | {cells} |".replace(",", " "))


if __name__ == "__main__":
    main()
