"""The small diffusion model on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.checkpoint.files import build, read_weights, write_checkpoint
from model.checkpoint.manifest import WEIGHTS, CheckpointError, read_manifest
from model.generation.anogen.network import DenoiserConfig, Painter

PACKAGED = WEIGHTS / "adclick-anogen.safetensors"

PRESET = "anogen-small"


def write_painter(out: Path, painter: Painter, version: str, about: Mapping[str, Any]) -> None:
    """Write a painter as float16 with its manifest.

    Args:
        out: a ``.safetensors`` file.
        painter: the network.
        version: its name.
        about: of the training.
    """
    manifest = {
        "preset": PRESET,
        "version": version,
        "network": asdict(painter.denoiser.config),
        "training": dict(about),
    }
    write_checkpoint(out, painter.state_dict(), manifest)


def read_painter(weights: Path) -> tuple[Painter, str]:
    """The painter of a checkpoint, in evaluation mode, and its name: version and the beginning of its sha256.

    Raises:
        CheckpointError: it cannot be read, or holds another kind of network.
    """
    manifest = read_manifest(weights)
    if manifest["preset"] != PRESET:
        raise CheckpointError(f"{weights.name} holds {manifest['preset']!r}, not a generator of defects.")
    try:
        sizes = manifest["network"]
        config = DenoiserConfig(tuple(sizes["widths"]), int(sizes["blocks"]), int(sizes["vector"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The manifest of {weights.name} does not say the sizes of its network."
        ) from error
    painter = build(lambda: Painter(config), read_weights(weights, manifest), weights.name)
    return painter.eval().requires_grad_(False), f"{manifest['version']}-{manifest['sha256'][:8]}"
