"""Versions without a network: weights that are any bytes, with the manifest that describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adclick_backend.store.version import Version
from adclick_backend.store.versions import Registry


def candidate(folder: Path, content: bytes = b"weights", **manifest: Any) -> Path:
    """A folder that may become a version."""
    types = manifest.get("types", ["defect"])
    offsets = {name: 0.0 for name in types}
    _write(folder, "weights", content, {"preset": "lite-seg", "types": types, "offsets": offsets, **manifest})
    return folder


def click_candidate(folder: Path, content: bytes = b"clicks", **manifest: Any) -> Path:
    """A click network in a folder that may become a version."""
    _write(
        folder,
        "click",
        content,
        {"preset": "lite", "backbone_sha256": "0" * 64, "long_side": 512, **manifest},
    )
    return folder


def detector_candidate(
    folder: Path, content: bytes = b"detectors", products: Sequence[str] = ("",), **manifest: Any
) -> Path:
    """Detectors in a folder that may become a version: InvAD, the residual, and both together."""
    usual = {"location": 0.0, "scale": 1.0, "peaks": [0.0]}
    described = {
        "preset": "detector",
        "backbone_sha256": "0" * 64,
        "long_side": 512,
        "parts": [{"name": name, "method": name, "network": {}} for name in ("invad-tiny", "residual")],
        "serves": ["invad-tiny"],
        "calibration": {
            product: dict.fromkeys(("invad-tiny", "residual", "invad-tiny+residual"), usual)
            for product in products
        },
        "training": {"notes": ["Fitted to good images."]},
    }
    _write(folder, "detector", content, {**described, **manifest})
    return folder


def _write(folder: Path, stem: str, content: bytes, manifest: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.safetensors").write_bytes(content)
    described = {
        "version": "x",
        "backbone": "efficientnet_lite0",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / f"{stem}.json").write_text(json.dumps({**described, **manifest}))


def publish(registry: Registry, folder: Path, project: str = "3", *, activate: bool = True) -> Version:
    """Publish the next version of a project, by default as the one that serves."""
    name = registry.new_name(project)
    version = registry.publish(project, candidate(folder / f"candidate-{name}", name.encode()), name)
    return registry.activate(project, name) if activate else version
