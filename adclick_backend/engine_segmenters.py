"""The segmentation networks in use. Importing this module imports no torch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adclick_backend.proposals import Map

if TYPE_CHECKING:
    from model.encoding import Frame
    from model.evidence import Prepared


class Segmenter(Protocol):
    """A segmentation network with its weights."""

    def maps(self, prepared: Prepared, frame: Frame) -> dict[str, Map]:
        """Defect type -> calibrated probability (frame.height, frame.width), in [0, 1]."""


class Segmenters:
    """Loads a checkpoint when it is first needed and keeps the few that were used last.

    Args:
        device: where to compute.
        kept: how many stay loaded; projects beyond that wait for theirs to be read again, a fraction of a second.
    """

    def __init__(self, device: str, kept: int = 4) -> None:
        self._device = device
        self._kept = kept
        self._loaded: OrderedDict[Path, Segmenter] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, weights: Path) -> Segmenter:
        """The network of a checkpoint.

        Raises:
            CheckpointError: the file is missing, damaged, or holds another network.
        """
        with self._lock:
            found = self._loaded.get(weights)
            if found is None:
                network = import_module("model.seg_predictor").SegPredictor  # loads torch
                found = self._loaded[weights] = network(weights, self._device)
            self._loaded.move_to_end(weights)
            while len(self._loaded) > self._kept:
                self._loaded.popitem(last=False)
            return found
