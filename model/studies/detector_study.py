"""How good detectors are on products in MVTec layout, side by side on the same images: the multi-class protocol.

Of each product the good images of :func:`model.datasets.mvtec.good_split` are what its images are compared with;
networks that come as files may have learned from them and from those of other products. No test image chooses anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.calibration import Calibration, Map, logarithm
from adclick_runtime.combination import joined, mean
from model.checkpoint.backbone_id import BackboneId, backbone_of, packaged_behind
from model.checkpoint.manifest import PACKAGED, CheckpointError, read_manifest
from model.datasets.mvtec import Category, good_split, read_mask, read_rgb
from model.detectors.combination import MOST_GOOD
from model.detectors.detector import Detector
from model.detectors.eyes import Eyes, Image
from model.detectors.patchcore import PatchCoreBanks, PatchCoreDetector
from model.detectors.residual import RESIDUAL_NAME, ResidualDetector
from model.features.number_format import AUTO
from model.interactive.predictor import Predictor
from model.metrics.detection import detection_figures
from model.segmentation.detector import PACKAGED_NAME, packaged_detector
from model.segmentation.detector_predictor import DetectorPredictor
from model.segmentation.scenes import Scenes
from model.studies.map_pictures import side_by_side, stretched
from model.studies.results import append, read

Thing = TypeVar("Thing")

MOST_REFERENCES = 30
"""Good images of a product that its images are compared with, at most."""

PATCHCORE_NAME = "patchcore"
COMBINATION = "combination"
"""All other detectors that are asked for, as one."""

MATCHED = (RESIDUAL_NAME, PACKAGED_NAME)
"""What is usual for these is known from a single good image too, which is matched with itself."""

NAMES = (RESIDUAL_NAME, PATCHCORE_NAME, PACKAGED_NAME, COMBINATION)
"""What can be measured without a file."""


@dataclass(frozen=True)
class Setting:
    """What is measured, and on which images.

    Attributes:
        names: of `NAMES`, and files with detectors.
        limit: test images of a product with a defect, and as many good ones; 0 for all.
        side: longer side of the maps that are ranked, pixels.
        pictures: images of a product that are drawn with their maps.
        asked: the number format that is asked for (:mod:`model.features.number_format`).
    """

    names: tuple[str, ...]
    limit: int = 0
    side: int = 256
    pictures: int = 0
    asked: str = AUTO


class Tested(NamedTuple):
    """A test image, and its true mask (H, W) bool: empty for a good one."""

    name: str
    pixels: Image
    mask: NDArray[np.bool_]


class Product:
    """A product as it is measured, all images at the size of the smallest: sharpness alone would tell them apart.

    Attributes:
        name: of the set and the product.
        references: good images that the others are compared with, at most `MOST_REFERENCES`.
        tests: test images, those with a defect first.
    """

    def __init__(self, category: Category, limit: int):
        learned, good = good_split(category)
        self.name = category.name
        references = spread(learned, MOST_REFERENCES)
        defects, good = spread(category.defects(), limit), spread(good, limit)
        paths = [*references, *(image for image, _ in defects), *good]
        side = min((max(read_rgb(path).shape[:2]) for path in paths), default=0)
        self.references = [_shrink(read_rgb(path), side) for path in references]
        self.tests = [self._defect(image, mask, side) for image, mask in defects]
        for path in good:
            pixels = _shrink(read_rgb(path), side)
            self.tests.append(Tested(f"good-{path.stem}", pixels, np.zeros(pixels.shape[:2], bool)))

    @staticmethod
    def _defect(image: Path, mask: Path, side: int) -> Tested:
        pixels, truth = read_rgb(image), read_mask(mask)
        if pixels.shape[:2] != truth.shape:
            raise ValueError(
                f"{image} has {pixels.shape[1]} x {pixels.shape[0]} pixels and its mask {truth.shape[1]} x "
                f"{truth.shape[0]}: they must be equal."
            )
        small = _shrink(truth.astype(np.float32), side) > 0.5
        return Tested(f"{image.parent.name}-{image.stem}", _shrink(pixels, side), np.asarray(small))


class Row(NamedTuple):
    """What a result is of.

    Attributes:
        detector: its name.
        weights: of the files it comes from, the beginnings of their sha256; "" for none. Of detectors that come from no
            file, that of the backbone, unless it is the usual one.
    """

    detector: str
    weights: str


@dataclass
class Measured:
    """What one detector said of the test images of a product, and how long it took for all of them, in seconds."""

    maps: list[Map] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0


def run(categories: Sequence[Category], bench: Bench, out: Path) -> Iterator[dict[str, Any]]:
    """Measure what ``out / RESULTS`` does not hold yet; yields each new result as it is written.

    A result has the figures of :mod:`model.metrics.detection`, ``product``, ``detector``, ``weights`` (:class:`Row`),
    ``references`` and ``images`` (how many there were), ``limit``, ``side``, and in milliseconds an image ``ms`` (the
    detector's own) and ``opened_ms`` (encoding and matching, which detectors share). A detector that needs more
    references than there are has none.

    Raises:
        ValueError: an image cannot be read, or a product has no defects to test with.
    """
    out.mkdir(parents=True, exist_ok=True)
    results, setting = out / RESULTS, bench.setting
    done = {tuple(row[name] for name in KEY) for row in read(results)}
    for category in categories:
        wanted = [r for r in bench.rows if (category.name, *r, setting.limit, setting.side) not in done]
        if not wanted:
            continue
        for row in bench.measure(Product(category, setting.limit), wanted, out / "pictures"):
            append(results, row)
            yield row


RESULTS = "results.jsonl"

KEY = ("product", "detector", "weights", "limit", "side")
"""What tells results apart."""


class Bench:
    """The detectors that are compared.

    Attributes:
        setting: what is asked for.
        rows: what there is to measure.

    Raises:
        CheckpointError: a file cannot be used, or was trained behind a backbone that is not packaged.
    """

    def __init__(self, setting: Setting):
        self.setting = setting
        self._fixed: dict[Row, Detector] = {}
        self._calibrated: dict[Row, tuple[DetectorPredictor, str]] = {}
        self._eyes: dict[BackboneId, Eyes] = {}
        self._usual = packaged = backbone_of(PACKAGED, read_manifest(PACKAGED))
        for path in (Path(name) for name in setting.names if name not in NAMES):
            self._add_file(path)
        side = self._see(self._usual).long_side
        behind = "" if self._usual == packaged else self._usual.sha256[:12]
        self._patchcore_row = Row(PATCHCORE_NAME, behind)
        if RESIDUAL_NAME in setting.names:
            self._fixed[Row(RESIDUAL_NAME, behind)] = ResidualDetector(self._usual, side)
        if PACKAGED_NAME in setting.names:
            network = packaged_detector(self._usual, side, asked=setting.asked)
            self._fixed[Row(PACKAGED_NAME, behind)] = network
        self.rows = list(self._fixed)
        if PATCHCORE_NAME in setting.names:
            self.rows.append(self._patchcore_row)
        self._combination = [row for row in self.rows if COMBINATION in setting.names]
        if len(self._combination) > 1:
            names = joined([row.detector for row in self._combination])
            self.rows.append(Row(names, joined([row.weights for row in self._combination if row.weights])))

    def _add_file(self, path: Path) -> None:
        """Take the trained parts of a file; the first one says behind which packaged backbone the others are."""
        file, sha256 = DetectorPredictor(path, asked=self.setting.asked), read_manifest(path)["sha256"]
        if file.own_eyes is not None:
            self._eyes[file.backbone_id] = file.own_eyes
        else:
            self._usual = self._usual if self._fixed else file.backbone_id
            self._see(file.backbone_id)
        for name, detector in file.detectors.items():
            if name not in MATCHED:
                row = Row(f"{path.stem}/{name}", str(sha256)[:12])
                self._fixed[row], self._calibrated[row] = detector, (file, name)

    def _see(self, behind: BackboneId) -> Eyes:
        if behind not in self._eyes:
            networks = packaged_behind(behind)
            if networks is None:
                raise CheckpointError(
                    f"The backbone {behind.name} is not packaged, so that nothing sees with it here."
                )
            self._eyes[behind] = Predictor(networks.click, asked=self.setting.asked)
        return self._eyes[behind]

    def measure(self, product: Product, wanted: Sequence[Row], pictures: Path) -> list[dict[str, Any]]:
        """The results of some rows on a product; see :func:`run`."""
        scenes = {b: Scenes(eyes, {product.name: product.references}) for b, eyes in self._eyes.items()}
        detectors = self._detectors(product, scenes)
        usual: dict[str, Calibration] = {}
        if len(self._combination) > 1 and self.rows[-1] in wanted:
            if all(row in detectors for row in self._combination):
                usual = self._calibrations(product, scenes)
        else:
            detectors = {row: detector for row, detector in detectors.items() if row in wanted}
        found: dict[Row, Measured] = {row: Measured() for row in detectors}
        together, opened = Measured(), 0.0
        for test in product.tests:
            started = time.perf_counter()
            seen = {behind: one.of(test.pixels, product.name) for behind, one in scenes.items()}
            opened += time.perf_counter() - started
            logs: dict[str, Map] = {}
            for row, detector in detectors.items():
                started = time.perf_counter()
                scene = seen[detector.backbone_id]
                map_, score = detector.look(scene)
                found[row].seconds += time.perf_counter() - started
                found[row].maps.append(self._sized(map_, test.mask))
                found[row].scores.append(score)
                logs[row.detector] = logarithm(map_, seen[self._usual].frame)
            if usual:
                # Back from the logarithm, as a distance is: figures at fixed thresholds depend on it.
                map_ = np.exp(mean(logs, [row.detector for row in self._combination], usual) / 2)
                together.maps.append(self._sized(map_, test.mask))
                together.scores.append(float(map_.max()))
        if usual:
            together.seconds = sum(found[row].seconds for row in self._combination)
            found[self.rows[-1]] = together
        self._draw(product, {row: one for row, one in found.items() if row in wanted}, pictures)
        return [self._row(product, row, found[row], opened) for row in wanted if row in found]

    def _detectors(self, product: Product, scenes: Mapping[BackboneId, Scenes]) -> dict[Row, Detector]:
        """Those that can look at images of a product."""
        there = len(product.references)
        detectors = {row: detector for row, detector in self._fixed.items() if detector.needs <= there}
        if PATCHCORE_NAME in self.setting.names and there:
            detectors[self._patchcore_row] = self._patchcore(product, scenes, range(there))
        return detectors

    def _patchcore(
        self, product: Product, scenes: Mapping[BackboneId, Scenes], references: Sequence[int]
    ) -> Detector:
        """PatchCore, fitted on some of the references."""
        encoded = scenes[self._usual].references(product.name)
        banks = PatchCoreBanks.fitted({product.name: [encoded[i] for i in references]})
        return PatchCoreDetector(PATCHCORE_NAME, banks, self._usual, self._eyes[self._usual].long_side)

    def _calibrations(self, product: Product, scenes: Mapping[BackboneId, Scenes]) -> dict[str, Calibration]:
        """What is usual for each part of the combination; empty where it is not known of one.

        A file says it of the products that it was trained on, by good images that were held back. Else it is found out
        on the references, each compared with the others; PatchCore is fitted on every other one and looks at the rest.
        """
        hosts = range(len(product.references))
        usual = {}
        for row in self._combination:
            file, name = self._calibrated.get(row, (None, ""))
            said = file.calibration(product.name, name) if file is not None else None
            if said is None and row.detector == PATCHCORE_NAME:
                if len(hosts) < 2:
                    return {}
                said = self._seen_on(
                    product, scenes, self._patchcore(product, scenes, hosts[::2]), hosts[1::2]
                )
            elif said is None:
                detector = self._fixed[row]
                alone = len(hosts) == 1 and row.detector in MATCHED
                if len(hosts) - 1 < detector.needs and not alone:
                    return {}
                said = self._seen_on(product, scenes, detector, hosts)
            usual[row.detector] = said
        return usual

    def _seen_on(
        self, product: Product, scenes: Mapping[BackboneId, Scenes], detector: Detector, hosts: Sequence[int]
    ) -> Calibration:
        maps = []
        for host in spread(hosts, MOST_GOOD):
            scene = scenes[detector.backbone_id].of(product.references[host], product.name, host)
            maps.append(logarithm(detector.look(scene).map, scene.frame))
        return Calibration.of(maps)

    def _sized(self, map_: Map, mask: NDArray[np.bool_]) -> Map:
        height, width = _size(mask.shape, self.setting.side)
        how = cv2.INTER_AREA if width < map_.shape[1] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(map_, (width, height), interpolation=how), np.float32)

    def _row(self, product: Product, row: Row, measured: Measured, opened: float) -> dict[str, Any]:
        masks = []
        for test in product.tests:
            size = _size(test.mask.shape, self.setting.side)[::-1]
            share = cv2.resize(test.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            masks.append(np.asarray(share > 0.5))
        count, defective = len(product.tests), [bool(test.mask.any()) for test in product.tests]
        return {
            "product": product.name,
            "detector": row.detector,
            "weights": row.weights,
            "limit": self.setting.limit,
            "side": self.setting.side,
            "references": len(product.references),
            "images": count,
            **detection_figures(measured.maps, masks, measured.scores, defective),
            "ms": round(1000 * measured.seconds / count, 1),
            "opened_ms": round(1000 * opened / count, 1),
        }

    def _draw(self, product: Product, found: Mapping[Row, Measured], folder: Path) -> None:
        """Write a picture for some of the test images: the image, the truth, and the map of each detector."""
        numbers = range(len(product.tests)) if self.setting.pictures else ()
        for number in spread(numbers, self.setting.pictures):
            test = product.tests[number]
            maps = {
                row.detector: stretched(one.maps[number], one.maps) for row, one in found.items() if one.maps
            }
            path = folder / product.name / f"{test.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = side_by_side(test.pixels, test.mask, maps, self.setting.side)
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def spread(things: Sequence[Thing], count: int) -> list[Thing]:
    """``count`` of some things, evenly over all of them; all for 0, or where there are no more."""
    if not 0 < count < len(things):
        return list(things)
    return [things[i * len(things) // count] for i in range(count)]


def _size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of the shape at a longer side of ``side``."""
    scale = side / max(shape[:2])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _shrink(image: NDArray[Any], side: int) -> NDArray[Any]:
    """An image whose longer side is at most ``side``."""
    if max(image.shape[:2]) <= side:
        return image
    height, width = _size(image.shape, side)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
