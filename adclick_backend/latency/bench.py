"""``make bench``: what a person waits for, measured through HTTP on drawn images.

``python -m adclick_backend.latency.bench [--quick]`` prints Markdown tables: the proposal of an opened task, opening
and clicking at once, first and further clicks, for two image sizes and 1, 4 and 16 annotators, by part for one;
resident memory; tiny defects in large images; how opening grows with the number of references; and what a training
takes, with the clicks while it runs.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import requests
from numpy.typing import NDArray

from adclick_backend.benchmark.protocol import Answer, click_through
from adclick_backend.latency.memory import resident_mb
from adclick_backend.latency.session import BackendSession
from adclick_backend.latency.while_training import train
from model.clicks import Click

SIZES = {"1 MP": (1000, 1000), "12 MP": (4000, 3000)}  # width, height
ANNOTATORS = (1, 4, 16)
REFERENCES = 10
GROWTH = (0, 1, 10, 100, 1_000, 10_000)
WAITS = ("proposal", "open", "first click", "click")
FURTHER = 5  # clicks after the first one
LABELLED = 50  # images of a training
TINY = 20  # diameter of tiny defects, in pixels of an image of 12 MP


def draw(path: Path, width: int, height: int, seed: int, defect: bool) -> None:
    """Write a JPEG of a brushed plate with a bolt, in a slightly different place each time, perhaps with a stain."""
    rng = np.random.default_rng(seed)
    grain = cv2.resize(rng.normal(0, 12, (height // 2, 40)).astype(np.float32), (width, height))
    image = np.repeat(135 + grain[..., None], 3, axis=2).astype(np.float32)
    centre = (width // 2 + int(rng.integers(-9, 9)), height // 2 + int(rng.integers(-9, 9)))
    cv2.circle(image, centre, height // 5, (205.0, 200.0, 190.0), -1)
    if defect:
        cv2.ellipse(
            image, (width // 4, height // 3), (height // 22, height // 40), 30, 0, 360, (70.0, 50.0, 40.0), -1
        )
    noisy = image + rng.normal(0, 4, (height, width, 1))
    cv2.imwrite(str(path), np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])


class Annotator:
    """One person: opens images and clicks, and keeps the time of everything."""

    def __init__(self, session: BackendSession, project: str, size: tuple[int, int], settle_s: float):
        self.session, self.project, self.size, self.settle_s = session, project, size, settle_s
        self.seconds: dict[str, list[float]] = {what: [] for what in WAITS}

    def label(self, image: Path, task: int, *, at_once: bool) -> None:
        """Open an image and click; ``at_once`` without giving the backend time to prepare it."""
        x, y = self.size[0] / 4, self.size[1] / 3
        clicks = [Click(x, y, True)]
        started = time.perf_counter()
        self.session.open(self.project, image, task)
        if at_once:
            self._click(image, task, clicks)
            self.seconds["open"].append(time.perf_counter() - started)
            return
        self.seconds["proposal"].append(time.perf_counter() - started)
        time.sleep(self.settle_s)
        self._timed("first click", lambda: self._click(image, task, clicks))
        for i in range(FURTHER):
            clicks.append(Click(x + 3 * i, y + 5 + i, i % 2 == 0))
            self._timed("click", lambda: self._click(image, task, clicks))

    def _click(self, image: Path, task: int, clicks: list[Click]) -> None:
        if not self.session.click(self.project, image, task, clicks, self.size).any():
            raise RuntimeError(
                f"No mask came back for {image.name}; see {self.session.folder / 'server.log'}."
            )

    def _timed(self, name: str, act: Callable[[], None]) -> None:
        started = time.perf_counter()
        act()
        self.seconds[name].append(time.perf_counter() - started)


def latency(session: BackendSession, images: Path, name: str, count: int, rounds: int) -> list[str]:
    """Table rows of one image size and number of annotators, all of them labelling at the same time."""
    width, height = SIZES[name]
    annotators = [
        Annotator(session, _project(name), (width, height), settle_s=1.2 * count) for _ in range(count)
    ]
    files = []
    for i in range(2 * rounds * count):
        files.append(images / f"{name[:2].strip()}-{count}-{i}.jpg")
        draw(files[-1], width, height, seed=1000 * count + i, defect=True)

    def work(index: int) -> None:
        own = files[2 * rounds * index : 2 * rounds * (index + 1)]
        for i, file in enumerate(own):
            task = int(hashlib.sha256(file.name.encode()).hexdigest()[:7], 16)
            annotators[index].label(file, task, at_once=i % 2 == 0)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for file in files:
        file.unlink()
    rows = []
    for what in WAITS:
        values = 1000 * np.array([s for a in annotators for s in a.seconds[what]])
        p50, p95 = np.percentile(values, [50, 95])
        rows.append(f"| {name} | {count} | {what} | {p50:.0f} | {p95:.0f} | {len(values)} |")
    return rows


def tiny_defects(session: BackendSession, images: Path, project: str, rounds: int) -> list[str]:
    """Table rows: IoU and time of three clicks on spots of ``TINY`` pixels, each in the middle of the largest error."""
    size = width, height = SIZES["12 MP"]
    overlaps, seconds = [], []
    for i in range(rounds):
        file, mask = images / f"tiny-{i}.jpg", np.zeros((height, width), np.uint8)
        place = np.random.default_rng(i).integers((200, 200), (width - 200, height - 200))
        cv2.circle(mask, (int(place[0]), int(place[1])), TINY // 2, 1, -1)
        draw(file, width, height, seed=9000 + i, defect=False)
        pixels = np.asarray(cv2.imread(str(file)), np.uint8)
        pixels[mask > 0] = (40, 50, 60)
        cv2.imwrite(str(file), cv2.GaussianBlur(pixels, (3, 3), 0))
        session.open(project, file, 7000 + i)
        time.sleep(1.5)  # a person looks before clicking
        spent: list[float] = []

        def segment(clicks: Sequence[Click], file: Path = file, task: int = 7000 + i) -> Answer:
            started = time.perf_counter()
            found: NDArray[np.bool_] = session.click(project, file, task, clicks, size)
            spent.append(time.perf_counter() - started)  # noqa: B023
            return Answer(found)

        overlaps.append(click_through(segment, mask > 0, clicks=3).ious)
        seconds.append((spent + 3 * spent[-1:])[:3])
    fits, times = np.mean(overlaps, 0), 1000 * np.median(seconds, 0)
    return [f"| {n + 1} | {fits[n]:.2f} | {times[n]:.0f} |" for n in range(3)]


def parts(session: BackendSession) -> dict[str, tuple[float, int]]:
    """Seconds spent in each phase so far, and how often, from ``/metrics``."""
    text = requests.get(f"{session.url}/metrics", timeout=10).text
    found: dict[str, dict[str, float]] = {}
    for what, phase, value in re.findall(
        r'^adclick_phase_seconds_(sum|count){phase="([^"]+)"} (\S+)', text, re.MULTILINE
    ):
        found.setdefault(phase, {})[what] = float(value)
    return {phase: (row["sum"], int(row["count"])) for phase, row in found.items()}


def growth(session: BackendSession, images: Path, counts: tuple[int, ...], rounds: int) -> list[str]:
    """Table rows: opening an image of 1 megapixel in banks of growing size."""
    from adclick_backend.latency.filling import fill_bank

    width, height = SIZES["1 MP"]
    rows = []
    for number, count in enumerate(counts):
        project = str(100 + number)
        session.set_up(project)
        first = images / f"reference-{count}.jpg"
        draw(first, width, height, seed=77, defect=False)
        if count:
            session.add_references(project, [first])
            fill_bank(session.folder, project, count)
        annotator = Annotator(session, project, (width, height), 0)
        for i in range(rounds + 1):
            file = images / f"growth-{count}-{i}.jpg"
            draw(file, width, height, seed=5000 + i, defect=True)
            annotator.label(file, i + 1, at_once=True)
        first_open, *others = (1000 * s for s in annotator.seconds["open"])
        rows.append(f"| {count} | {np.median(others):.0f} | {first_open:.0f} |")
    return rows


def training(session: BackendSession, images: Path, count: int) -> list[str]:
    """A table: a training with ``count`` labelled images of 1 megapixel, and clicks while it runs."""
    width, height = SIZES["1 MP"]
    files = [images / f"labelled-{i}.jpg" for i in range(count)]
    for i, file in enumerate(files):
        draw(file, width, height, seed=40_000 + i, defect=True)
    cost = train(session, _project("1 MP"), files, (width, height), Click(width / 4, height / 3, True))
    return cost.rows(count)


def main() -> int:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most 100 references")
    quick = parser.parse_args().quick
    rounds, counts = (2, GROWTH[:4]) if quick else (6, GROWTH)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        with BackendSession(Path(folder) / "data", images) as session:
            print(
                "| image | annotators | what | p50 ms | p95 ms | samples |\n|---|---|---|---|---|---|",
                flush=True,
            )
            for name, (width, height) in SIZES.items():
                session.set_up(_project(name))
                references = [images / f"good-{name[:2].strip()}-{i}.jpg" for i in range(REFERENCES)]
                for i, file in enumerate(references):
                    draw(file, width, height, seed=i, defect=False)
                session.add_references(_project(name), references)
                before = parts(session)
                for count in ANNOTATORS:
                    per_person = max(1, rounds // (1 if count < 4 else 2 if count < 16 else 6))
                    print("\n".join(latency(session, images, name, count, per_person)), flush=True)
                    if count == 1:
                        alone = parts(session)
                print("\n| part, one person | mean ms | times |\n|---|---|---|")
                for phase, (seconds, times) in alone.items():
                    earlier = before.get(phase, (0.0, 0))
                    if number := times - earlier[1]:
                        print(
                            f"| {phase} | {1000 * (seconds - earlier[0]) / number:.1f} | {number} |",
                            flush=True,
                        )
                if session.process is not None:
                    print(
                        f"\nResident memory after {name}: {resident_mb(session.process.pid):.0f} MB\n",
                        flush=True,
                    )
            print(f"| clicks on spots of {TINY} px in 12 MP | mIoU | p50 ms |\n|---|---|---|", flush=True)
            print("\n".join(tiny_defects(session, images, _project("12 MP"), rounds)), flush=True)
            print("\n| references | open p50 ms | the first open ms |\n|---|---|---|", flush=True)
            print("\n".join(growth(session, images, counts, rounds)), flush=True)
            print("\n" + "\n".join(training(session, images, 12 if quick else LABELLED)), flush=True)
    return 0


def _project(name: str) -> str:
    return str(1 + list(SIZES).index(name))


if __name__ == "__main__":
    sys.exit(main())
