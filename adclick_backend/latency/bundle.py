"""How long a bundle takes for an image, beside a proposal of the backend that it was exported from.

``python -m adclick_backend.latency.bundle --data-dir DATA --project 1 --image IMAGE onnxruntime=BUNDLE``:
each way runs in a process of its own, one after the other, and prints the median and the 95 % quantile of the wall
clock, the processor time, and the most memory that the process held.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

BACKEND = "backend"
MEGAPIXELS = (1.0, 12.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("ways", nargs="+", metavar="ENGINE=BUNDLE")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--times", type=int, default=10, help="images a way and size (default: 10)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", action="store_true", help="measure the first way in this process")
    args = parser.parse_args(argv)
    if args.one:
        print(json.dumps(_measured(args, args.ways[0])))
        return 0
    rest = [
        *("--data-dir", str(args.data_dir), "--project", args.project, "--image", str(args.image)),
        *("--times", str(args.times), "--threads", str(args.threads), "--one"),
    ]
    print("way                          MP   p50 ms   p95 ms   CPU ms   MB")
    for way in (BACKEND, *args.ways):
        command = [sys.executable, "-m", "adclick_backend.latency.bundle", way, *rest]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        for row in json.loads(done.stdout.splitlines()[-1]):
            name = way if len(way) < 28 else f"{way[:24]}..."
            print("{:28} {:2.0f} {:8.0f} {:8.0f} {:8.0f} {:4.0f}".format(name, *row), flush=True)
    return 0


def _measured(args: argparse.Namespace, way: str) -> list[list[float]]:
    look = _backend(args) if way == BACKEND else _runtime(way, args.threads)
    image = cv2.cvtColor(cv2.imread(str(args.image), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]
    rows = []
    for megapixels in MEGAPIXELS:
        scale = (megapixels * 1e6 / (image.shape[0] * image.shape[1])) ** 0.5
        large = np.asarray(cv2.resize(image, None, fx=scale, fy=scale), np.uint8)
        look(_other(large, 0))
        walls, processors = [], []
        for number in range(1, args.times + 1):
            shown = _other(large, number)
            started = time.perf_counter(), time.process_time()
            look(shown)
            walls.append((time.perf_counter() - started[0]) * 1000)
            processors.append((time.process_time() - started[1]) * 1000)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        p50, p95 = (float(q) for q in np.quantile(walls, (0.5, 0.95)))
        rows.append([megapixels, p50, p95, float(np.median(processors)), memory])
    return rows


def _other(image: Pixels, number: int) -> Pixels:
    """An image that nobody has seen: its first pixels say its number."""
    found = image.copy()
    found[0, :8] = [[number >> bit & 1] * 3 for bit in range(8)]
    return found


def _runtime(way: str, threads: int) -> Callable[[Pixels], object]:
    from adclick_runtime.detector import Detector

    engine, _, bundle = way.partition("=")
    return Detector(Path(bundle), engine, threads).detect


def _backend(args: argparse.Namespace) -> Callable[[Pixels], object]:
    from adclick_backend.engine.bank import ImageKey
    from adclick_backend.engine.engine import Engine
    from adclick_backend.references.collection import References
    from adclick_backend.settings import Settings
    from adclick_backend.store import Store
    from adclick_backend.store.versions import Registry

    settings = Settings(data_dir=args.data_dir, model_threads=args.threads)
    engine, store = Engine(settings), Store(args.data_dir, settings.database_url)
    bank = References(store, settings).bank(args.project)
    asked = Registry(args.data_dir, engine.version).proposing(args.project)

    def propose(image: Pixels) -> object:
        key = ImageKey(args.project, hashlib.sha256(image.tobytes()).hexdigest())
        return engine.propose(key, bank, lambda: image, asked)

    return propose


if __name__ == "__main__":
    sys.exit(main())
