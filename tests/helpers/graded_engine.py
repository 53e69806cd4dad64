"""An engine that is surer of a defect the redder it is, and projects whose images have defects of all shades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.store.proposal_source import TRAINED, ProposalSource
from adclick_runtime.operating_points import at_points
from adclick_runtime.regions import Region
from tests.helpers.backend import Backend
from tests.helpers.fake_engine import FakeEngine, Pixels
from tests.helpers.labels import annotated, brush, choice
from tests.helpers.versions import candidate

TYPES = ("dent", "scratch")


class GradedEngine(FakeEngine):
    """The probability of a defect is its red as a share of 255; a "dent" lies in the upper half, a "scratch" below."""

    def maps(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        self._maybe_fail()
        self.looked = getattr(self, "looked", 0) + 1
        pixels = load()
        shade = np.where(pixels[..., 1] == 0, pixels[..., 0] / np.float32(255), np.float32(0.0005)).astype(
            np.float32
        )
        upper = np.arange(len(shade))[:, None] < len(shade) // 2
        low = np.float32(0.0005)
        found = {"dent": np.where(upper, shade, low), "scratch": np.where(upper, low, shade)}
        source = self.source(bank, asked)
        if source != TRAINED:
            found = {"defect": shade}
        return at_points(found, dict(asked.points)) if asked is not None and asked.name == source else found

    def propose(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ):  # type: ignore[no-untyped-def]
        found = super().propose(key, bank, load, asked)
        regions = [
            Region(name, mask, 0.7)
            for name, probability in self.maps(key, bank, load, asked).items()
            if (mask := probability > 0.5).any()
        ]
        return type(found)(tuple(regions), 0.6, found.source, found.size)


def square_at(*blobs: tuple[int, int, int]) -> NDArray[np.bool_]:
    """The pixels of the squares that `Backend.draw` draws at (x, y, red)."""
    mask = np.zeros((48, 64), bool)
    for x, y, _ in blobs:
        mask[y - 4 : y + 4, x - 4 : x + 4] = True
    return mask


def label_shades(
    backend: Backend, shades: Sequence[Sequence[tuple[int, int, int]]], *, good: int = 0
) -> None:
    """Annotate an image with squares at each (x, y, red), and some good ones that are a little red somewhere."""
    backend.setup()
    for number, blobs in enumerate([*shades, *([(30, 10, 40 + 40 * n)] for n in range(good))], 1):
        url = backend.draw(f"{number}.png", blobs, grey=60 + number)
        data = {"id": number, "data": {"image": url}}
        result = [choice("normal")] if number > len(shades) else []
        for name, rows in (("dent", range(24)), ("scratch", range(24, 48))):
            own = [blob for blob in blobs if blob[1] in rows]
            if own and number <= len(shades):
                result.append(brush(square_at(*own), name, name))
        backend.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)
    backend.work()
    backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    backend.sync()
    backend.work()


def serve(backend: Backend, folder: Path, **manifest: object) -> None:
    """Let a version serve that tells both types apart."""
    registry = backend.services.registry
    name = registry.new_name("1")
    registry.publish("1", candidate(folder / f"c-{name}", name.encode(), types=list(TYPES), **manifest), name)
    registry.activate("1", name)
