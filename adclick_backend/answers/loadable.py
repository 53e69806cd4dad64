"""The version that serves and whose network can be loaded, for whoever needs it before anything is proposed."""

from __future__ import annotations

from pathlib import Path

from adclick_backend.engine.bank import VersionError
from adclick_backend.engine.engine import Engine
from adclick_backend.store.version import Version
from adclick_backend.store.versions import Registry


def loadable_version(project: str, registry: Registry, engine: Engine) -> Version | None:
    """The version that serves a project, its networks loaded; None when that is the packaged network.

    What cannot be loaded is refused on the way, in all worker processes.
    """
    while (version := registry.current(project)) is not None:
        if (found := refusal(version, engine)) is None:
            return version
        registry.refuse(project, *found)
    return None


def refusal(version: Version, engine: Engine) -> tuple[Path, str] | None:
    """The network of a version that cannot be loaded, and why; None when all can."""
    networks = (
        (version.weights, engine.load),
        (version.clicks, engine.load_click),
        (version.detector, engine.load_detector),
    )
    for weights, load in networks:
        if weights is None:
            continue
        try:
            load(weights)
        except VersionError as error:
            return weights, str(error)
    return None
