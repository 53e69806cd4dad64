"""The version that serves and whose network can be loaded, for whoever needs it before anything is proposed."""

from __future__ import annotations

from adclick_backend.engine.bank import VersionError
from adclick_backend.engine.engine import Engine
from adclick_backend.store.versions import Registry, Version


def loadable_version(project: str, registry: Registry, engine: Engine) -> Version | None:
    """The version that serves a project, loaded; None when that is the packaged network.

    What cannot be loaded is refused on the way, in all worker processes.
    """
    while (version := registry.current(project)) is not None:
        try:
            engine.load(version.weights)
        except VersionError as error:
            registry.refuse(project, version.weights, str(error))
        else:
            return version
    return None
