"""A detector as a bundle that :class:`adclick_runtime.detector.Detector` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.bundle import CONSTANTS, FORMAT, KIND, MANIFEST, REFERENCES, sha256_of
from adclick_runtime.detector import SEARCH
from adclick_runtime.features import Features
from adclick_runtime.references import tensors_of
from model.export.backbone import backbone_file, joint
from model.export.contents import Contents, ProductContents
from model.export.detectors import kept_of, learned
from model.export.onnx_file import OPSET
from model.export.quantised import int8
from model.export.search import search_file
from model.export.segmentation import segmentation_file
from model.export.tensor_file import write_tensors
from model.features.encoding import Encoded
from model.labels.labelled import DEFECT
from model.matching.retrieval import MATCH_STRIDES
from model.segmentation.predictor import SegPredictor

Arrays = dict[str, NDArray[Any]]


def write_bundle(folder: Path, contents: Contents) -> dict[str, Any]:
    """Write all files of a bundle but its check and its manifest.

    Args:
        folder: empty.
        contents: what is written.

    Returns:
        The manifest, for :func:`write_manifest`.

    Raises:
        BundleError: something of it cannot be taken along.
        OSError: the disk is full, or cannot be written.
    """
    eyes = contents.products[0].eyes
    graph, places = backbone_file(eyes.backbone)
    graph = int8(graph) if contents.int8 else graph
    graphs, networks, constants = {"backbone": graph, SEARCH: search_file()}, dict[str, Any](), Arrays()
    if places is not None:
        constants["places"] = np.asarray(places.float().cpu().numpy())
    for product in contents.products:
        for name, seg in product.segmenters.items():
            if name not in networks:
                head = _head(seg)
                graphs[name] = segmentation_file(seg.network, seg.states, seg.present, bool(head))
                networks[name] = {
                    "method": "segmentation",
                    "version": seg.version,
                    "offsets": dict(zip(seg.types, seg.offsets, strict=True)),
                }
                constants |= {f"{name}/types.{key}": array for key, array in head.items()}
        for name, detector in product.detectors.items():
            if name not in networks:
                found = learned(detector)
                networks[name] = dict(found.about)
                constants |= {f"{name}/{key}": array for key, array in found.constants.items()}
                if found.graph is not None:
                    graphs[name] = found.graph
    for name, data in graphs.items():
        (folder / f"{name}.onnx").write_bytes(data)
    write_tensors(folder / CONSTANTS, sorted(constants.items()))
    write_tensors(folder / REFERENCES, _references(contents))
    matching, config = eyes.config.matching, eyes.config
    return {
        "kind": KIND,
        "format": FORMAT,
        "version": contents.version,
        "backend": contents.backend,
        "opset": OPSET,
        "numbers": "int8" if contents.int8 else "float32",
        "backbone": {"name": eyes.backbone_id.name, "sha256": eyes.backbone_id.sha256},
        "long_side": eyes.long_side,
        "types": _types(contents),
        "matching": {
            "position_weight": matching.position_weight,
            "self_exclusion": matching.self_exclusion,
            "exhaustive": matching.exhaustive,
            "nearest": config.nearest_references,
            "few": config.few_references,
            "largest_mismatch": config.largest_mismatch_ratio,
        },
        "networks": networks,
        "products": {product.name: _said(product) for product in contents.products},
        **contents.about,
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a bundle with the hashes of the files that lie there."""
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    written = json.dumps({**manifest, "files": files}, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(written, "utf-8")


def features_of(image: Encoded) -> Features:
    """An encoded image as the runtime has it."""
    maps = {stride: np.asarray(image.pyramid[stride][0].float().cpu().numpy()) for stride in MATCH_STRIDES}
    colour = np.ascontiguousarray(image.colour[0].permute(1, 2, 0).float().cpu().numpy())
    return Features(colour, maps, np.ascontiguousarray(joint(image.pyramid).float().cpu().numpy()))


def _references(contents: Contents) -> Iterator[tuple[str, NDArray[Any]]]:
    channels = None
    for number, product in enumerate(contents.products):
        prefix, descriptors = f"{number}/", []
        for place, read in enumerate(product.references):
            encoded = read()
            image = features_of(encoded)
            descriptors.append(image.descriptor)
            yield from tensors_of(image, place, prefix).items()
            for name, detector in product.detectors.items():
                if (more := kept_of(detector, encoded)) is not None:
                    yield f"{prefix}{place}/{name}", more
            channels = image.channels
        if descriptors:
            yield f"{prefix}descriptors", np.stack(descriptors)
    if channels is not None:
        yield "channels", np.array(channels, np.int64)


def _said(product: ProductContents) -> dict[str, Any]:
    return {
        "source": product.source,
        "references": list(product.names),
        "normal": None if product.normal is None else dict(product.normal),
        "peaks": list(product.peaks),
        "usual": product.usual,
        "calibration": {name: one.as_json() for name, one in product.calibrations.items()},
        "points": dict(product.points),
        "white": product.white,
    }


def _types(contents: Contents) -> list[str]:
    """What regions may be called, in the order of the networks."""
    found = [
        name
        for product in contents.products
        for name in (
            product.segmenters[product.source].types if product.source in product.segmenters else (DEFECT,)
        )
    ]
    return list(dict.fromkeys(found))


def _head(seg: SegPredictor) -> Arrays:
    if seg.head is None:
        return {}
    return {name: np.asarray(tensor.float().cpu().numpy()) for name, tensor in seg.head.state_dict().items()}
