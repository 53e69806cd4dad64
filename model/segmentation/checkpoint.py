"""An ADClick-Seg checkpoint: network, type head and the words of its types, with the manifest that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.described import SEG_PRESET
from model.checkpoint.files import write_checkpoint
from model.language.vocabulary import Vocabulary
from model.segmentation.network import ADClickSeg
from model.segmentation.type_head import TypeHead


def write_seg(
    out: Path,
    network: ADClickSeg,
    vocabulary: Vocabulary,
    types: Sequence[str],
    shifts: Sequence[float],
    version: str,
    about: dict[str, Any],
    head: TypeHead | None = None,
    *,
    behind: BackboneId,
) -> None:
    """Write a checkpoint for :class:`~model.segmentation.predictor.SegPredictor`, with the words of its types.

    ``behind`` is the backbone that the network was trained behind.
    """
    states, present = vocabulary.averages(types)
    state = {**network.state_dict(), "words.states": states, "words.present": present}
    if head is not None:
        state |= {f"types.{name}": tensor for name, tensor in head.state_dict().items()}
    manifest = {
        "preset": SEG_PRESET,
        "version": version,
        "backbone": behind.name,
        "backbone_sha256": behind.sha256,
        "network": asdict(network.config),
        "encoder": vocabulary.encoder,
        "types": list(types),
        "offsets": {name: round(shift, 4) for name, shift in zip(types, shifts, strict=True)},
        "training": about,
    }
    write_checkpoint(out, state, manifest)
