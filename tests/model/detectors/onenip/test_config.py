from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from model.checkpoint.manifest import CheckpointError
from model.detectors.onenip.config import ONENIP, ONENIP_TINY, OneNIPConfig
from model.features.backbones import CHANNELS


@pytest.mark.parametrize("config", [ONENIP, ONENIP_TINY])
def test_sizes_are_the_same_after_a_manifest(config: OneNIPConfig) -> None:
    assert OneNIPConfig.read(json.loads(json.dumps(asdict(config))), "a.safetensors") == config


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ([1], "are none"),
        ({"depth": 3}, "'depth' is unknown here"),
        ({"strides": [4, 16], "channels": [24]}, "channels = "),
        ({"strides": [4, 8], "channels": [24, 40]}, "lack 16"),
        ({"width": 100}, "100 channels cannot be shared out among 8 heads"),
        ({"neighbourhood": 4}, "4 is no odd number"),
        ({"patch": 3}, "3 is no side of a patch"),
        ({"dropout": 1.0}, "1 is out of range"),
    ],
)
def test_sizes_of_no_network_are_refused(written: object, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        OneNIPConfig.read(written, "a.safetensors")  # type: ignore[arg-type]


def test_the_tiny_one_fits_what_ships_and_a_backbone_without_a_stride_is_refused() -> None:
    assert ONENIP_TINY.behind(CHANNELS["lite0_vit"], "lite0_vit") == ONENIP_TINY
    other = ONENIP_TINY.behind(CHANNELS["efficientnet_lite0"], "efficientnet_lite0")
    assert other == replace(ONENIP_TINY, channels=(24, 40, 112))
    with pytest.raises(CheckpointError, match="'wide_resnet50' has no maps of stride 2"):
        ONENIP.behind(CHANNELS["wide_resnet50"], "wide_resnet50")
