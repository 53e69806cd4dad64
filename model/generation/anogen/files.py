"""Generated images on disk, which say that they are generated, and what was learned of a type."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.checkpoint.atomic import write_atomically
from model.generation.anogen.generator import Learned
from model.generation.anogen.stamp import read_stamp, stamped_png
from model.generation.anogen.window import Image


@dataclass(frozen=True)
class Origin:
    """How a picture came about: with what was learned of its type, enough to make it again.

    Attributes:
        type: of the defect.
        number: in its series, from 0.
        seed: of the painting.
        box: left, top, right, bottom in pixels; outside of it the picture is its host.
        host: name of the good image that it was painted on.
        generator: name and weights of what painted.
    """

    type: str
    number: int
    seed: int
    box: tuple[int, int, int, int]
    host: str
    generator: str


def file_name(number: int) -> str:
    """Of the picture of a number."""
    return f"generated-{number:03d}.png"


def write_picture(path: Path, pixels: Image | NDArray[np.bool_], origin: Origin) -> None:
    """Write a generated picture, or a mask that belongs to one, as PNG; all of it or nothing.

    Args:
        path: its folder is made when needed.
        pixels: (H, W, 3) uint8 RGB, or (H, W) bool.
        origin: told in its texts.

    Raises:
        OSError: the disk is full, or cannot be written.
    """
    write_atomically(path, stamped_png(pixels, asdict(origin)), durable=False)


def read_origin(path: Path) -> Origin | None:
    """How a picture came about; None of one that is damaged or does not say that it is generated."""
    told = read_stamp(path, whole=True)
    if told is None:
        return None
    try:
        left, top, right, bottom = (int(edge) for edge in told["box"])
        number, seed = int(told["number"]), int(told["seed"])
        return Origin(
            str(told["type"]),
            number,
            seed,
            (left, top, right, bottom),
            str(told["host"]),
            str(told["generator"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def write_learned(path: Path, learned: Learned, settings: dict[str, Any]) -> None:
    """Write what was learned of a type, and from what, as JSON; raises OSError."""
    told = {**asdict(learned), "vector": learned.vector.tolist(), "settings": settings}
    write_atomically(path, json.dumps(told, indent=1).encode())


def read_learned(path: Path) -> tuple[Learned, dict[str, Any]] | None:
    """What was learned, to the last bit, and from what; None where there is none, or it is damaged."""
    try:
        told = json.loads(path.read_text("utf-8"))
        settings = told.pop("settings")
        vector = np.array(told.pop("vector"), np.float32)
        return Learned(vector, **told), dict(settings)
    except (OSError, KeyError, TypeError, ValueError):
        return None
