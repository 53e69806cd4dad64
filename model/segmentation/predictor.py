"""Masks before the first click: a prepared image in, one probability map for each defect type out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adclick_runtime.expected import sigmoid
from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import trained_behind
from model.checkpoint.described import SEG_PRESET, check_segmentation, read_sizes
from model.checkpoint.files import build, load_into, part_of, read_weights
from model.checkpoint.manifest import CheckpointError, read_manifest
from model.evidence.prepared import Prepared
from model.features.number_format import AUTO, number_format
from model.segmentation.inputs import inputs, views_behind
from model.segmentation.network import ADClickSeg, SegConfig
from model.segmentation.type_head import TypeHead, given, length

SMOOTHING = 2.0
"""Standard deviation, in working pixels, of the blur of the logits: a lone bright pixel is rarely a defect."""

GIVEN = ("words", "relative", "clicks", "vectors", "views")
"""Sizes of what the network is given: those of its own words, and of the maps that this release makes."""


class SegPredictor:
    """ADClick-Seg from one checkpoint. Its features are those of the click network: an opened image is used again.

    Args:
        weights: a ``.safetensors`` checkpoint with its manifest beside it.
        device: where to compute.
        asked: the number format that is asked for (:mod:`model.features.number_format`).

    Attributes:
        version: name of the checkpoint.
        types: defect types it looks for.
        backbone_id: the backbone whose features it must be given.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another network.
        ValueError: there is no such number format.
    """

    def __init__(self, weights: Path, device: str = "cpu", asked: str = AUTO):
        manifest = read_manifest(weights)
        check_segmentation(manifest, weights.name)
        tensors = read_weights(weights, manifest)
        self.version = str(manifest["version"])
        self.backbone_id = trained_behind(manifest)
        self.types: tuple[str, ...] = tuple(manifest["types"])
        self.device = torch.device(device)
        self._format = number_format(asked, device)
        self.offsets = [float(manifest["offsets"][name]) for name in self.types]
        states, present = _words(tensors, len(self.types), weights.name)
        self.states, self.present = states.to(self.device), present.to(self.device)
        usual = SegConfig(words=states.shape[-1], views=views_behind(self.backbone_id.name))
        config = read_sizes(usual, manifest.get("network", {}), weights.name, SEG_PRESET)
        for name in GIVEN:
            if getattr(config, name) != getattr(usual, name):
                raise CheckpointError(
                    f"{weights.name} was trained with {name} = {getattr(config, name)}, and is given "
                    f"{getattr(usual, name)}: train the project again."
                )
        named = part_of(tensors, "types")
        self.head = TypeHead(length(config), len(self.types)) if named else None
        if self.head is not None:
            load_into(self.head, named, f"{weights.name} (types)")
        own = {k: v for k, v in tensors.items() if not k.startswith(("types.", "words."))}
        self.network = build(lambda: ADClickSeg(config), own, weights.name)
        self.network.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def maps(self, prepared: Prepared, frame: Frame) -> dict[str, NDArray[np.float32]]:
        """One forward for each type; their maximum is the map of Eq. 7, and what is found is of the type it looks like.

        Args:
            prepared: what :meth:`model.interactive.predictor.Predictor.prepare` returned for the image.
            frame: its working frame.

        Returns:
            Defect type -> calibrated probability, (frame.height, frame.width) float32 in [0, 1].

        Raises:
            CheckpointError: the image was prepared for a click network that makes no relative maps.
        """
        if not prepared.levels:
            raise CheckpointError(
                f"{self.version} needs the maps of the click network 'lite'; with the preset 'base' only clicks are "
                "answered, and masks before the first click come from the residual."
            )
        seen = inputs(prepared.to(self.device))
        with self._format.autocast(self.device):
            logits = type_logits(self.network, seen, self.states, self.present)
        found = [
            sigmoid(smooth(logit) - offset, np.inf)
            for logit, offset in zip(logits, self.offsets, strict=True)
        ]
        if self.head is not None:
            found = self.head.share(found, given(seen))
        return dict(zip(self.types, found, strict=True))


def _words(tensors: Mapping[str, Tensor], types: int, source: str) -> tuple[Tensor, Tensor]:
    """The words of a checkpoint's types: (K, T, D), and (K, T) how much of a word there is.

    Raises:
        CheckpointError: they are not there, or of other types.
    """
    try:
        states, present = tensors["words.states"], tensors["words.present"]
    except KeyError as error:
        raise CheckpointError(f"{source} does not fit this network: it lacks {error.args[0]}.") from None
    if states.ndim != 3 or present.shape != states.shape[:2] or len(states) != types:
        raise CheckpointError(
            f"{source} does not fit its manifest: for {types} types it has words of the shapes {tuple(states.shape)} "
            f"and {tuple(present.shape)}."
        )
    return states, present


def type_logits(
    network: ADClickSeg, seen: dict[str, Tensor], states: Tensor, present: Tensor
) -> list[Tensor]:
    """The logits (2h, 2w) of each type in one image.

    Args:
        network: in evaluation mode.
        seen: :func:`model.segmentation.inputs.inputs` of the image, B = 1.
        states: (K, T, D), the words of the types.
        present: (K, T), how much of a word there is.
    """
    skips = network.see(seen)
    return [
        network.find(skips, seen, states[i : i + 1], present[i : i + 1])[0, 0].float()
        for i in range(len(states))
    ]


def smooth(logits: Tensor) -> NDArray[np.float32]:
    """The logits (H, W) as they are cut: without lone bright pixels."""
    return np.asarray(cv2.GaussianBlur(logits.cpu().numpy(), (0, 0), SMOOTHING), np.float32)
