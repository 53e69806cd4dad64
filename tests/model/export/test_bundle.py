"""A bundle on disk and the runtime that reads it, beside the networks in torch that it was written from."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from adclick_runtime.anomaly_map import agreed, residual_probability
from adclick_runtime.calibration import Calibration, logarithm
from adclick_runtime.combination import combined, joined
from adclick_runtime.detector import Detector as RuntimeDetector
from adclick_runtime.errors import BundleError
from adclick_runtime.frame import Frame
from model.checkpoint.manifest import LITE, PACKAGED_SEG, Packaged
from model.detectors.combination import calibrate
from model.detectors.detector import Detector, Scene
from model.detectors.invad.config import INVAD_TINY
from model.detectors.invad.detector import InvADDetector
from model.detectors.invad.network import InvAD
from model.detectors.onenip.config import ONENIP_TINY
from model.detectors.onenip.detector import OneNIPDetector
from model.detectors.onenip.network import OneNIP
from model.detectors.patchcore import PatchCoreBanks, PatchCoreDetector
from model.detectors.residual import ResidualDetector
from model.evidence.anomaly_map import PEAK, anomaly_score
from model.export.bundle import write_bundle, write_manifest
from model.export.contents import Contents, ProductContents
from model.features.encoding import Encoded
from model.language.encoders import HashedWords
from model.language.vocabulary import Vocabulary
from model.matching.retrieval import retrieve
from model.segmentation.checkpoint import write_seg
from model.segmentation.inputs import views_behind
from model.segmentation.network import ADClickSeg, SegConfig
from model.segmentation.predictor import SegPredictor
from model.segmentation.type_head import TypeHead, length
from tests.helpers.plates import SmallPredictor, plate, stained

Map = NDArray[np.float32]
IMAGES = [stained(31)[0], plate(77), np.ascontiguousarray(stained(5)[0][:, 10:106])]
"""A stain, none, and an image of another shape."""

AS_WRITTEN = "float32"
"""A bundle computes in float32 wherever it runs; in bfloat16, which some processors take, networks round otherwise."""


class Torch:
    """What a bundle is written from, and what it says of an image in torch."""

    def __init__(self, predictor: SmallPredictor, images: Sequence[NDArray[np.uint8]]):
        self.predictor = predictor
        self.references = [predictor.encode(image) for image in images]
        several = self.references if len(images) > 1 else []
        usual = [predictor.usual(image, self.nearest(image, i)) for i, image in enumerate(several)]
        self.peaks = [found[PEAK] for found in usual]
        self.normal = (
            {name: float(np.mean([one[name] for one in usual])) for name in usual[0]} if usual else None
        )

    def nearest(self, image: Encoded, besides: int | None = None) -> list[Encoded]:
        bank = [one for i, one in enumerate(self.references) if i != besides]
        if not bank:
            return []
        return [bank[i] for i in retrieve(image.descriptor, torch.stack([one.descriptor for one in bank]), 8)]

    def scene(self, pixels: NDArray[np.uint8], besides: int | None = None) -> Scene:
        image = self.predictor.encode(pixels)
        nearest = self.nearest(image, besides)
        prepared = self.predictor.prepare(image, nearest, self.normal).kept()
        return Scene("", Frame.of(*pixels.shape[:2], 128), image, nearest, prepared)

    def product(self, source: str, **more: Any) -> ProductContents:
        usual = (
            [self.predictor.level(r, self.nearest(r, i)) for i, r in enumerate(self.references)]
            if self.normal
            else []
        )
        read: list[Callable[[], Encoded]] = [partial(_same, one) for one in self.references]
        return ProductContents(
            name="",
            source=source,
            eyes=self.predictor,
            names=[f"{i:064x}" for i in range(len(read))],
            references=read,
            normal=self.normal,
            peaks=self.peaks,
            usual=float(np.mean(usual)) if usual else 0.0,
            **more,
        )


def _same(image: Encoded) -> Encoded:
    return image


def written(folder: Path, *products: ProductContents) -> Path:
    folder.mkdir()
    write_manifest(folder, write_bundle(folder, Contents("p1-v2", "0.1.0", products)))
    return folder


def alike(found: Map, wanted: Map) -> None:
    """All but a few places, whose match is one of two equally good ones, have the same probability."""
    assert found.shape == wanted.shape and found.dtype == np.float32
    difference = np.abs(found - wanted)
    assert np.quantile(difference, 0.99) < 5e-3
    assert difference.mean() < 2e-3


@pytest.fixture(scope="module", params=["vit", "lite"])
def plates(request: pytest.FixtureRequest) -> Torch:
    predictor = SmallPredictor(LITE.click if request.param == "lite" else None, asked=AS_WRITTEN)
    return Torch(predictor, [plate(i) for i in range(10)])


@pytest.fixture(scope="module")
def few() -> Torch:
    return Torch(SmallPredictor(LITE.click, asked=AS_WRITTEN), [plate(i) for i in range(4)])


def packaged(of: Torch) -> SegPredictor:
    networks: Packaged = LITE
    behind = of.predictor.backbone_id.name
    return SegPredictor(networks.seg if behind == "efficientnet_lite0" else PACKAGED_SEG, asked=AS_WRITTEN)


def test_the_packaged_network_and_more_references_than_are_looked_at(plates: Torch, tmp_path: Path) -> None:
    seg = packaged(plates)
    detector = RuntimeDetector(
        written(tmp_path / "b", plates.product("packaged", segmenters={"packaged": seg})), threads=1
    )
    assert (detector.version, detector.types, detector.products) == ("p1-v2", ("defect",), ("",))
    for image in IMAGES:
        scene = plates.scene(image)
        assert scene.prepared is not None
        wanted = agreed(
            seg.maps(scene.prepared, scene.frame)["defect"], anomaly_score(scene.prepared), plates.peaks
        )
        found = detector.detect(image)
        alike(found.map, wanted)
        assert found.score == pytest.approx(float(wanted.max()), abs=0.01)
        assert found.size == image.shape[:2] and found.milliseconds > 0
    assert [region.type for region in detector.detect(IMAGES[0]).regions] == ["defect"]
    assert detector.detect(IMAGES[0]).regions[0].mask.shape == (96, 128)
    assert detector.detect(IMAGES[1]).type == ""


def test_openvino_finds_the_same(few: Torch, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    folder = written(tmp_path / "b", few.product("packaged", segmenters={"packaged": packaged(few)}))
    one, other = (RuntimeDetector(folder, engine, threads=1) for engine in ("onnxruntime", "openvino"))
    for image in IMAGES:
        alike(other.detect(image).map, one.detect(image).map)


def test_the_residual_alone_and_how_unlike_an_image_is(few: Torch, tmp_path: Path) -> None:
    detector = RuntimeDetector(written(tmp_path / "b", few.product("residual")), threads=1)
    for image in IMAGES:
        scene = few.scene(image)
        assert scene.prepared is not None
        alike(
            detector.detect(image).map,
            residual_probability(anomaly_score(scene.prepared), scene.frame, few.peaks),
        )
    cloth = np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    assert 0.5 < detector.detect(plate(50)).unlike < 2 < detector.detect(cloth).unlike


@pytest.fixture(scope="module")
def trained(few: Torch, tmp_path_factory: pytest.TempPathFactory) -> SegPredictor:
    """Two types and a head that tells them apart, nothing of it learned."""
    torch.manual_seed(0)
    vocabulary = Vocabulary(HashedWords(), {"stain": ["a dark stain"], "scratch": ["a thin scratch"]})
    behind = few.predictor.backbone_id
    config = SegConfig(words=vocabulary.width, views=views_behind(behind.name))
    head = TypeHead(length(config), 2)
    out = tmp_path_factory.mktemp("trained") / "seg.safetensors"
    network = ADClickSeg(config)
    torch.nn.init.normal_(network.body.head.weight, std=0.3)
    write_seg(out, network, vocabulary, ["scratch", "stain"], [-0.5, 0.2], "v7", {}, head, behind=behind)
    return SegPredictor(out, asked=AS_WRITTEN)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_trained_network_with_its_types(
    few: Torch, trained: SegPredictor, tmp_path: Path, count: int
) -> None:
    some = Torch(few.predictor, [plate(i) for i in range(count)])
    product = some.product("trained", segmenters={"trained": trained}, points={"stain": 0.7})
    detector = RuntimeDetector(written(tmp_path / "b", product), threads=1)
    assert detector.types == ("scratch", "stain")
    for image in IMAGES:
        scene = some.scene(image)
        assert scene.prepared is not None
        maps = trained.maps(scene.prepared, scene.frame)
        stain = maps["stain"] * np.float32(0.3)
        wanted = np.maximum(maps["scratch"], stain / (stain + (1 - maps["stain"]) * np.float32(0.7)))
        alike(detector.detect(image).map, wanted)


def test_two_references_of_something_else_are_left_out(
    few: Torch, trained: SegPredictor, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 255, (96, 128, 3)).astype(np.uint8) for _ in range(2)]
    others = Torch(few.predictor, noise)
    detector = RuntimeDetector(
        written(tmp_path / "b", others.product("trained", segmenters={"trained": trained})), threads=1
    )
    scene = others.scene(plate(1))
    assert scene.prepared is not None and not scene.prepared.has_references
    found = detector.detect(plate(1))
    alike(found.map, np.maximum.reduce(list(trained.maps(scene.prepared, scene.frame).values())))
    assert found.unlike > 3


def learned(of: Torch) -> dict[str, Detector]:
    """One of each method; none has learned more than PatchCore does."""
    torch.manual_seed(1)
    behind, channels = of.predictor.backbone_id, of.predictor.backbone.channels
    networks: Mapping[str, Any] = {
        "invad-tiny": InvAD(INVAD_TINY.behind(channels, behind.name)),
        "onenip-tiny": OneNIP(ONENIP_TINY.behind(channels, behind.name)),
    }
    torch.nn.init.normal_(networks["onenip-tiny"].out.weight, std=0.05)
    return {
        "patchcore": PatchCoreDetector(
            "patchcore", PatchCoreBanks.fitted({"": of.references}, coreset=60), behind, 128
        ),
        "invad-tiny": InvADDetector("invad-tiny", networks["invad-tiny"], behind, 128),
        "onenip-tiny": OneNIPDetector("onenip-tiny", networks["onenip-tiny"], behind, 128),
        "residual": ResidualDetector(behind, 128),
    }


@pytest.mark.parametrize("names", [["patchcore"], ["invad-tiny"], ["onenip-tiny", "residual"]])
def test_detectors_alone_and_together(few: Torch, tmp_path: Path, names: list[str]) -> None:
    detectors = learned(few)
    serving = [detectors[name] for name in names]
    scenes = [few.scene(plate(i), besides=i) for i in range(4)]
    usual: dict[str, Calibration] = calibrate(serving, scenes, [names])
    own = {name: detectors[name] for name in names if name != "residual"}
    product = few.product("+".join(names), detectors=own, calibrations=usual)
    detector = RuntimeDetector(written(tmp_path / "b", product), threads=1)
    for image in IMAGES:
        scene = few.scene(image)
        logs = {one.name: logarithm(one.look(scene).map, scene.frame) for one in serving}
        wanted = usual[joined(names)].probability(combined(logs, names, usual), scene.frame)
        alike(detector.detect(image).map, wanted)


@pytest.fixture(scope="module")
def bundle(few: Torch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    products = [replace(few.product("residual"), name=name) for name in ("front", "back")]
    return written(tmp_path_factory.mktemp("bundle") / "b", *products)


def test_a_zip_of_it_is_as_good_and_the_product_has_to_be_named(bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "b.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in bundle.iterdir():
            archive.write(path, f"folder/{path.name}")
    detector = RuntimeDetector(packed, threads=1)
    assert detector.products == ("front", "back")
    same = RuntimeDetector(bundle, threads=1).detect(IMAGES[0], "back")
    assert np.array_equal(detector.detect(IMAGES[0], "front").map, same.map)
    with pytest.raises(BundleError, match="'front', 'back', and no product was named"):
        detector.detect(IMAGES[0])
    with pytest.raises(BundleError, match="no product 'side' in it"):
        detector.detect(IMAGES[0], "side")
    with pytest.raises(BundleError, match="8-bit RGB, not"):
        detector.detect(IMAGES[0][..., 0], "back")


def test_the_same_bytes_twice(few: Torch, bundle: Path, tmp_path: Path) -> None:
    products = [replace(few.product("residual"), name=name) for name in ("front", "back")]
    again = written(tmp_path / "b", *products)
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in bundle.iterdir()
    }


def test_what_is_wrong_with_a_bundle_is_said(bundle: Path, tmp_path: Path) -> None:
    def broken(change: Callable[[Path], object]) -> Path:
        copy = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        copy.mkdir()
        for path in bundle.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        change(copy)
        return copy

    def said(**more: Any) -> Callable[[Path], object]:
        def change(folder: Path) -> None:
            manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
            (folder / "manifest.json").write_text(json.dumps({**manifest, **more}), "utf-8")

        return change

    cases = {
        "There is no bundle": tmp_path / "nothing",
        "no manifest.json, so it is no bundle": broken(lambda f: (f / "manifest.json").unlink()),
        "manifest.json of .* cannot be read": broken(lambda f: (f / "manifest.json").write_text("{")),
        "format 99, .*update adclick-runtime": broken(said(format=99)),
        "of something else than a detector": broken(said(kind="cake")),
        "lacks the file 'search.onnx'": broken(lambda f: (f / "search.onnx").unlink()),
        "search.onnx in .* is damaged": broken(lambda f: (f / "search.onnx").write_bytes(b"x")),
        "does not fit its files": broken(said(products={"": {}})),
        "cannot be unpacked": bundle / "README.zip",
    }
    (bundle / "README.zip").write_text("no zip")
    for sentence, path in cases.items():
        with pytest.raises(BundleError, match=sentence):
            RuntimeDetector(path)
    (bundle / "README.zip").unlink()
    with pytest.raises(BundleError, match="There is no engine 'abacus'; there are: onnxruntime, openvino"):
        RuntimeDetector(bundle, "abacus")


def test_no_other_backbone_can_be_taken_along(few: Torch, tmp_path: Path) -> None:
    other = Torch(few.predictor, [plate(0), plate(1)])
    eyes = SmallPredictor(LITE.click)
    eyes.backbone = torch.nn.Identity()  # type: ignore[assignment]
    tmp_path.joinpath("b").mkdir()
    product = replace(other.product("residual"), eyes=eyes)
    with pytest.raises(BundleError, match="behind the backbone Identity cannot be taken along"):
        write_bundle(tmp_path / "b", Contents("p1-v2", "0.1.0", [product]))
