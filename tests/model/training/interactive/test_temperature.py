from __future__ import annotations

import pytest
import torch

from model.features.backbones import Lite0ViT
from model.interactive.lite import LiteClickNetwork
from model.interactive.predictor import Predictor
from model.training.interactive.samples import Sample, build_drawn, find_samples
from model.training.interactive.temperature import fit_temperature, whole_images


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    cache = tmp_path_factory.mktemp("samples")
    predictor = Predictor()
    backbone = predictor.backbone
    assert isinstance(backbone, Lite0ViT)
    build_drawn(range(900, 901), cache, backbone, long_side=256)
    return list(find_samples(cache))


class Timid(LiteClickNetwork):
    """A network whose logits are a fixed share of another's."""

    def __init__(self, network: LiteClickNetwork, share: float):
        super().__init__(network.config)
        self.network, self.share = network, share

    def forward(self, evidence: torch.Tensor) -> torch.Tensor:
        return self.share * self.network(evidence)


def test_a_timid_network_gets_a_lower_temperature(samples: list[Sample]) -> None:
    network = Predictor().network
    assert isinstance(network, LiteClickNetwork)
    usual, timid = (
        fit_temperature(n, whole_images(samples), count=6) for n in (network, Timid(network, 0.5).eval())
    )
    # The maps that it sees in between are paler too, so the factor is not exactly two.
    assert 0.3 * usual < timid < 0.8 * usual
