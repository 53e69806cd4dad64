"""Small drawn images of a plate, and an engine with references of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import TRAINED, ProposalSource
from model.checkpoint.files import read_weights, write_checkpoint
from model.checkpoint.manifest import LITE, read_manifest

Pixels = NDArray[np.uint8]


def draw(seed: int, defect: tuple[int, int] | None = None) -> Pixels:
    """A grey plate with a bolt, noise, and maybe a dark spot of radius 9 at (x, y)."""
    rng = np.random.default_rng(seed)
    image = np.full((160, 240, 3), 140, np.uint8)
    cv2.circle(image, (120, 80), 40, (190, 185, 180), -1)
    if defect:
        cv2.circle(image, defect, 9, (60, 40, 30), -1)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def no_image() -> Pixels:
    raise AssertionError("the image should not be read")


def look_closer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open windows of 48 pixels, too."""
    predictor = engine._model()
    closer = replace(predictor.config, zoom=replace(predictor.config.zoom, smallest=48))
    monkeypatch.setattr(predictor, "config", closer)


class Shelf:
    """An engine with the references of one project kept where the backend keeps them."""

    def __init__(self, folder: Path, settings: Settings | None = None):
        # Two threads of torch wait for each other longer than they work, on a busy machine.
        self.settings = settings or Settings(data_dir=folder, model_threads=1)  # type: ignore[call-arg]
        self.engine = Engine(self.settings)
        self.shas: list[str] = []

    def add(self, pixels: Pixels) -> str:
        data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        sha = hashlib.sha256(data).hexdigest()
        folder = self.settings.data_dir / "projects/7/references"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sha}.png").write_bytes(data)
        self.engine.encode_reference(ImageKey("7", sha), pixels)
        self.shas.append(sha)
        return sha

    @property
    def bank(self) -> ReferenceBank:
        return ReferenceBank("7", "", tuple(sorted(self.shas)))


def lite(folder: Path) -> Settings:
    """For what does not depend on how well the networks see: half the time."""
    return Settings(data_dir=folder, model_threads=1, backbone="lite")  # type: ignore[call-arg]


def own_network(
    folder: Path, *, scale: float = 1.0, scaled: str = "network.head.weight", **about: Any
) -> Path:
    """A checkpoint of the packaged one's name, another one where ``scale`` is not 1; the backbone is inside."""
    weights = folder / "own.safetensors"
    state = read_weights(LITE.click)
    state[scaled] = state[scaled] * scale
    write_checkpoint(weights, state, {**read_manifest(LITE.click), **about})
    return weights


def trained(weights: Path) -> ProposalSource:
    """The segmentation network of a version."""
    return ProposalSource(TRAINED, weights)


def spot() -> NDArray[np.bool_]:
    return np.asarray(np.hypot(*(np.indices((160, 240)) - np.array([110, 60])[:, None, None])) <= 9)
