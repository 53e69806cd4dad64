"""What a bundle is written from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adclick_runtime.calibration import Calibration
from model.detectors.detector import Detector
from model.features.encoding import Encoded
from model.interactive.predictor import Predictor
from model.segmentation.predictor import SegPredictor


@dataclass(frozen=True)
class ProductContents:
    """A product with what judges its images; the attributes that are not here are those of
    :class:`adclick_runtime.product.Product`.

    Attributes:
        eyes: what its images are seen with, the same of all products of a bundle.
        names: of its references, their SHA-256.
        references: what reads the features of each, as the backend keeps them.
        segmenters: `TRAINED` or `PACKAGED` -> network, as far as the source needs it.
        detectors: of the source, by name.
    """

    name: str
    source: str
    eyes: Predictor
    names: Sequence[str]
    references: Sequence[Callable[[], Encoded]]
    normal: Mapping[str, float] | None
    peaks: Sequence[float]
    usual: float
    white: int = 0
    points: Mapping[str, float] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    segmenters: Mapping[str, SegPredictor] = field(default_factory=dict)
    detectors: Mapping[str, Detector] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """All of a bundle.

    Attributes:
        version: name of the version.
        backend: the backend's release.
        products: at least one.
        about: what the manifest says beside that, of measured figures and licences.
        int8: whether the backbone computes in 8-bit numbers (:mod:`model.export.quantised`).
    """

    version: str
    backend: str
    products: Sequence[ProductContents]
    about: Mapping[str, Any] = field(default_factory=dict)
    int8: bool = False
