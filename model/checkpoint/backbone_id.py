"""Which backbone a click checkpoint was trained behind, by content. Read without torch: caches are named by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from model.checkpoint.manifest import (
    BACKBONES,
    LITE,
    CheckpointError,
    Packaged,
    UnreadableError,
    read_manifest,
)

_MOST_HEADER = 16 << 20  # bytes


class BackboneId(NamedTuple):
    """A frozen backbone.

    Attributes:
        name: of the architecture (:data:`model.features.backbones.BACKBONES`).
        sha256: of its file, where it has one of its own; of its tensors, where they lie in the click checkpoint. Click
            checkpoints with the same backbone inside have the same.
    """

    name: str
    sha256: str


def backbone_of(weights: Path, manifest: Mapping[str, Any]) -> BackboneId:
    """The backbone that a click checkpoint was trained behind: the one that its manifest names, or the one inside.

    Args:
        weights: the click checkpoint.
        manifest: of it, checked (:func:`model.checkpoint.described.check_click`).

    Raises:
        UnreadableError: the file cannot be read.
        CheckpointError: it is no safetensors file, or has no backbone inside and names none.
    """
    name = str(manifest["backbone"])
    if "backbone_sha256" in manifest:
        return BackboneId(name, str(manifest["backbone_sha256"]))
    digest, found = hashlib.sha256(), 0
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MOST_HEADER)))
            for tensor in sorted(key for key in header if key.startswith("backbone.")):
                first, last = header[tensor]["data_offsets"]
                file.seek(8 + length + first)
                digest.update(f"{tensor} {header[tensor]['dtype']} {header[tensor]['shape']}\n".encode())
                digest.update(file.read(last - first))
                found += 1
    except OSError as error:
        raise UnreadableError(f"The weights {weights.name} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{weights.name} is not a readable safetensors file.") from error
    if not found:
        raise CheckpointError(f"{weights.name} has no backbone inside, and its manifest names none.")
    return BackboneId(name, digest.hexdigest())


def trained_behind(manifest: Mapping[str, Any]) -> BackboneId:
    """The backbone that a segmentation checkpoint was trained behind.

    Args:
        manifest: of it, checked. Before backbones were told by their content, there was but the packaged Lite0.

    Raises:
        CheckpointError: it is an old one, and the packaged Lite0 cannot be read.
    """
    name = str(manifest["backbone"])
    if "backbone_sha256" not in manifest and name == _packaged(LITE.click).name:
        return _packaged(LITE.click)
    return BackboneId(name, str(manifest.get("backbone_sha256", "")))


def packaged_behind(backbone: BackboneId) -> Packaged | None:
    """The packaged networks behind a backbone; None when there are none here."""
    there = (networks for networks in BACKBONES.values() if networks.click.exists())
    return next((networks for networks in there if _packaged(networks.click) == backbone), None)


def start_of_training(click: Path) -> Path:
    """The weights that a project's training starts from, when clicks are answered by the network ``click``.

    Those of the packaged segmentation network behind the same backbone. Where there is none, and where clicks are
    answered by the network of stated licences, those of the click network: the segmentation network saw other sets.

    Raises:
        CheckpointError: ``click`` cannot be used.
    """
    networks = packaged_behind(backbone_of(click, read_manifest(click)))
    if networks is None or click == networks.stated or not networks.seg.exists():
        return click
    return networks.seg


@cache
def _packaged(click: Path) -> BackboneId:
    return backbone_of(click, read_manifest(click))
