"""The segmentation networks in use. Importing this module imports no torch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.seg_predictor import SegPredictor


class Segmenters:
    """Loads a checkpoint when it is first needed and keeps the few that were used last.

    Args:
        device: where to compute.
        kept: how many stay loaded; projects beyond that wait for theirs to be read again, a fraction of a second.
    """

    def __init__(self, device: str, kept: int = 4) -> None:
        self._device = device
        self._kept = kept
        self._loaded: OrderedDict[Path, SegPredictor] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, weights: Path) -> SegPredictor:
        """The network of a checkpoint.

        Raises:
            CheckpointError: the file is missing, damaged, or holds another network.
        """
        from model.seg_predictor import SegPredictor

        with self._lock:
            found = self._loaded.get(weights)
            if found is None:
                found = self._loaded[weights] = SegPredictor(weights, self._device)
            self._loaded.move_to_end(weights)
            while len(self._loaded) > self._kept:
                self._loaded.popitem(last=False)
            return found
