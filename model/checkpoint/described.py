"""What a manifest must say for its network to be built, checked before anything is loaded. Imports no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from model.checkpoint.manifest import CheckpointError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Config = TypeVar("Config", bound=DataclassInstance)

CLICK_PRESETS = ("lite", "base")
"""Of the manifests of click networks."""

SEG_PRESET = "lite-seg"
"""Of the manifests of ADClick-Seg."""

DETECTOR_PRESET = "detector"
"""Of the manifests of detectors."""

_SHA256 = re.compile("[0-9a-f]{64}")

MOST = 4096
"""No size of a network is larger."""


def check_click(manifest: Mapping[str, Any], source: str) -> None:
    """Make sure that a manifest says all that a click network needs.

    Args:
        manifest: as :func:`model.checkpoint.manifest.read_manifest` read it.
        source: name of the checkpoint, for the message.

    Raises:
        CheckpointError: it lacks something, something is no value for it, or it is of another network.
    """
    if manifest["preset"] not in CLICK_PRESETS:
        raise CheckpointError(
            f"{source} holds the preset {manifest['preset']!r}; a click network is 'lite' or 'base'."
        )
    _check(manifest, source, ("version", "backbone", "long_side"))
    _check_given(manifest, source, ("temperature", "previous", "encoder", "backbone_sha256"))


def check_segmentation(manifest: Mapping[str, Any], source: str) -> None:
    """Make sure that a manifest says all that ADClick-Seg needs, and what a person is told; see `check_click`."""
    if manifest["preset"] != SEG_PRESET:
        raise CheckpointError(
            f"{source} holds the preset {manifest['preset']!r}; masks before the first click need {SEG_PRESET!r}."
        )
    _check(manifest, source, ("version", "backbone", "types", "offsets"))
    missing = [name for name in manifest["types"] if name not in manifest["offsets"]]
    if missing:
        raise CheckpointError(f"The manifest of {source} has no offset for the type {missing[0]!r}.")
    _check_given(manifest, source, ("created", "metrics", "data", "training", "backbone_sha256"))


def check_detector(manifest: Mapping[str, Any], source: str) -> None:
    """Make sure that a manifest says all that detectors need; see `check_click`."""
    if manifest["preset"] != DETECTOR_PRESET:
        raise CheckpointError(
            f"{source} holds the preset {manifest['preset']!r}; anomaly maps need {DETECTOR_PRESET!r}."
        )
    names = (
        "version",
        "backbone",
        "backbone_sha256",
        "long_side",
        "parts",
        "serves",
        "calibration",
        "training",
    )
    _check_there(manifest, source, names)
    _check_given(manifest, source, names)
    held = [part["name"] for part in manifest["parts"]]
    missing = [name for name in manifest["serves"] if name not in held]
    if missing:
        raise CheckpointError(
            f"The manifest of {source} lets {missing[0]!r:.60} serve, which it does not hold; it holds "
            f"{', '.join(held)}."
        )


def read_sizes(config: Config, sizes: object, source: str, preset: str) -> Config:
    """The sizes of a network as a manifest says them.

    Args:
        config: the usual sizes, which stand where the manifest says nothing.
        sizes: ``network`` of the manifest; lists stand for tuples.
        source: name of the checkpoint, for the message.
        preset: its preset, for the message.

    Raises:
        CheckpointError: a size is unknown here, or no size at all.
    """
    known = {field.name: getattr(config, field.name) for field in fields(config)}
    try:
        if not isinstance(sizes, dict):
            raise ValueError(f"{sizes!r:.40} are none")
        unknown = sorted(sizes.keys() - known.keys())
        if unknown:
            raise ValueError(f"{unknown[0]!r:.40} is unknown here")
        return replace(config, **{name: _like(known[name], size, name) for name, size in sizes.items()})
    except ValueError as error:
        raise CheckpointError(
            f"The manifest of {source} has sizes that are not of {preset!r}: {str(error).rstrip('.')}."
        ) from None


def _like(usual: Any, size: Any, name: str) -> Any:
    """A size of the same kind as the usual one.

    Raises:
        ValueError: it is of another kind.
    """
    if isinstance(usual, tuple):
        if isinstance(size, (list, tuple)) and len(size) == len(usual):
            return tuple(_like(u, s, name) for u, s in zip(usual, size, strict=True))
    elif isinstance(usual, float):
        if _is_number(size):
            return float(size)
    elif type(size) is type(usual) and (not isinstance(size, int) or 0 <= size <= MOST):
        return size
    raise ValueError(f"{name} = {size!r:.40}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _are_types(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and 0 < len(value) == len(set(value))


def _are_parts(value: object) -> bool:
    """Parts of a detector; a name begins those of its tensors, so that it has no dot and is not the backbone's."""
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        return False
    names = [part.get("name") for part in value]
    return _are_types(names) and all(
        "." not in part["name"]
        and part["name"] != "backbone"
        and _is_text(part.get("method"))
        and isinstance(part.get("network"), dict)
        for part in value
    )


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "version": ("the name that predictions carry", _is_text),
    "backbone": ("the name of a backbone", _is_text),
    "backbone_sha256": (
        "64 hexadecimal digits",
        lambda value: _is_text(value) and bool(_SHA256.fullmatch(value)),
    ),
    "long_side": (
        "a whole number of pixels, 64 to 4096",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 64 <= value <= 4096,
    ),
    "temperature": ("a number above 0", lambda value: _is_number(value) and value > 0),
    "encoder": ("the name of a text encoder", _is_text),
    "previous": ("true or false", lambda value: isinstance(value, bool)),
    "types": ("a list of different names", _are_types),
    "offsets": (
        "a number for each type",
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    ),
    "parts": ("a list of detectors with different names, methods and sizes", _are_parts),
    "serves": ("a list of different names of parts", _are_types),
    "calibration": ("a JSON object", lambda value: isinstance(value, dict)),
    "network": ("the sizes of the network", lambda value: isinstance(value, dict)),
    "created": ("a time in Unix seconds", _is_number),
    "metrics": (
        "numbers by name, null where one could not be measured",
        lambda value: isinstance(value, dict) and all(v is None or _is_number(v) for v in value.values()),
    ),
    "data": ("a JSON object", lambda value: isinstance(value, dict)),
    "training": ("a JSON object", lambda value: isinstance(value, dict)),
}


def _check(manifest: Mapping[str, Any], source: str, names: tuple[str, ...]) -> None:
    """What must be there is, and is what it should be; from format 1 on that includes the sizes."""
    if manifest.get("format", 0) >= 1:
        names = (*names, "network")
    _check_there(manifest, source, names)
    _check_given(manifest, source, names)


def _check_there(manifest: Mapping[str, Any], source: str, names: tuple[str, ...]) -> None:
    """What must be there is."""
    for name in names:
        if name not in manifest:
            raise CheckpointError(f"The manifest of {source} lacks {name}: {_FIELDS[name][0]}.")


def _check_given(manifest: Mapping[str, Any], source: str, names: tuple[str, ...]) -> None:
    """What is there is what it should be."""
    for name in names:
        words, fits = _FIELDS[name]
        if name in manifest and not fits(manifest[name]):
            raise CheckpointError(
                f"The manifest of {source} says {name} = {manifest[name]!r:.60}; it must be {words}."
            )
