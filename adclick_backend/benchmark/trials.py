"""What a trial leaves on disk besides its row: probability maps, clicks and the mask for the pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark.protocol import MAPPED, Trial
from model.checkpoint.atomic import write_atomically
from model.clicks import Click


@dataclass(frozen=True)
class StoredTrial:
    """A trial as it was kept.

    Attributes:
        logits: number of clicks -> (h, w) float16 logits of the probability map. They keep what is lost in a
            probability of that precision: the order of the scores near 0 and 1.
        clicks: the clicks given.
        drawn: (H, W) bool mask for the pictures.
    """

    logits: dict[int, NDArray[np.float16]]
    clicks: list[Click]
    drawn: NDArray[np.bool_]


def store(path: Path, trial: Trial, shape: tuple[int, ...]) -> None:
    """Write a trial in an image of ``shape`` (H, W) as an ``.npz`` file."""
    drawn = trial.drawn if trial.drawn is not None else np.zeros(shape, bool)
    arrays: dict[str, NDArray[np.generic]] = {
        "shape": np.array(shape),
        "drawn": np.packbits(drawn),
        "clicks": np.array([[c.x, c.y, c.positive] for c in trial.clicks], np.float64).reshape(-1, 3),
    }
    for count, probability in trial.maps.items():
        p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
        arrays[f"logits{count}"] = np.log(p / (1 - p)).astype(np.float16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> StoredTrial:
    """Read what :func:`store` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        height, width = (int(v) for v in arrays["shape"])
        drawn = np.unpackbits(arrays["drawn"], count=height * width).reshape(height, width).astype(bool)
        clicks = [Click(float(x), float(y), bool(positive)) for x, y, positive in arrays["clicks"]]
        logits = {n: arrays[f"logits{n}"] for n in MAPPED if f"logits{n}" in arrays}
    return StoredTrial(logits, clicks, drawn)
