"""The networks of projects in use, and what they say of an image. Importing this module imports no torch."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from adclick_runtime.anomaly_map import agreed, residual_probability
from adclick_runtime.regions import Map
from model.features.number_format import AUTO
from model.labels.labelled import DEFECT

if TYPE_CHECKING:
    from adclick_runtime.frame import Frame
    from model.checkpoint.backbone_id import BackboneId
    from model.evidence.prepared import Prepared
    from model.segmentation.predictor import SegPredictor

Network = TypeVar("Network")


class LoadedNetworks(Generic[Network]):
    """Loads a checkpoint when it is first needed and keeps the few that were used last.

    Args:
        load: reads a checkpoint.
        kept: how many stay loaded; projects beyond that wait for theirs to be read again, a fraction of a second.
    """

    def __init__(self, load: Callable[[Path], Network], kept: int = 4) -> None:
        self._load, self._kept = load, kept
        self._loaded: OrderedDict[Path, Network] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, weights: Path) -> Network:
        """The network of a checkpoint, or whatever error reading it raises."""
        with self._lock:
            if weights not in self._loaded:
                self._loaded[weights] = self._load(weights)
            self._loaded.move_to_end(weights)
            while len(self._loaded) > self._kept:
                self._loaded.popitem(last=False)
            return self._loaded[weights]


class SegmentationNetworks:
    """The segmentation networks of projects, and the packaged one.

    Args:
        device: where to compute.
        packaged: the checkpoint to use where a project has no trained version; None for the residual alone.
        kept: how many stay loaded (:class:`LoadedNetworks`).
        number_format: that is asked for (:mod:`model.features.number_format`).
    """

    def __init__(
        self, device: str, packaged: Path | None = None, kept: int = 4, number_format: str = AUTO
    ) -> None:
        self.packaged = packaged
        self._device, self._number_format = device, number_format
        self._loaded = LoadedNetworks(self._read, kept)

    def _read(self, weights: Path) -> SegPredictor:
        from model.segmentation.predictor import SegPredictor

        return SegPredictor(weights, self._device, self._number_format)

    def get(self, weights: Path) -> SegPredictor:
        """The network of a checkpoint.

        Raises:
            CheckpointError: the file is missing, damaged, or holds another network.
        """
        return self._loaded.get(weights)

    def backbone(self, weights: Path) -> BackboneId:
        """The backbone that a network was trained behind; see `get`."""
        return self.get(weights).backbone_id

    def maps(
        self, weights: Path | None, prepared: Prepared, frame: Frame, peaks: Sequence[float]
    ) -> dict[str, Map]:
        """What is where in an image.

        Args:
            weights: of the project's trained version, if it has one; without one the packaged network looks, as far as
                the residual agrees.
            prepared: the image.
            frame: its working frame.
            peaks: without weights, the highest suspicion in references of the bank (`model.evidence.anomaly_map`).

        Returns:
            Defect type -> probability (frame.height, frame.width) float32 in [0, 1].

        Raises:
            CheckpointError: a checkpoint cannot be used.
        """
        from model.evidence.anomaly_map import anomaly_score

        if weights is not None:
            return self.get(weights).maps(prepared, frame)
        if self.packaged is None:
            return self.residual(prepared, frame, peaks)
        found = self.get(self.packaged).maps(prepared, frame)
        score = anomaly_score(prepared)
        return {name: agreed(map_, score, peaks) for name, map_ in found.items()}

    def residual(self, prepared: Prepared, frame: Frame, peaks: Sequence[float]) -> dict[str, Map]:
        """What the residual alone says is where in an image; see `maps`."""
        from model.evidence.anomaly_map import anomaly_score

        return {DEFECT: residual_probability(anomaly_score(prepared), frame, peaks)}
