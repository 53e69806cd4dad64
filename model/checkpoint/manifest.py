"""What a checkpoint says of itself, in a JSON file beside it. Read without torch: the version is known at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGED = Path(__file__).parents[1] / "weights" / "adclick-lite.safetensors"
PACKAGED_SEG = PACKAGED.with_name("adclick-lite-seg.safetensors")

FORMAT = 1
"""Of checkpoints that are written now. Raise it when a reader of before could not use them, or would misread them.

0: what was written before there were numbers; the networks have the sizes that were usual then. 1: the manifest has the
number as ``format``, and the sizes of the network as ``network``.
"""

STATED_LICENCES = "stated-licences"
"""Name of the packaged click network that was trained on nothing but sets whose licence is stated."""

PACKAGED_STATED = PACKAGED.with_name(f"adclick-lite-{STATED_LICENCES}.safetensors")


def start_of_training(checkpoint: Path | None) -> Path:
    """The packaged weights that a project's training starts from, when clicks are answered by ``checkpoint``.

    Those of the segmentation network; where clicks are answered by the network of stated licences, that one, because
    the segmentation network saw other sets.
    """
    return PACKAGED_STATED if checkpoint == PACKAGED_STATED else PACKAGED_SEG


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message says which file and why."""


class UnreadableError(CheckpointError):
    """A file of a checkpoint cannot be read now: it is gone, or the disk or the permissions are at fault."""


def manifest_path(weights: Path) -> Path:
    """Where the manifest of ``weights`` lies: beside it, ``.json`` instead of ``.safetensors``."""
    return weights.with_suffix(".json")


def read_manifest(weights: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Cheap: reads no weights.

    Raises:
        CheckpointError: no manifest, not JSON, or written by a newer release.
    """
    path = manifest_path(weights)
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UnreadableError(
            f"The manifest {path.name} of the weights cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"The manifest {path.name} of the weights is not valid JSON.") from error
    if not isinstance(manifest, dict) or not {"version", "preset", "sha256"} <= manifest.keys():
        raise CheckpointError(f"The manifest {path.name} lacks one of: version, preset, sha256.")
    number = manifest.get("format", 0)
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise CheckpointError(
            f"The manifest {path.name} has the format {number!r}, which is no number of a format."
        )
    if number > FORMAT:
        raise CheckpointError(
            f"{weights.name} was written by a newer ADClick (format {number}, this one reads up to {FORMAT}): update "
            "the backend, or use a checkpoint of this release."
        )
    return manifest


def read_checked(weights: Path, manifest: Mapping[str, Any]) -> bytes:
    """The bytes of a checkpoint's weights, which are those that its manifest describes.

    Raises:
        UnreadableError: they cannot be read.
        CheckpointError: they have another sha256.
    """
    try:
        data = weights.read_bytes()
    except OSError as error:
        raise UnreadableError(f"The weights {weights.name} cannot be read: {error.strerror}.") from error
    found, expected = hashlib.sha256(data).hexdigest(), str(manifest["sha256"])
    if found != expected:
        raise CheckpointError(
            f"The weights {weights.name} are damaged or were exchanged: their sha256 is {found[:12]}..., "
            f"the manifest says {expected[:12]}..."
        )
    return data
