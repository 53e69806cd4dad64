"""Versions without a network: weights that are any bytes, with the manifest that describes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from adclick_backend.store.versions import Registry, Version


def candidate(folder: Path, content: bytes = b"weights", **manifest: Any) -> Path:
    """A folder that may become a version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(content)
    described = {
        "version": "x",
        "preset": "lite-seg",
        "backbone": "efficientnet_lite0",
        "types": manifest.get("types", ["defect"]),
        "offsets": {name: 0.0 for name in manifest.get("types", ["defect"])},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "weights.json").write_text(json.dumps({**described, **manifest}))
    return folder


def click_candidate(folder: Path, content: bytes = b"clicks", **manifest: Any) -> Path:
    """A click network in a folder that may become a version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "click.safetensors").write_bytes(content)
    described = {
        "version": "x",
        "preset": "lite",
        "backbone": "efficientnet_lite0",
        "backbone_sha256": "0" * 64,
        "long_side": 512,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "click.json").write_text(json.dumps({**described, **manifest}))
    return folder


def publish(registry: Registry, folder: Path, project: str = "3", *, activate: bool = True) -> Version:
    """Publish the next version of a project, by default as the one that serves."""
    name = registry.new_name(project)
    version = registry.publish(project, candidate(folder / f"candidate-{name}", name.encode()), name)
    return registry.activate(project, name) if activate else version
