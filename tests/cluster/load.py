"""``python -m tests.cluster.load``: what annotators wait for at one, two and four backends, as a Markdown table.

Each annotator opens an image, looks, and clicks four times into it, again and again. The network sleeps as long as it
computes on two cores (`tests.helpers.sleeping_backend`): so what is measured is everything else, nginx, PostgreSQL and
the object store among it, and that backends do not get into each other's way. With ``--real`` it is the network of the
preset `lite`, and all of them share the processor of this machine.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import cv2
import numpy as np

from tests.helpers.backend import HEIGHT, WIDTH, point
from tests.helpers.postgres import PostgresServer
from tests.helpers.s3 import S3Server
from tests.helpers.several_backends import Client, SeveralBackends

GOOD = 4
CLICKS = 4
IMAGES = 2000
REFERENCES_S = 8.0
SPOT = (WIDTH // 3, HEIGHT // 3)
SLEEPING, REAL = ("-m", "tests.helpers.sleeping_backend"), ("-m", "adclick_backend")


class Annotator(threading.Thread):
    """Somebody at work until told to stop.

    Args:
        client: of the URL that Label Studio knows.
        number: of the annotator, from 0.
        images: hands out images that nobody has opened yet, by number.
        pace: by which pauses are divided.
        end: monotonic seconds.
    """

    def __init__(self, client: Client, number: int, images: Iterator[int], pace: float, end: float) -> None:
        super().__init__(name=f"annotator-{number}")
        self.waits: dict[str, list[float]] = {"open": [], "click": []}
        self.errors: list[str] = []
        self.unproposed = 0  # tasks that were opened without a mask, each of which has a spot
        self._client, self._images, self._pace, self._end = client, images, pace, end
        self._chance = random.Random(number)

    def run(self) -> None:
        self._pause(8.0)
        while time.monotonic() < self._end:
            task = next(self._images)
            try:
                self._label(task)
            except Exception as error:
                self.errors.append(f"task {task}: {error!r}")

    def _label(self, task: int) -> None:
        name = f"defect-{task}.png"
        started = time.monotonic()
        self.unproposed += self._client.open(task, name) is None
        self.waits["open"].append(time.monotonic() - started)
        self._pause(3.0)
        points = []
        for number in range(CLICKS):
            points.append(point(SPOT[0] + number, SPOT[1], name=f"{task}-{number}"))
            started = time.monotonic()
            answer = self._client.click(task, name, points)
            self.waits["click"].append(time.monotonic() - started)
            if not answer.get("result"):
                self.errors.append(f"task {task}: click {number + 1} got no mask")
            self._pause(1.5)
        self._pause(3.0)

    def _pause(self, seconds: float) -> None:
        pause = self._chance.expovariate(1 / seconds) / self._pace
        time.sleep(max(0.0, min(pause, self._end - time.monotonic())))


def draw(folder: Path) -> None:
    """Write the good images, and `IMAGES` with a red spot, each another one."""
    for number in range(GOOD):
        cv2.imwrite(str(folder / f"good-{number}.png"), np.full((HEIGHT, WIDTH, 3), 90 + number, np.uint8))
    for number in unopened():
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        cv2.circle(image, SPOT, HEIGHT // 8, (0, 0, 200), -1)
        image[-1, -1, :2] = divmod(number, 256)
        cv2.imwrite(str(folder / f"defect-{number}.png"), image)


def unopened() -> Iterator[int]:
    """The numbers of the images with a spot."""
    return iter(range(GOOD + 1, GOOD + 1 + IMAGES))


@contextmanager
def served(
    folder: Path, count: int, shared: bool, program: Sequence[str] = SLEEPING, *, by_task: bool = True
) -> Iterator[SeveralBackends]:
    """Backends that know the good images: with PostgreSQL and an object store, or one as it is by default."""
    if not shared:
        with SeveralBackends(folder, count, program) as backends:
            yield _taught(backends)
        return
    with PostgresServer() as postgres, S3Server() as s3:
        settings = {"ADCLICK_DATABASE_URL": postgres.database(), "ADCLICK_FILES_URL": s3.bucket()}
        settings |= s3.environment
        with SeveralBackends(folder, count, program, by_task=by_task, **settings) as backends:
            yield _taught(backends)


def _taught(backends: SeveralBackends) -> SeveralBackends:
    draw(backends.images)
    client = Client(backends.url)
    client.setup()
    for number in range(GOOD):
        if not client.mark(number + 1, f"good-{number}.png").ok:
            raise RuntimeError(f"A good image could not be marked: {backends.log(0)[-2000:]}")
    time.sleep(REFERENCES_S)  # they become references
    return backends


def row(
    backends: SeveralBackends,
    images: Iterator[int],
    annotators: int,
    count: int,
    seconds: float,
    pace: float,
    name: str,
) -> str:
    """Let annotators work and say how it went."""
    end = time.monotonic() + seconds
    people = [Annotator(Client(backends.url), number, images, pace, end) for number in range(annotators)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    cells = []
    for what, factor, unit in (("open", 1, "s"), ("click", 1000, "ms")):
        cuts = quantiles([wait for person in people for wait in person.waits[what]], n=20)
        shown = [f"{factor * cuts[place]:.{1 if unit == 's' else 0}f}" for place in (9, 18)]
        cells.append(f"{' / '.join(shown)} {unit}")
    errors = [error for person in people for error in person.errors]
    for error in errors[:5]:
        print(error, file=sys.stderr)
    clicks = sum(len(person.waits["click"]) for person in people)
    unproposed = sum(person.unproposed for person in people)
    return f"| {name} | {annotators} | {count} | {cells[0]} | {cells[1]} | {clicks} | {unproposed} | {len(errors)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.load", description=__doc__)
    parser.add_argument("--annotators", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--backends", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of work for a row (default: %(default)s)"
    )
    parser.add_argument(
        "--pace", type=float, default=1.0, help="by which pauses are divided (default: %(default)s)"
    )
    parser.add_argument(
        "--in-turn",
        action="store_true",
        help="nginx sends each request to the next backend, also of one task",
    )
    parser.add_argument("--real", action="store_true", help="the network computes")
    args = parser.parse_args()
    print(
        "| kept in | annotators | backends | open p50 / p95 | click p50 / p95 | clicks | without a mask | errors |"
    )
    print("|---|---|---|---|---|---|---|---|")
    kinds = [(1, False), *((count, True) for count in args.backends)]
    for count, shared in kinds:
        name = "PostgreSQL, S3" if shared else "SQLite, folder"
        with (
            tempfile.TemporaryDirectory(prefix="adclick-load-") as folder,
            served(
                Path(folder), count, shared, REAL if args.real else SLEEPING, by_task=not args.in_turn
            ) as backends,
        ):
            images = unopened()
            for annotators in args.annotators:
                print(row(backends, images, annotators, count, args.seconds, args.pace, name), flush=True)


if __name__ == "__main__":
    main()
