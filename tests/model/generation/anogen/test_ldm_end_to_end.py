"""Labelled folders, a published latent diffusion model, generated folders, and ADClick-Seg trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from adclick_backend.cli import main
from model.datasets.mvtec import read_mask, read_rgb
from model.generation.anogen.files import read_origin
from model.generation.anogen.ldm import LdmGenerator
from model.labels.generated import GeneratedImage, boxed
from model.language.encoders import HashedWords
from model.segmentation.predictor import SegPredictor
from model.training.segmentation.project import train_segmentation
from model.training.segmentation.trainer import SegTraining
from tests.helpers.pipeline import write_pipeline
from tests.helpers.plates import SmallPredictor, labelled, plate, stained

pytestmark = pytest.mark.skipif(
    find_spec("diffusers") is None or find_spec("transformers") is None,
    reason="the extra generation is not installed: pip install 'adclick-backend[generation]'",
)

GOOD, STAINED, COUNT = 4, 3, 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_products(folder: Path) -> Path:
    """Good and stained plates in MVTec layout."""
    for name in ("train/good", "test/stain", "ground_truth/stain"):
        (folder / "plate" / name).mkdir(parents=True)
    for number in range(GOOD):
        write(folder / "plate/train/good" / f"{number}.png", plate(number))
    for number in range(STAINED):
        image, mask = stained(10 + number)
        write(folder / "plate/test/stain" / f"{number}.png", image)
        write(folder / "plate/ground_truth/stain" / f"{number}_mask.png", mask.astype(np.uint8) * 255)
    return folder


def write(path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image)


@pytest.mark.parametrize("channels", [4, 9], ids=["text to image", "in-painting"])
def test_what_it_paints_trains_adclick_seg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    monkeypatch.setitem(LdmGenerator.__init__.__kwdefaults__, "learning_steps", 2)  # type: ignore[arg-type]
    monkeypatch.setitem(LdmGenerator.__init__.__kwdefaults__, "steps", 3)  # type: ignore[arg-type]
    monkeypatch.setattr("model.training.segmentation.project.Predictor", SmallPredictor)
    monkeypatch.setattr("model.training.segmentation.project.text_encoder", lambda cache: HashedWords())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    pipeline = write_pipeline(tmp_path / "pipeline", channels=channels)
    products, out = write_products(tmp_path / "products"), tmp_path / "generated"
    words = [str(products), "--out", str(out), "--preset", str(pipeline), "--count", str(COUNT)]
    assert main(["generate", *words]) == 0

    images = []
    hosts = [products / "plate/train/good" / f"{number}.png" for number in range(GOOD)]
    for path in sorted((out / "plate/test/stain").glob("*.png")):
        origin = read_origin(path)
        assert origin is not None and origin.generator.startswith("ldm-pipeline-")
        inside = read_mask(out / "plate/boxes/stain" / f"{path.stem}_mask.png")
        host = next(file for file in hosts if file.name == origin.host)
        good, painted = read_rgb(host), read_rgb(path)
        assert (painted[~inside] == good[~inside]).all(), "the good image to the last bit"
        assert (painted[inside] != good[inside]).any()
        images.append(
            GeneratedImage(
                path.stem,
                lambda painted=painted: painted,  # type: ignore[misc]
                lambda inside=inside: boxed(inside),  # type: ignore[misc]
                "stain",
                hosts.index(host),
            )
        )
    assert len(images) == COUNT

    about = train_segmentation(
        [labelled(number) for number in range(2)],
        {"": [read_rgb(host) for host in hosts]},
        tmp_path / "seg.safetensors",
        version="v1",
        config=replace(SegTraining(steps=2, crops=((32, 2, 1.0),)), synthetic=1, pasted=1, normal=1),
        generated=images,
    )
    assert about["samples"]["generated"] == COUNT
    assert SegPredictor(tmp_path / "seg.safetensors").types == ("stain",)
