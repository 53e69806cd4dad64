"""What a version sees in held-out and good images at each operating point, measured once: figures and pictures."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.store.files.kept import Files
from adclick_runtime.regions import Map
from model.checkpoint.atomic import write_atomically
from model.metrics.operating_curve import Seen

FILE = "curve.json"
"""Written last, and names the folder of its pictures: without it there is no curve."""

FARTHEST = 9.25
"""Logit at which kept maps are cut off; those of proposals are at 1e-4, which is 9.21."""


@dataclass(frozen=True)
class CurveImage:
    """An image that was looked at.

    Attributes:
        sha: SHA-256 of its file.
        good: whether it is free of defects.
        seen: defect type -> what its map shows; of a good image of every type, of others of those labelled.
    """

    sha: str
    good: bool
    seen: Mapping[str, Seen]


@dataclass(frozen=True)
class PointCurve:
    """All that was measured of one version and source.

    Attributes:
        made_by: name of the backend's click network then: another release may see other things.
        at: when, Unix seconds.
        points: probabilities that were tried.
        types: defect types that the maps tell apart.
        images: those that were looked at.
        notes: what was left out and why, in sentences.
        token: of the pictures, which change with every measurement.
    """

    made_by: str
    at: float
    points: Sequence[float]
    types: Sequence[str]
    images: Sequence[CurveImage]
    notes: Sequence[str] = ()
    token: str = ""

    @property
    def labelled(self) -> list[CurveImage]:
        """Images with a defect."""
        return [image for image in self.images if not image.good]

    @property
    def good(self) -> list[CurveImage]:
        """Images without."""
        return [image for image in self.images if image.good]


@dataclass
class CurveFiles:
    """The folder of one curve: ``curves/<source>`` beside a version's weights.

    Args:
        folder: of the version; where several machines share curves, one of this object alone.
        source: of the maps.
        files: where the curve is kept when several machines share it.
        name: its name there.
    """

    folder: Path
    source: str
    files: Files | None = None
    name: str = ""
    _token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def _place(self) -> Path:
        return self.folder / "curves" / self.source

    def _kept(self) -> Path:
        """Where the curve is read on this machine; raises OSError."""
        return self._place if self.files is None else self.files.path(self.name)

    def read(self) -> PointCurve | None:
        """The curve; None when there is none, or it cannot be read."""
        try:
            kept: dict[str, Any] = json.loads((self._kept() / FILE).read_text("utf-8"))
            images = [
                CurveImage(
                    one["sha"], one["good"], {name: Seen(**seen) for name, seen in one["seen"].items()}
                )
                for one in kept.pop("images")
            ]
            return PointCurve(images=images, **kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put_picture(self, number: int, jpeg: bytes) -> None:
        """Keep a small picture of the image of that number; see :meth:`write`."""
        write_atomically(self._place / _picture(self._token, number), jpeg, durable=False)

    def put_map(self, number: int, type_: int, probability: Map, truth: NDArray[np.bool_] | None) -> None:
        """Keep the map (h, w) in [0, 1] of a type, by its number, and the labelled places (h, w) of it."""
        clipped = np.clip(probability, 1e-4, 1 - 1e-4)
        logits = np.log(clipped / (1 - clipped))
        grey = np.rint((logits / FARTHEST + 1) * 127.5).astype(np.uint8)
        labelled = np.zeros_like(grey) if truth is None else truth.astype(np.uint8) * 255
        both = np.concatenate([grey, labelled], axis=0)
        write_atomically(
            self._place / _map(self._token, number, type_),
            bytes(cv2.imencode(".png", both)[1]),
            durable=False,
        )

    def write(self, curve: PointCurve) -> None:
        """Let the curve and the pictures that were kept since this object was made take the place of those before.

        Raises:
            OSError: the disk is full; the curve before stays.
        """
        told = {**asdict(curve), "at": curve.at or time.time(), "token": self._token}
        write_atomically(self._place / FILE, json.dumps(told).encode())
        if self.files is not None:
            self.files.put_folder(self.name, self._place)
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for other in self._place.iterdir():
            if other.is_dir() and other.name != self._token:
                shutil.rmtree(other, ignore_errors=True)

    def discard(self) -> None:
        """Delete what was kept since this object was made, for it does not become a curve."""
        if self.files is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        shutil.rmtree(self._place / self._token, ignore_errors=True)
        with suppress(OSError):
            self._place.rmdir()

    def picture(self, curve: PointCurve, number: int) -> NDArray[np.uint8] | None:
        """The small picture of an image of a curve, (h, w, 3) RGB; None when it is gone."""
        found = self._image(_picture(curve.token, number), cv2.IMREAD_COLOR)
        return None if found is None else np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)

    def map(self, curve: PointCurve, number: int, type_: int) -> tuple[Map, NDArray[np.bool_]] | None:
        """The map (h, w) in [0, 1] and the labelled places (h, w) that were kept; None when they are gone."""
        found = self._image(_map(curve.token, number, type_), cv2.IMREAD_GRAYSCALE)
        if found is None:
            return None
        grey, labelled = np.split(found, 2)
        logits = (grey.astype(np.float32) / 127.5 - 1) * FARTHEST
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32), np.asarray(labelled > 0)

    def _image(self, path: str, flags: int) -> NDArray[np.uint8] | None:
        """A kept picture, as OpenCV reads it; None when it is gone or cannot be fetched."""
        try:
            found = cv2.imread(str(self._kept() / path), flags)
        except OSError:
            return None
        return None if found is None else np.asarray(found, np.uint8)


def _picture(token: str, number: int) -> str:
    return f"{token}/{number}.jpg"


def _map(token: str, number: int, type_: int) -> str:
    return f"{token}/{number}-{type_}.png"
