"""What a checkpoint says of itself, in a JSON file beside it. Read without torch: the version is known at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PACKAGED = Path(__file__).parents[1] / "weights" / "adclick-lite.safetensors"
PACKAGED_SEG = PACKAGED.with_name("adclick-lite-seg.safetensors")

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


def manifest_path(weights: Path) -> Path:
    """Where the manifest of ``weights`` lies: beside it, ``.json`` instead of ``.safetensors``."""
    return weights.with_suffix(".json")


def read_manifest(weights: Path) -> dict[str, Any]:
    """The manifest of a checkpoint. Cheap: reads no weights.

    Raises:
        CheckpointError: no manifest, or not JSON.
    """
    path = manifest_path(weights)
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"The manifest {path.name} of the weights cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"The manifest {path.name} of the weights is not valid JSON.") from error
    if not isinstance(manifest, dict) or not {"version", "preset", "sha256"} <= manifest.keys():
        raise CheckpointError(f"The manifest {path.name} lacks one of: version, preset, sha256.")
    return manifest
