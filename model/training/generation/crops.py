"""What the diffusion model learns from: windows round defects, real and drawn, cut once and kept on disk."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint.atomic import replacing
from model.generation.anogen.examples import Example, cropped, signed, told, turned, windows
from model.generation.synthesis import add_defect


@dataclass(frozen=True)
class Origin:
    """Where a window comes from.

    Attributes:
        type: defects of one type look alike, across images.
        image: which image it is of; one of the same type and another image shows what varies.
        drawn: by code, so that nothing else looks like it.
    """

    type: str
    image: str
    drawn: bool


def store(folder: Path, found: Iterable[tuple[Origin, NDArray[np.uint8]]]) -> None:
    """Write windows into a folder, all of them or none."""
    folder.mkdir(parents=True, exist_ok=True)
    origins, stack = [], []
    for origin, window in found:
        origins.append([origin.type, origin.image, origin.drawn])
        stack.append(window)
    with replacing(folder / "windows.npy", durable=False) as half, half.open("wb") as file:
        np.save(file, np.stack(stack))
    with replacing(folder / "origins.json", durable=False) as half:
        half.write_text(json.dumps(origins))


class DefectCrops:
    """Draws the crops of a step.

    Args:
        folder: that :func:`store` has written.
        real: share of real defects among what is drawn, in [0, 1].
    """

    def __init__(self, folder: Path, real: float = 0.6):
        self.windows = np.load(folder / "windows.npy", mmap_mode="r")
        self.origins = [Origin(*one) for one in json.loads((folder / "origins.json").read_text())]
        self.real = real

    @cached_property
    def _by_type(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for place, origin in enumerate(self.origins):
            if not origin.drawn:
                found[origin.type].append(place)
        return dict(sorted(found.items()))

    @cached_property
    def _drawn(self) -> list[int]:
        return [place for place, origin in enumerate(self.origins) if origin.drawn]

    def draw(self, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A batch of ``count``: ``clean``, ``given``, ``inside``, ``shown``, each (B, C, `SIDE`, `SIDE`) float32."""
        rows = [self._one(rng) for _ in range(count)]
        return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}

    def _one(self, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        types = list(self._by_type)
        if types and (not self._drawn or rng.random() < self.real):
            weights = np.sqrt([len(self._by_type[name]) for name in types])
            group = self._by_type[types[int(rng.choice(len(types), p=weights / weights.sum()))]]
            place = group[int(rng.integers(len(group)))]
            others = [one for one in group if self.origins[one].image != self.origins[place].image]
            shown = others[int(rng.integers(len(others)))] if others and rng.random() < 0.5 else place
        else:
            shown = place = self._drawn[int(rng.integers(len(self._drawn)))]
        tone = _Tone(rng)
        crop, other = (turned(np.asarray(self.windows[one]), rng) for one in (place, shown))
        cut, box = cropped(crop, rng)
        clean, example = tone.of(cut), tone.of(cropped(other, rng)[0])
        given, inside = told(clean, box)
        clean[3] = np.where(inside[0] > 0, clean[3], -1)
        return {"clean": clean, "given": given, "inside": inside, "shown": example}


class _Tone:
    """A change of the colours, the same for a crop and for the example of its type: more types than there are."""

    def __init__(self, rng: np.random.Generator):
        self.order = rng.permutation(3) if rng.random() < 0.3 else np.arange(3)
        self.gain = rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3)
        self.shift = rng.uniform(-0.15, 0.15) + rng.normal(0, 0.03, 3)
        self.turned = rng.random() < 0.1

    def of(self, crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """(S, S, 4) in [0, 255] -> (4, S, S) in [-1, 1]."""
        plain = signed(crop)
        colours = plain[:3][self.order] * self.gain[:, None, None] + self.shift[:, None, None]
        plain[:3] = np.clip(-colours if self.turned else colours, -1, 1)
        return plain


def real_windows(images: Iterable[tuple[str, str, Example]]) -> Iterator[tuple[Origin, NDArray[np.uint8]]]:
    """The windows of labelled images: (type, name of the image, its defect)."""
    for kind, name, example in images:
        for window in windows(example):
            yield Origin(kind, name, drawn=False), window


def drawn_windows(
    good: Sequence[NDArray[np.uint8]], count: int, rng: np.random.Generator
) -> Iterator[tuple[Origin, NDArray[np.uint8]]]:
    """Windows round ``count`` defects drawn on good images, (H, W, 3) uint8 RGB."""
    for number in range(count):
        pixels, mask, kind = add_defect(good[int(rng.integers(len(good)))], rng)
        for window in windows(Example(pixels, mask), whole=True):
            yield Origin(kind, f"drawn-{number}", drawn=True), window
