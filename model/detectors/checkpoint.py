"""Detectors on disk: one checkpoint holds several, its parts, and says which of them make the map that serves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from model.checkpoint.atomic import write_atomically
from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.described import DETECTOR_PRESET, check_detector
from model.checkpoint.files import part_of, read_weights, write_checkpoint
from model.checkpoint.manifest import CheckpointError, manifest_path, read_manifest


@dataclass(frozen=True)
class Part:
    """A detector as a checkpoint holds it.

    Attributes:
        name: of the method and its size, ``invad-tiny`` for one; no other part has it.
        method: how it is made of its sizes and tensors.
        network: its sizes, as JSON has them.
        tensors: its state; none for a detector that learns nothing.
    """

    name: str
    method: str
    network: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectorCheckpoint:
    """Some detectors behind one backbone.

    Attributes:
        version: name that predictions carry.
        backbone_id: the backbone behind which all of them were fitted.
        long_side: of the working frame, pixels.
        parts: the detectors, at least one.
        serves: names of those whose maps make the one that serves, at least one.
        calibration: product -> what is usual on its good images, as JSON has it.
        training: settings, counts, and ``notes``, sentences for a person, as JSON has them.
        backbone: state of the backbone, where it lies inside; empty for a packaged one.
    """

    version: str
    backbone_id: BackboneId
    long_side: int
    parts: Sequence[Part]
    serves: Sequence[str]
    calibration: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, name: str) -> Part | None:
        """The part of a name; None when there is none."""
        return next((part for part in self.parts if part.name == name), None)


def write_detector(out: Path, checkpoint: DetectorCheckpoint) -> None:
    """Write a checkpoint, its manifest beside it; a crash leaves what was there before, or a pair that is refused.

    Raises:
        CheckpointError: it is none that :func:`read_detector` would take: a name twice, a number that is none.
        OSError: the disk is full, or cannot be written.
    """
    state = {f"{p.name}.{key}": tensor for p in checkpoint.parts for key, tensor in p.tensors.items()}
    state |= {f"backbone.{key}": tensor for key, tensor in checkpoint.backbone.items()}
    odd = sorted(n for n, t in state.items() if t.is_floating_point() and not bool(t.half().isfinite().all()))
    if odd:
        raise CheckpointError(f"{out.name} is not written: {odd[0]} holds values that are no numbers.")
    manifest = {
        "version": checkpoint.version,
        "preset": DETECTOR_PRESET,
        "backbone": checkpoint.backbone_id.name,
        "backbone_sha256": checkpoint.backbone_id.sha256,
        "long_side": checkpoint.long_side,
        "parts": [{"name": p.name, "method": p.method, "network": p.network} for p in checkpoint.parts],
        "serves": list(checkpoint.serves),
        "calibration": checkpoint.calibration,
        "training": checkpoint.training,
    }
    check_detector(manifest, out.name)
    write_checkpoint(out, state, manifest)


def read_detector(weights: Path) -> DetectorCheckpoint:
    """Read a checkpoint that :func:`write_detector` wrote.

    Raises:
        UnreadableError: a file of it cannot be read.
        CheckpointError: it is damaged, of another network, of a newer release, or holds values that are no numbers.
    """
    manifest = read_manifest(weights)
    check_detector(manifest, weights.name)
    tensors = read_weights(weights, manifest)
    names = [part["name"] for part in manifest["parts"]]
    unknown = sorted(key for key in tensors if key.split(".")[0] not in (*names, "backbone"))
    if unknown:
        raise CheckpointError(f"{weights.name} holds {unknown[0]}, which belongs to none of its parts.")
    return DetectorCheckpoint(
        version=str(manifest["version"]),
        backbone_id=BackboneId(manifest["backbone"], manifest["backbone_sha256"]),
        long_side=manifest["long_side"],
        parts=[
            Part(p["name"], p["method"], p["network"], part_of(tensors, p["name"])) for p in manifest["parts"]
        ],
        serves=manifest["serves"],
        calibration=manifest["calibration"],
        training=manifest["training"],
        backbone=part_of(tensors, "backbone"),
    )


def let_serve(weights: Path, serves: Sequence[str]) -> None:
    """Let other parts of a checkpoint make the map that serves; only its manifest is written, in one step.

    Raises:
        CheckpointError: the checkpoint lacks one of them, or its manifest cannot be used.
        OSError: the disk is full, or cannot be written.
    """
    manifest = {**read_manifest(weights), "serves": list(serves)}
    check_detector(manifest, weights.name)
    written = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    write_atomically(manifest_path(weights), written.encode())
