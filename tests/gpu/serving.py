"""What a person waits for: opening an image and clicking it, with a packaged network on one device."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.generation.products import Product
from model.generation.synthesis import Image, add_defect
from model.interactive.answer import answer
from model.interactive.encoded_references import EncodedReferences
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window
from tests.gpu import memory
from tests.gpu.table import Row

REFERENCES = 8
SIDE = 1000
"""Of an image, in pixels: small defects are looked at from near, as in use."""


def measure(weights: Path, device: str, tiny: bool) -> Row:
    """Open images of a drawn product and click each three times: milliseconds, half of them and 95 % below."""
    memory.reset()
    predictor, product, rng = Predictor(weights, device), Product(0), np.random.default_rng(0)
    good = [_enlarged(product.image(rng)) for _ in range(2 if tiny else REFERENCES)]
    bank = EncodedReferences(predictor, good)
    opening, clicking = [], []
    images, before = (1, 0) if tiny else (32, 2)
    for number in range(images + before):
        pixels, mask, _ = add_defect(_enlarged(product.image(rng)), rng)
        rows, columns = np.nonzero(mask)
        frame = Frame.of(*mask.shape, predictor.long_side)
        started = time.perf_counter()
        prepared = bank.prepare(pixels)
        _wait(predictor.device)
        opened = (time.perf_counter() - started) * 1000
        look = partial(_look, predictor, pixels, good[:2])
        found, clicks, taken = None, [], []
        for place in np.linspace(0, len(rows) - 1, 3).astype(int):
            clicks.append(Click(float(columns[place]) + 0.5, float(rows[place]) + 0.5, True))
            started = time.perf_counter()
            found = answer(predictor, prepared, frame, clicks, found, look)
            found.mask()
            taken.append((time.perf_counter() - started) * 1000)
        if number >= before:  # the first ones wait for kernels to be chosen
            opening.append(opened)
            clicking += taken
    times = f"open {_spread(opening)}, click {_spread(clicking)} (p50 / p95 of {images} images)"
    return Row(
        f"serving {predictor.version}",
        device,
        memory.most(predictor.device),
        times,
        predictor.format.sentence,
    )


def _look(predictor: Predictor, pixels: Image, references: list[Image], window: Window) -> Prepared:
    return predictor.look(pixels, window, references)


def _enlarged(pixels: Image) -> Image:
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _spread(milliseconds: list[float]) -> str:
    return f"{np.percentile(milliseconds, 50):.0f} / {np.percentile(milliseconds, 95):.0f} ms"
