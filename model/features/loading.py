"""Frozen backbones from files: inside a click checkpoint, or one of their own that many checkpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from model.checkpoint.files import build, part_of, read_weights
from model.checkpoint.manifest import TIMM, CheckpointError, read_manifest
from model.features.backbones import BACKBONES
from model.features.timm_backbone import TimmBackbone

SHARED = Path(__file__).parents[1] / "weights"
"""Where the files of backbones lie that click checkpoints name by their sha256."""


def shared_file(name: str) -> Path:
    """The file of a backbone that is shared, ``lite0_vit`` for one."""
    return SHARED / f"{name.replace('_', '-')}.safetensors"


def load_shared(name: str) -> tuple[nn.Module, dict[str, str]]:
    """A backbone with a file of its own, not yet moved, and how the manifest of a checkpoint behind it names it.

    Raises:
        CheckpointError: its file is not there, or damaged.
    """
    file = shared_file(name)
    about = read_manifest(file)
    found = build(BACKBONES[name], read_weights(file, about), file.name)
    return found, {"backbone": name, "backbone_sha256": str(about["sha256"])}


def load_backbone(manifest: Mapping[str, Any], tensors: dict[str, Tensor], source: str) -> nn.Module:
    """The backbone that a click checkpoint was trained behind, as a frozen network would be used: not yet moved.

    Args:
        manifest: of the click checkpoint.
        tensors: of the click checkpoint; with a part ``backbone``, that is it.
        source: name of the checkpoint, for messages.

    Raises:
        CheckpointError: there is no such backbone here, or its file is another one than that of the training.
    """
    name = manifest["backbone"]
    if name not in BACKBONES and not name.startswith(TIMM):
        *others, last = BACKBONES
        raise CheckpointError(
            f"{source} needs the backbone {name!r}; this release has {', '.join(others)} and {last}, and those of timm."
        )
    inside = part_of(tensors, "backbone")
    if inside:
        made = BACKBONES.get(name) or partial(TimmBackbone, name.removeprefix(TIMM))
        return build(made, inside, f"{source} (backbone)")
    if not shared_file(name).exists():
        raise CheckpointError(
            f"{source} has no backbone inside, and {shared_file(name).name} is not among the weights here."
        )
    found, named = load_shared(name)
    wanted = manifest.get("backbone_sha256")
    if named["backbone_sha256"] != wanted:
        raise CheckpointError(
            f"{source} was trained behind another {name} (sha256 {str(wanted)[:12]}) than the one that is here "
            f"({named['backbone_sha256'][:12]}): use a checkpoint of this release, or train again."
        )
    return found
