"""A detector from a bundle: an image in, what is wrong with it out."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.bundle import AGAIN, CHECK_ANSWER, CHECK_IMAGE, CONSTANTS, REFERENCES, Bundle
from adclick_runtime.calibration import Calibration
from adclick_runtime.checking import compared
from adclick_runtime.detection import Detection
from adclick_runtime.errors import BundleError
from adclick_runtime.features import Eyes
from adclick_runtime.frame import Frame
from adclick_runtime.judges import Judges, Segmenter, head_of
from adclick_runtime.learned import learned_detector
from adclick_runtime.matching import Matching
from adclick_runtime.networks import Network, open_network
from adclick_runtime.operating_points import at_points
from adclick_runtime.product import Product
from adclick_runtime.references import References
from adclick_runtime.regions import propose
from adclick_runtime.scene import Scene
from adclick_runtime.tensors import read_tensors

SEARCH = "search"
"""Name of the graph that every bundle has beside its networks."""


class Detector:
    """The detector of a bundle. One may be used by many threads; they wait for one another.

    Args:
        bundle: a folder or zip that ``adclick export detector`` wrote.
        engine: what computes, see :data:`adclick_runtime.networks.ENGINES`.
        threads: that compute; None: as many as there are processors.

    Attributes:
        manifest: what the bundle says of itself.
        version: name of the version that it was exported from.
        types: the defect types that it can find.
        products: the products that it knows; "" where there is but one.

    Raises:
        BundleError: the bundle is missing, damaged, or of a newer release, or the engine is not installed.
    """

    def __init__(self, bundle: Path, engine: str = "onnxruntime", threads: int | None = None):
        opened = Bundle(Path(bundle))
        self._bundle = opened  # a zip that was unpacked goes with it
        self.manifest: Mapping[str, Any] = opened.manifest
        threads = threads or os.cpu_count() or 1
        self._pool, self._lock = ThreadPoolExecutor(threads, "adclick-detect"), threading.Lock()
        try:
            self.version = str(self.manifest["version"])
            self.types: tuple[str, ...] = tuple(self.manifest["types"])
            self._open(opened, engine, threads)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(
                f"The manifest of {opened.name} does not fit its files ({error!r}): {AGAIN}"
            ) from error
        self.products = tuple(self._products)

    def _open(self, bundle: Bundle, engine: str, threads: int) -> None:
        said = self.manifest
        tensors, constants = read_tensors(bundle.file(REFERENCES)), read_tensors(bundle.file(CONSTANTS))

        def network(name: str) -> Network:
            return open_network(bundle.file(f"{name}.onnx"), engine, threads)

        self._long_side, self._search = int(said["long_side"]), network(SEARCH)
        places = np.array(constants["places"]) if "places" in constants else None
        self._eyes = Eyes(network("backbone"), self._long_side, places)
        segmenters, detectors = {}, {}
        for name, about in said["networks"].items():
            if about["method"] == "segmentation":
                segmenters[name] = Segmenter(network(name), about["offsets"], head_of(constants, name))
            else:
                graph = network(name) if about["graph"] else self._search
                detectors[name] = learned_detector(name, about, graph, self._search, constants)
        self._judges = Judges(segmenters, detectors)
        self._products = {
            name: self._product(name, number, about, tensors)
            for number, (name, about) in enumerate(said["products"].items())
        }

    def _product(
        self, name: str, number: int, said: Mapping[str, Any], tensors: Mapping[str, Any]
    ) -> Product:
        how = self.manifest["matching"]
        matching = Matching(how["position_weight"], how["self_exclusion"], how["exhaustive"])
        count = len(said["references"])
        references = References(tensors, f"{number}/", count, how["nearest"], matching, self._search)
        if 0 < count <= how["nearest"]:
            references.bank(tuple(range(count)))  # now, and not with the first image
        return Product(
            name=name,
            source=said["source"],
            references=references,
            normal=said["normal"],
            peaks=tuple(said["peaks"]),
            usual=said["usual"],
            few=how["few"],
            largest_mismatch=how["largest_mismatch"],
            calibrations={part: Calibration.from_json(value) for part, value in said["calibration"].items()},
            points=said["points"],
            white=said["white"],
        )

    def detect(self, image: NDArray[np.uint8], product: str | None = None) -> Detection:
        """What is wrong with an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            product: that it shows; may be left out where the bundle knows but one.

        Raises:
            BundleError: it is no such image, or the bundle does not know the product.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise BundleError(
                f"An image is an array (H, W, 3) of 8-bit RGB, not {image.shape} of {image.dtype}: decode it first."
            )
        chosen = self.product(product)
        with self._lock:
            started = time.perf_counter()
            frame = Frame.of(image.shape[0], image.shape[1], self._long_side)
            scene = Scene(chosen, frame, self._eyes.encode(image), self._pool)
            maps, unlike = self._judges.maps(scene)
            maps = at_points(maps, chosen.points)
            regions, _ = propose(maps, frame)
            highest = np.maximum.reduce(list(maps.values()))
            return Detection(
                regions=tuple(regions),
                map=highest,
                score=float(highest.max()),
                type=regions[0].type if regions else "",
                unlike=unlike,
                size=(image.shape[0], image.shape[1]),
                milliseconds=(time.perf_counter() - started) * 1000,
            )

    def check(self) -> str:
        """Compare what is found in the bundle's picture with what was found where it was exported.

        Returns:
            What was compared, in a sentence.

        Raises:
            BundleError: something else is found here, or the bundle has no picture.
        """
        if CHECK_IMAGE not in self.manifest["files"]:
            raise BundleError(
                f"{self._bundle.name} has no picture to check it by, for its product has no references."
            )
        answer = json.loads(self._bundle.file(CHECK_ANSWER).read_text("utf-8"))
        data = np.frombuffer(self._bundle.file(CHECK_IMAGE).read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image is None:
            raise BundleError(f"{CHECK_IMAGE} of {self._bundle.name} is no picture: {AGAIN}")
        rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        return compared(self.detect(rgb, answer["product"]), answer)

    def product(self, name: str | None = None) -> Product:
        """A product of the bundle.

        Raises:
            BundleError: it knows none of this name, or several and none was named.
        """
        if name is None and len(self._products) == 1:
            return next(iter(self._products.values()))
        if name is None or name not in self._products:
            known = ", ".join(repr(known) for known in self._products)
            asked = "no product was named" if name is None else f"there is no product {name!r:.60} in it"
            raise BundleError(
                f"{self._bundle.name} knows the products {known}, and {asked}: name one of them."
            )
        return self._products[name]
