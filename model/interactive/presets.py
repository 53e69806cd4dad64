"""Click networks by the name of their preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.checkpoint.described import read_sizes
from model.checkpoint.manifest import CheckpointError
from model.evidence.prepared import CHANNELS
from model.interactive.base import BaseClickNetwork, BaseConfig
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.interactive.network import ClickNetwork

UNSAID_SHRINKAGE = 10.0
"""What networks were trained with whose manifest does not say."""


def new(manifest: Mapping[str, Any], source: str) -> ClickNetwork:
    """The untrained click network that a checkpoint's manifest describes.

    Args:
        manifest: ``preset``, and the sizes as ``network`` (:class:`model.interactive.lite.LiteConfig`,
            :class:`model.interactive.base.BaseConfig`). Where these are not there the usual ones hold, and
            ``previous`` says whether a ``lite`` network sees the previous mask.
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: the preset is no click network, or its sizes are none that this release can build.
    """
    preset = manifest["preset"]
    if preset == "base":
        base = read_sizes(BaseConfig(), manifest.get("network", {}), source, preset)
        return BaseClickNetwork(base)
    if preset != "lite":
        raise CheckpointError(f"{source} holds the preset {preset!r}; a click network is 'lite' or 'base'.")
    sizes = manifest.get("network", {"previous": bool(manifest.get("previous", False))})
    lite = read_sizes(LiteConfig(shrinkage=UNSAID_SHRINKAGE), sizes, source, preset)
    if lite.inputs != CHANNELS:
        raise CheckpointError(
            f"{source} was trained on {lite.inputs} maps of evidence, and this release makes {CHANNELS}: use a "
            "checkpoint of this release, or train it again."
        )
    return LiteClickNetwork(lite)
