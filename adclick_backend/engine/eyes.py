"""Images as each backbone sees them. Importing this module imports no torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adclick_backend.engine.bank import VersionError, explained
from adclick_backend.engine.cache import layout
from adclick_backend.engine.networks import LoadedNetworks
from adclick_backend.engine.prepared_images import PreparedImages
from adclick_backend.settings import Settings
from adclick_backend.store.projects import KeyValueTable
from model.checkpoint.backbone_id import BackboneId, packaged_behind
from model.checkpoint.manifest import read_manifest

if TYPE_CHECKING:
    from model.interactive.config import ClickConfig
    from model.interactive.predictor import Predictor

OTHERS_SHARE = 0.25
"""Of the memory that the settings allow for prepared images, for those that another backbone sees."""


class Eyes:
    """Images as they are seen by the backbone that clicks are answered with, and by those of trained versions.

    A version goes on proposing behind the backbone that it was trained with, as long as that is packaged.

    Args:
        settings: paths, sizes and limits.
        own: the images as clicks are answered in them.
        backbone: that sees those; None where nothing can be trained behind it.
        config: how clicks are answered, where it is not as usual.
        read: loads a click network.
        preparing: the thread that computes.
    """

    def __init__(
        self,
        settings: Settings,
        own: PreparedImages,
        backbone: BackboneId | None,
        config: ClickConfig | None,
        read: Callable[[Path], Predictor],
        preparing: ThreadPoolExecutor,
    ) -> None:
        self.own = own
        self._settings, self._backbone, self._config, self._preparing = settings, backbone, config, preparing
        self._networks = LoadedNetworks(read)
        self._others: dict[BackboneId, PreparedImages] = {}
        self._shared: KeyValueTable | None = None
        self._lock = threading.Lock()

    def share(self, values: KeyValueTable) -> None:
        """From now on what images look different by is kept where the engines of other machines find it."""
        self._shared = values
        for images in (self.own, *self._others.values()):
            images.files.shared = values

    def behind(self, weights: Path, which: str, backbone_of: Callable[[Path], BackboneId]) -> PreparedImages:
        """The images as a trained network must see them.

        Args:
            weights: of the network.
            which: what it is called in sentences.
            backbone_of: reads behind which backbone it was trained.

        Raises:
            VersionError: that cannot be used, or its backbone is not here.
            EngineError: its files cannot be read at the moment.
        """
        with explained(which, weights):
            backbone = self._preparing.submit(backbone_of, weights).result()
        if backbone == self._backbone:
            return self.own
        with self._lock:
            if backbone not in self._others:
                self._others[backbone] = self._seen_by(backbone, weights)
            return self._others[backbone]

    def _seen_by(self, backbone: BackboneId, weights: Path) -> PreparedImages:
        packaged = packaged_behind(backbone)
        if packaged is None:
            raise VersionError(
                f"This version was trained behind the backbone {backbone.name} ({backbone.sha256[:12]}), which is not "
                "among the weights here: train again, or start the backend with the ADCLICK_CHECKPOINT that it was "
                "trained with.",
                weights,
            )
        key = cache_key(backbone.sha256, read_manifest(packaged.click), self._config)

        def network() -> Predictor:
            with explained("click"):
                return self._networks.get(packaged.click)

        images = PreparedImages(self._settings, key, network, self._preparing, share=OTHERS_SHARE)
        images.files.shared = self._shared
        return images


def cache_key(sees: str, manifest: Mapping[str, Any], config: ClickConfig | None) -> str:
    """Under which is kept what a network sees: of its backbone, of the code, of size and way of looking.

    Args:
        sees: SHA-256 of the backbone.
        manifest: of the click network.
        config: how clicks are answered, where it is not as usual.
    """
    key, sizes = f"{sees[:16]}-{layout(manifest['long_side'])}", manifest.get("network")
    if isinstance(sizes, dict) and "shrinkage" in sizes:  # of the discriminant level
        key += f"-{sizes['shrinkage']}"
    return key if config is None else f"{key}-{config.fingerprint}"
