"""Images, pixels and clicks in; logits out. The only place where arrays become tensors and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import BackboneId, backbone_of
from model.checkpoint.described import check_click
from model.checkpoint.files import build, part_of, read_weights
from model.checkpoint.manifest import PACKAGED, CheckpointError, read_manifest
from model.clicks import Click
from model.evidence.anomaly_map import PEAK, usual_peak
from model.evidence.prepared import Prepared, normal_levels
from model.features.encoding import Encoded, encode
from model.features.loading import load_backbone
from model.features.number_format import AUTO, number_format
from model.interactive import presets
from model.interactive.config import ClickConfig
from model.interactive.mask import Map
from model.interactive.zoom import Window
from model.language.encoders import TextEncoder, named_encoder
from model.language.vocabulary import Vocabulary, Words
from model.matching.residual import match, mismatch_ratio
from model.matching.retrieval import Retrieved, retrieve

Module = TypeVar("Module", bound=nn.Module)


class Predictor:
    """The click network with its backbone, from one checkpoint.

    Args:
        weights: a ``.safetensors`` checkpoint with its manifest beside it; default: the one that ships.
        device: where to compute.
        config: how to match, to look closely and to choose a mask.
        asked: the number format that is asked for (:mod:`model.features.number_format`).

    Attributes:
        config: that, with the number format in which it computes.
        format: in which it computes.
        backbone_id: the backbone, by content.
        version: name of the click network.
        sha256: of the checkpoint.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another network.
        ValueError: there is no such number format.
    """

    def __init__(
        self,
        weights: Path | None = None,
        device: str = "cpu",
        config: ClickConfig | None = None,
        asked: str = AUTO,
    ):
        self.format = number_format(asked, device)
        config = config or ClickConfig()
        self.config = replace(config, matching=replace(config.matching, dtype=self.format.dtype))
        weights = weights or PACKAGED
        manifest = read_manifest(weights)
        check_click(manifest, weights.name)
        tensors = read_weights(weights, manifest)
        self.long_side = int(manifest["long_side"])
        self.device = torch.device(device)
        self.backbone_id = backbone_of(weights, manifest)
        self.backbone = self._frozen(load_backbone(manifest, tensors, weights.name))
        self._take(manifest, tensors, weights.name)

    def with_network(self, weights: Path) -> Predictor:
        """A predictor with the click network of another checkpoint; the backbone, and all that it saw, is shared.

        Args:
            weights: a click checkpoint that was trained behind this backbone; it need not have it inside.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, of another network, or was trained to see otherwise.
        """
        manifest = read_manifest(weights)
        check_click(manifest, weights.name)
        seen = {
            "backbone": (backbone_of(weights, manifest), self.backbone_id),
            "preset": (manifest["preset"], self._preset),
            "working size": (manifest["long_side"], self.long_side),
        }
        for what, (theirs, ours) in seen.items():
            if theirs != ours:
                raise CheckpointError(
                    f"{weights.name} was trained with another {what} ({_short(theirs)}) than clicks are answered with "
                    f"({_short(ours)}): train the project again."
                )
        other = copy(self)
        other._take(manifest, read_weights(weights, manifest), weights.name)
        return other

    def _take(self, manifest: Mapping[str, Any], tensors: dict[str, Tensor], source: str) -> None:
        """Take the click network from a checkpoint."""
        self.version, self.sha256 = str(manifest["version"]), str(manifest["sha256"])
        self.temperature = float(manifest.get("temperature", 1.0))
        self._preset = str(manifest["preset"])
        self.network = self._frozen(
            build(lambda: presets.new(manifest, source), part_of(tensors, "network"), f"{source} (network)")
        )
        self._encoder = self._encoder_of(str(manifest.get("encoder", "")), source)
        self._heard: dict[tuple[str, ...], Words] = {}

    def _frozen(self, module: Module) -> Module:
        module.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module

    def _encoder_of(self, name: str, source: str) -> TextEncoder | None:
        """The encoder of the words that the network was trained with; None for one that hears none."""
        if not self.network.hears:
            return None
        encoder = named_encoder(name, source)
        if encoder.width != self.network.hears:
            raise CheckpointError(
                f"{source} hears words of {self.network.hears} numbers, and the text encoder {name!r} gives them "
                f"{encoder.width}: use another checkpoint, or train it again."
            )
        return encoder

    def words(self, phrases: Sequence[str]) -> Words | None:
        """What a network that hears is told of a defect: the mean over its phrases (Eq. 6).

        Args:
            phrases: that describe it, as :func:`model.language.prompts.builtin_prompts` has them.

        Returns:
            None when there are none, or the network hears nothing.
        """
        if self._encoder is None or not phrases:
            return None
        key = tuple(phrases)
        if key not in self._heard:
            self._heard[key] = Vocabulary(self._encoder, {"": key}).averages([""]).to(self.device)
        return self._heard[key]

    def encode(self, image: NDArray[np.uint8], long_side: int | None = None) -> Encoded:
        """Encode an image (H, W, 3), RGB, uint8, at ``long_side`` pixels (default: the checkpoint's)."""
        with self.format.autocast(self.device):
            return encode(image, self.backbone, long_side or self.long_side, self.device)  # type: ignore[arg-type]

    def look(
        self, image: NDArray[np.uint8], window: Window, references: Sequence[NDArray[np.uint8]]
    ) -> Prepared:
        """Prepare a window of an image (H, W, 3) at the closeness of :mod:`model.interactive.zoom`.

        Args:
            image: RGB, uint8.
            window: what to look at.
            references: a few of the most similar ones, of whatever size; the same part of each is compared.
        """
        parts = [window.of_size(image.shape, r.shape).cut(r) for r in references]
        encoded = [self.encode(part, self.config.zoom.side) for part in (window.cut(image), *parts)]
        normal = self.usual(encoded[1], encoded[2:]) if len(parts) > 1 else None
        return self.prepare(encoded[0], encoded[1:], normal)

    @torch.inference_mode()
    def prepare(self, image: Encoded, references: list[Encoded], normal: dict[str, float] | None) -> Prepared:
        """Match an image with its references and assemble all that does not depend on clicks.

        Args:
            image: the image.
            references: those that :func:`model.matching.retrieval.retrieve` chose from its bank; may be empty.
            normal: what is usual among the references (:meth:`usual`), if known.
        """
        retrieved = Retrieved([r.to(self.device) for r in references]) if references else None
        matching = self.config.matching
        if retrieved is None or self._do_not_fit(image, retrieved):
            return self.network.prepare(image, Retrieved([image]), None, itself=True, matching=matching)
        return self.network.prepare(image, retrieved, normal, matching=matching)

    def _do_not_fit(self, image: Encoded, retrieved: Retrieved) -> bool:
        """Whether these are a few references that show something else than the image."""
        if len(retrieved.references) > self.config.few_references:
            return False
        ratio = mismatch_ratio(image, retrieved, self.config.matching)
        return ratio > self.config.largest_mismatch_ratio

    @torch.inference_mode()
    def usual(self, image: Encoded, others: list[Encoded]) -> dict[str, float]:
        """Residual energies of one defect-free image against others, by name.

        Their 95 % quantiles, and as `model.evidence.anomaly_map.PEAK` the log of the highest joint one.
        """
        others = [other.to(self.device) for other in others]
        residual = match(image.to(self.device), Retrieved(others), config=self.config.matching)
        height, width = image.colour.shape[-2:]
        return {**normal_levels([residual]), PEAK: usual_peak(residual, (height, width))}

    @torch.inference_mode()
    def level(self, image: Encoded, others: list[Encoded]) -> float:
        """The median energy of the places of one defect-free image against others: what is usual in a bank."""
        others = [other.to(self.device) for other in others]
        residual = match(image.to(self.device), Retrieved(others), config=self.config.matching)
        return float(residual.energies["joint"].median())

    def retrieve(
        self, descriptor: NDArray[np.float32], bank: NDArray[np.float32], left_out: int | None = None
    ) -> list[int]:
        """Which references of a bank (N, D) an image with this descriptor (D,) is matched with, best first.

        ``left_out`` is the row of the image itself, when it is one of them.
        """
        count = self.config.nearest_references
        more = count + (left_out is not None)
        order = retrieve(torch.from_numpy(descriptor), torch.from_numpy(bank), more)
        return [i for i in order if i != left_out][:count]

    @torch.inference_mode()
    def logits(
        self,
        prepared: Prepared,
        frame: Frame,
        clicks: Sequence[Click],
        before: Map | None,
        words: Words | None = None,
    ) -> Map:
        """What the network says after some clicks.

        Args:
            prepared: the image.
            frame: its working frame.
            clicks: in image pixels, oldest first.
            before: the logits (frame.height, frame.width) after the click before, if there is one.
            words: for the clicked defect (:meth:`words`).

        Returns:
            (frame.height, frame.width) float32, at the checkpoint's temperature.
        """
        previous = torch.zeros(1, 1, frame.height, frame.width, device=self.device)
        if before is not None:  # at the temperature of 1, at which the network was trained to see it
            previous = torch.sigmoid(torch.from_numpy(before).to(self.device)[None, None] * self.temperature)
        previous = torch.nn.functional.avg_pool2d(previous, 2)
        shown = _to_grid(clicks, frame, self.config.most_clicks_seen).to(self.device)
        seen = self.network.inputs(prepared.to(self.device), shown, previous, words)
        with self.format.autocast(self.device):
            logits = self.network(*seen)
        return np.asarray((logits[0, 0].float() / self.temperature).cpu().numpy())


def _short(value: object) -> str:
    """A backbone, a preset or a size in a few characters."""
    return f"{value.name} {value.sha256[:12]}" if isinstance(value, BackboneId) else str(value)


def _to_grid(clicks: Sequence[Click], frame: Frame, most: int) -> Tensor:
    """(1, N, 3): clicks on the stride-2 grid, the newest ``most`` of each sign."""
    sx, sy = frame.scale_xy
    kept = [c for positive in (True, False) for c in [c for c in clicks if c.positive == positive][-most:]]
    rows = [[c.x * sx / 2, c.y * sy / 2, 1.0 if c.positive else -1.0] for c in kept]
    return torch.tensor(rows, dtype=torch.float32).view(1, -1, 3)
