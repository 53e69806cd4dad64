"""Images, pixels and clicks in; probability maps out. The only place where arrays become tensors and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import networks
from model.checkpoints import load_into, part_of, read_weights
from model.clicks import Click
from model.encoding import Encoded, Frame, encode
from model.evidence import Prepared, normal_levels
from model.features import BACKBONES
from model.manifest import PACKAGED, read_manifest
from model.matching import matching_dtype
from model.references import Retrieved, rank
from model.residual import match, misfit
from model.suspicion import PEAK, usual_peak
from model.zoom import ZOOM_SIDE, Window

NEAREST_REFERENCES = 8
"""K of Eq. 3: how many references an image is matched with, the most similar ones of its bank."""

FEW_REFERENCES = 2
"""So few references may show the product in another pose than the image; among more, one that fits is found."""

MOST_MISFIT = 3.0
"""A few references that explain an image so much worse than it explains itself are left out (:func:`misfit`)."""

MAX_SHOWN = 24
"""Clicks of each sign that the network is shown at most, the newest; as many as training ever drew is far below."""

CLICK_RADIUS = 3.0
"""ρ of Eq. 8 in working pixels: so near to a click the person has said what it is."""

REFINING = 3
"""From this click on, a click corrects a place rather than saying what the defect is (:func:`merge`)."""

NEIGHBOURHOOD = 12
"""Working pixels round a click in which a change counts as made by it."""

SMOOTHING = 2.0
"""Standard deviation, in working pixels, of the blur of the logits before they are cut: masks without frayed edges."""

SMALLEST_PART = 0.2
"""Parts of a mask smaller than this share of its largest part, which nobody clicked, are specks."""

LARGEST_HOLE = 0.1
"""Holes smaller than this share of the mask, into which nobody clicked "not this", are closed."""


class Predictor:
    """The click network with its backbone, from one checkpoint.

    Args:
        weights: a ``.safetensors`` checkpoint with its manifest beside it; default: the one that ships.
        device: where to compute.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another network.
    """

    def __init__(self, weights: Path | None = None, device: str = "cpu"):
        weights = weights or PACKAGED
        manifest = read_manifest(weights)
        self.network = networks.new(manifest, weights.name)
        tensors = read_weights(weights)
        self.version = str(manifest["version"])
        self.long_side = int(manifest["long_side"])
        self.temperature = float(manifest.get("temperature", 1.0))
        self.device = torch.device(device)
        self.backbone = BACKBONES[manifest["backbone"]]()
        for name, module in (("backbone", self.backbone), ("network", self.network)):
            load_into(module, part_of(tensors, name), f"{weights.name} ({name})")
            module.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._dtype = matching_dtype(self.device)

    def encode(self, image: NDArray[np.uint8], long_side: int | None = None) -> Encoded:
        """Encode an image (H, W, 3), RGB, uint8, at ``long_side`` pixels (default: the checkpoint's)."""
        return encode(image, self.backbone, long_side or self.long_side, self.device)  # type: ignore[arg-type]

    def look(
        self, image: NDArray[np.uint8], window: Window, references: Sequence[NDArray[np.uint8]]
    ) -> Prepared:
        """Prepare a window of an image (H, W, 3) at the closeness of :mod:`model.zoom`.

        Args:
            image: RGB, uint8.
            window: what to look at.
            references: a few of the most similar ones, of whatever size; the same part of each is compared.
        """
        parts = [window.of_size(image.shape, r.shape).cut(r) for r in references]
        encoded = [self.encode(part, ZOOM_SIDE) for part in (window.cut(image), *parts)]
        normal = self.usual(encoded[1], encoded[2:]) if len(parts) > 1 else None
        return self.prepare(encoded[0], encoded[1:], normal)

    @torch.inference_mode()
    def prepare(self, image: Encoded, references: list[Encoded], normal: dict[str, float] | None) -> Prepared:
        """Match an image with its references and assemble all that does not depend on clicks.

        Args:
            image: the image.
            references: those that :func:`model.references.rank` chose from its bank; may be empty.
            normal: what is usual among the references (:meth:`usual`), if known.
        """
        retrieved = Retrieved([r.to(self.device) for r in references]) if references else None
        few = 0 < len(references) <= FEW_REFERENCES
        if retrieved is None or (few and misfit(image, retrieved) > MOST_MISFIT):
            return self.network.prepare(image, Retrieved([image]), None, itself=True)
        return self.network.prepare(image, retrieved, normal)

    @torch.inference_mode()
    def usual(self, image: Encoded, others: list[Encoded]) -> dict[str, float]:
        """Residual energies of one defect-free image against others, by name.

        Their 95 % quantiles, and as `model.suspicion.PEAK` the log of the highest joint one.
        """
        residual = match(image.to(self.device), Retrieved([o.to(self.device) for o in others]))
        height, width = image.colour.shape[-2:]
        return {**normal_levels([residual]), PEAK: usual_peak(residual, (height, width))}

    def rank(
        self, descriptor: NDArray[np.float32], bank: NDArray[np.float32], left_out: int | None = None
    ) -> list[int]:
        """Which references of a bank (N, D) an image with this descriptor (D,) is matched with, best first.

        ``left_out`` is the row of the image itself, when it is one of them.
        """
        count = NEAREST_REFERENCES + (left_out is not None)
        order = rank(torch.from_numpy(descriptor), torch.from_numpy(bank), count)
        return [i for i in order if i != left_out][:NEAREST_REFERENCES]

    @torch.inference_mode()
    def probability(
        self,
        prepared: Prepared,
        frame: Frame,
        clicks: Sequence[Click],
        previous: Tensor | None,
        merging: bool = True,
    ) -> Tensor:
        """The probability map after some clicks.

        Args:
            prepared: the image.
            frame: its working frame.
            clicks: in image pixels, oldest first.
            previous: the map (1, 1, frame.height, frame.width) after the click before, if there is one.
            merging: whether later clicks change the previous map locally (:func:`merge`).

        Returns:
            (1, 1, frame.height, frame.width) float32 in [0, 1].
        """
        h, w = frame.height // 2, frame.width // 2
        before = (
            torch.zeros(1, 1, h, w, device=self.device)
            if previous is None
            else torch.nn.functional.avg_pool2d(self._as_trained(previous.float().to(self.device)), 2)
        )
        shown = self.network.show(prepared.to(self.device), _to_grid(clicks, frame).to(self.device), before)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._dtype != torch.float32):
            logits = self.network(*shown)
        probability = torch.sigmoid(logits.float() / self.temperature)
        if previous is None or len(clicks) < REFINING or not merging:
            return probability
        merged = merge(
            probability[0, 0].cpu().numpy(), previous[0, 0].float().cpu().numpy(), clicks[-1], frame
        )
        return torch.from_numpy(merged)[None, None].to(self.device)

    def _as_trained(self, probability: Tensor) -> Tensor:
        """A map at the temperature of 1, at which the network was trained to see the one before."""
        return torch.sigmoid(torch.logit(probability, eps=1e-6) * self.temperature)


def merge(
    new: NDArray[np.float32], before: NDArray[np.float32], click: Click, frame: Frame
) -> NDArray[np.float32]:
    """Let a further click change the mask where it was made, and elsewhere only half way.

    The first clicks say what the defect is; later ones correct a place, and what they would overturn far away is more
    often wrong than right (the progressive merge of FocalClick, softened). A second click confirms it.

    Args:
        new: (frame.height, frame.width) probabilities after the click.
        before: the same before it.
        click: the newest, in image pixels.
        frame: working frame.

    Returns:
        ``new``; the mean of both where the mask would change without touching the neighbourhood of the click.
    """
    changed = ((new > 0.5) != (before > 0.5)).astype(np.uint8)
    labels = cv2.connectedComponents(changed, connectivity=8)[1]
    (x, y), reach = _places([click], frame, click.positive)[0], NEIGHBOURHOOD
    near = np.unique(labels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1])
    local = np.isin(labels, near[near > 0]).astype(np.uint8)
    far = (changed > 0) & (cv2.dilate(local, np.ones((5, 5), np.uint8)) == 0)
    return np.where(far, (new + before) / 2, new)


def _to_grid(clicks: Sequence[Click], frame: Frame) -> Tensor:
    """(1, N, 3): clicks on the stride-2 grid, the newest ``MAX_SHOWN`` of each sign."""
    sx, sy = frame.scale_xy
    kept = [
        c for positive in (True, False) for c in [c for c in clicks if c.positive == positive][-MAX_SHOWN:]
    ]
    rows = [[c.x * sx / 2, c.y * sy / 2, 1.0 if c.positive else -1.0] for c in kept]
    return torch.tensor(rows, dtype=torch.float32).view(1, -1, 3)


def to_mask(probability: NDArray[np.float32], frame: Frame, clicks: Sequence[Click]) -> NDArray[np.bool_]:
    """The mask that a person is shown: smooth, without specks and holes that nobody asked for.

    The neighbourhood of each click is what the click said (Eq. 8), and the border is that of the smoothly enlarged
    map, not of its cells.

    Args:
        probability: (frame.height, frame.width) float32 in [0, 1].
        frame: working frame.
        clicks: in image pixels.

    Returns:
        (frame.image_height, frame.image_width) bool; empty when there is no positive click.
    """
    shape = frame.image_height, frame.image_width
    if not any(c.positive for c in clicks):
        return np.zeros(shape, bool)
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    logits = cv2.GaussianBlur(np.log(clipped / (1 - clipped)), (0, 0), SMOOTHING)
    places = {True: _places(clicks, frame, True), False: _places(clicks, frame, False)}
    refused = _refused_parts(logits > 0, places[True], places[False])
    logits[refused] = np.minimum(logits[refused], -1.0)
    for positive, near in places.items():
        for x, y in near:
            _settle(logits, x, y, positive)
    inside = logits > 0
    logits[_minor_parts(~inside, LARGEST_HOLE * inside.sum(), places[False], connectivity=4)] = 1.0
    inside = logits > 0
    logits[_minor_parts(inside, SMALLEST_PART * _largest(inside), places[True], connectivity=8)] = -1.0
    enlarged = cv2.resize(logits, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged > 0)


def _places(clicks: Sequence[Click], frame: Frame, positive: bool) -> list[tuple[int, int]]:
    """The working pixels (column, row) of the clicks of one sign."""
    sx, sy = frame.scale_xy
    return [
        (min(int(c.x * sx), frame.width - 1), min(int(c.y * sy), frame.height - 1))
        for c in clicks
        if c.positive == positive
    ]


def _settle(logits: NDArray[np.float32], x: int, y: int, positive: bool) -> None:
    """Let the pixels round a click say what the click said, in place."""
    near = np.zeros(logits.shape, np.uint8)
    cv2.circle(near, (x, y), int(CLICK_RADIUS), 1, -1)
    here = near > 0
    logits[here] = np.maximum(logits[here], 1.0) if positive else np.minimum(logits[here], -1.0)


def _refused_parts(
    mask: NDArray[np.bool_], wanted: Sequence[tuple[int, int]], refused: Sequence[tuple[int, int]]
) -> NDArray[np.bool_]:
    """The pixels of the parts of a mask at which somebody clicked "not this", and in which nobody clicked "this"."""
    labels, reach = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1], NEIGHBOURHOOD
    kept = {int(labels[y, x]) for x, y in wanted}
    near = {
        int(number)
        for x, y in refused
        for number in np.unique(labels[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1])
    }
    return np.asarray(np.isin(labels, list(near - kept - {0})))


def _largest(mask: NDArray[np.bool_]) -> int:
    """Pixels of the largest part of a mask."""
    statistics = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2]
    return int(statistics[1:, cv2.CC_STAT_AREA].max(initial=0))


def _minor_parts(
    mask: NDArray[np.bool_], area: float, clicked: Sequence[tuple[int, int]], connectivity: int
) -> NDArray[np.bool_]:
    """The pixels of the parts of a mask that are smaller than ``area`` and hold no clicked pixel."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    minor = statistics[:, cv2.CC_STAT_AREA] < area
    minor[0] = False
    for x, y in clicked:
        minor[labels[y, x]] = False
    return np.asarray(minor[labels])
