"""What a checkpoint says of itself, in a JSON file beside it. Read without torch: the version is known at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

WEIGHTS = Path(__file__).parents[1] / "weights"

STATED_LICENCES = "stated-licences"
"""Name of the packaged click network that was trained on nothing but sets whose licence is stated."""


class Packaged(NamedTuple):
    """The packaged networks behind one backbone.

    Attributes:
        click: the click network.
        seg: the segmentation network that every project's starts from.
        stated: the click network of `STATED_LICENCES`.
    """

    click: Path
    seg: Path
    stated: Path

    @classmethod
    def named(cls, stem: str) -> Packaged:
        """The files whose names begin with ``stem``."""
        click, seg, stated = (
            WEIGHTS / f"{stem}{end}.safetensors" for end in ("", "-seg", f"-{STATED_LICENCES}")
        )
        return cls(click, seg, stated)


VIT, LITE = Packaged.named("adclick-vit"), Packaged.named("adclick-lite")

BACKBONES = {"vit": VIT, "lite": LITE}
"""What a setting calls a backbone -> its networks; the first is the usual one."""

TIMM = "timm:"
"""What the names of other backbones begin with, none of them packaged; timm's own name of the network follows."""

PACKAGED, PACKAGED_SEG, PACKAGED_STATED = VIT

FORMAT = 2
"""Of checkpoints that are written now. Raise it when a reader of before could not use them, or would misread them.

0: what was written before there were numbers; the networks have the sizes that were usual then. 1: the manifest has the
number as ``format``, and the sizes of the network as ``network``. 2: the backbone may lie in a file of its own, which
the manifest names by its ``backbone_sha256``; a ``lite`` network says its ``shrinkage``, a ``base`` one its ``words``.
"""


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
