"""The preset ``small``: a diffusion model of crops that ships with the package."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.generation.anogen.checkpoint import PACKAGED, read_painter
from model.generation.anogen.diffusion import LATEST, noise_loss, noised, residual, sample
from model.generation.anogen.examples import Example, cropped, signed, told, turned, windows
from model.generation.anogen.generator import NOTHING_SEEN, GeneratorError, Learned, Painted, recent
from model.generation.anogen.network import SIDE, normalised
from model.generation.anogen.tints import tints
from model.generation.anogen.window import Box, Floats, Image, Window

STEPS = 160
"""Of the embedding."""

BATCH = 8

RATE = 0.05

DDIM_STEPS = 30

GUIDANCE = 2.5

COLOURS = 9
"""Numbers of a look behind its vector: the filter of its tints, row by row."""

TRIES = 3
"""How often a box is painted until there is something in it."""

SEEN = 4.0
"""Mean change over the mask, of 255, from which a defect can be told from what was there."""


class SmallGenerator:
    """Learns by the noise inside the mask of crops, paints crops, and takes only the defect of what it painted.

    Args:
        weights: of the denoiser and of the encoder of types.
        device: where it computes.
        steps: of the sampling.
        guidance: how far the type is followed.

    Raises:
        CheckpointError: the weights cannot be read.
    """

    def __init__(
        self,
        weights: Path = PACKAGED,
        device: str = "cpu",
        *,
        steps: int = DDIM_STEPS,
        guidance: float = GUIDANCE,
    ):
        self.painter, self.name = read_painter(weights)
        self.painter.to(device).eval().requires_grad_(False)
        self.device, self.steps, self.guidance = device, steps, guidance

    def learn(
        self,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        report: Callable[[float, float], None] = lambda share, loss: None,
    ) -> Learned:
        """See :meth:`model.generation.anogen.generator.Generator.learn`."""
        started = time.monotonic()
        seen = [found for example in examples if (found := list(windows(example)))]
        if not seen:
            raise GeneratorError(NOTHING_SEEN)
        rng = np.random.default_rng(seed)
        noise = torch.Generator().manual_seed(seed % 2**63)
        vector = self._guess(seen, rng).requires_grad_(True)
        optimiser = torch.optim.Adam([vector], RATE)
        losses: list[float] = []
        for step in range(STEPS):
            for group in optimiser.param_groups:
                group["lr"] = RATE * (1 - step / STEPS)
            loss = self._loss(_batch(seen, rng), vector, noise)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(float(loss.detach()))
            report((step + 1) / STEPS, recent(losses))
        tint = torch.from_numpy(tints(window for found in seen for window in found))
        look = torch.cat([normalised(vector).detach().cpu(), tint.flatten()])
        return Learned.by(self.name, look, losses, started, len(seen))

    @torch.no_grad()
    def _guess(self, seen: Sequence[Sequence[NDArray[np.uint8]]], rng: np.random.Generator) -> Tensor:
        """The encoder's mean over the examples, each in several positions, (V,)."""
        shown = [
            signed(cropped(turned(window, rng), rng)[0])
            for found in seen
            for window in found
            for _ in range(4)
        ]
        vectors = self.painter.encoder(torch.from_numpy(np.stack(shown)).to(self.device))
        return normalised(vectors.mean(0)).clone()

    def _loss(self, batch: dict[str, Tensor], vector: Tensor, noise_source: torch.Generator) -> Tensor:
        clean, given = batch["clean"].to(self.device), batch["given"].to(self.device)
        noise = torch.randn(clean.shape, generator=noise_source).to(self.device)
        moment = (torch.rand(len(clean), generator=noise_source) * LATEST).to(self.device)
        noisy = noised(residual(clean, given), noise, moment)
        told_type = normalised(vector).expand(len(clean), -1)
        predicted = self.painter.denoiser(noisy, given, moment, told_type)
        return noise_loss(predicted, noisy, noise, moment, (clean[:, 3:] > 0).float()).mean()

    @torch.inference_mode()
    def paint(
        self, normal: Image, box: Box, learned: Learned, seed: int, go_on: Callable[[], None] = lambda: None
    ) -> Painted | None:
        """See :meth:`model.generation.anogen.generator.Generator.paint`."""
        learned.check(self.name)
        shape = normal.shape[0], normal.shape[1]
        window = Window.round(box, shape)
        before = window.cut(normal, SIDE)
        inner = window.inside(box, SIDE)
        known = np.concatenate([signed(before), np.full((1, SIDE, SIDE), -1, np.float32)])
        given, inside = (torch.from_numpy(maps)[None].to(self.device) for maps in told(known, inner))
        vector = torch.from_numpy(learned.vector[:-COLOURS])[None].to(self.device)
        tint = learned.vector[-COLOURS:].reshape(3, 3)
        for again in range(TRIES):
            noise = torch.randn(
                (1, *known.shape), generator=torch.Generator().manual_seed((seed * TRIES + again) % 2**63)
            )
            found = sample(
                self.painter.denoiser,
                given,
                torch.from_numpy(known)[None].to(self.device),
                inside,
                vector,
                noise.to(self.device),
                steps=self.steps,
                guidance=self.guidance,
                go_on=go_on,
            )[0]
            painted = _blended(normal, window, before, found.cpu().numpy(), tint, inner, box)
            if painted is not None:
                return painted
        return None


def _batch(seen: Sequence[Sequence[NDArray[np.uint8]]], rng: np.random.Generator) -> dict[str, Tensor]:
    """Crops of the examples, each of them equally often."""
    clean, given = [], []
    for _ in range(BATCH):
        found = seen[int(rng.integers(len(seen)))]
        crop, box = cropped(turned(found[int(rng.integers(len(found)))], rng), rng)
        whole = signed(crop)
        around, inside = told(whole, box)
        whole[3] = np.where(inside[0] > 0, whole[3], -1)
        clean.append(whole)
        given.append(around)
    return {"clean": torch.from_numpy(np.stack(clean)), "given": torch.from_numpy(np.stack(given))}


def _blended(
    normal: Image, window: Window, before: Floats, found: Floats, tint: Floats, inner: Box, box: Box
) -> Painted | None:
    """The good image with the defect of a painted crop.

    What was painted round the defect is not taken: the product's own pixels are there, and nothing has to fit. What
    the crop is too coarse to show (a window of many pixels) stays as it is in the image.

    Args:
        normal: the image.
        window: of the crop.
        before: (S, S, 3) in [0, 255], the window of the good image.
        found: (4, S, S) in [-1, 1], what was painted.
        tint: (3, 3), the filter of what it changes (:func:`model.generation.anogen.tints.tints`).
        inner: the box in the crop.
        box: the box in the image.
    """
    shape = normal.shape[0], normal.shape[1]
    sure = (found[3] + 1) / 2
    defect = sure > 0.5
    change = (found[:3].transpose(1, 2, 0) + 1) * 127.5 - before
    room = inner.mask((SIDE, SIDE)) & ~(cv2.dilate(defect.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
    if room.sum() > SIDE:  # what round the defect came out in another tone than it has
        change = change - np.median(change[room], axis=0)
    change = change @ tint
    if np.array_equal(normal[..., 0], normal[..., 1]) and np.array_equal(normal[..., 1], normal[..., 2]):
        change = np.repeat(
            change.mean(2, keepdims=True), 3, axis=2
        )  # a camera without colours sees none in a defect
    soft = cv2.GaussianBlur(cv2.dilate(defect.astype(np.float32), np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    soft = np.maximum(soft, defect)
    here = (slice(box.top, box.bottom), slice(box.left, box.right))
    size = (box.height, box.width)
    there = Window(window.x - box.left, window.y - box.top, window.side)  # as seen from the box
    alpha = np.clip(there.spread(soft.astype(np.float32), size), 0, 1) * _faded(box, shape)
    blended = normal[here] + alpha[..., None] * there.spread(change.astype(np.float32), size)
    pixels = normal.copy()
    pixels[here] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
    inside = there.spread(sure.astype(np.float32), size) > 0.5
    changed = np.abs(pixels[here][inside].astype(np.int16) - normal[here][inside]).max(1, initial=0)
    if len(changed) < 4 or changed.mean() < SEEN:
        return None
    mask = np.zeros(shape, bool)
    mask[here] = inside
    return Painted(pixels, box, mask)


def _faded(box: Box, shape: tuple[int, int]) -> Floats:
    """The weights in a box: 1, falling to a third over its outermost pixels, but not at the edges of the image."""
    height, width = shape
    above, before = int(box.top > 0), int(box.left > 0)
    around = ((above, int(box.bottom < height)), (before, int(box.right < width)))
    away = cv2.distanceTransform(np.pad(np.ones((box.height, box.width), np.uint8), around), cv2.DIST_L2, 3)
    kept = away[above : above + box.height, before : before + box.width]
    return np.asarray(np.minimum(kept / 3, 1), np.float32)
