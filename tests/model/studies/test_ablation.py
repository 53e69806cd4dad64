from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from draw_samples import write_dataset

from model.commands.ablation import table
from model.datasets.mvtec import find_categories
from model.evidence.prepared import CHANNELS, LAYOUT
from model.evidence.relative import columns
from model.features.backbones import EfficientNetLite0
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.interactive.predictor import Predictor
from model.language.encoders import WIDTH
from model.studies import ablation
from model.studies.text_conditioning import TextConditionedNetwork
from model.training.interactive.batches import ClickTraining, SampleFiles, Sampler, load_batch
from model.training.interactive.samples import Sample, build_drawn, find_samples
from model.training.interactive.trainer import ClickTrainer, new_network
from tests.helpers.plates import SmallPredictor


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    cache = tmp_path_factory.mktemp("samples")
    build_drawn(range(1), cache, EfficientNetLite0().eval(), long_side=128)
    return list(find_samples(cache))


def test_what_is_left_out_names_evidence_that_exists() -> None:
    for name, variant in ablation.VARIANTS.items():
        assert set(variant.without) < set(LAYOUT), name
        ClickTraining(**dict(variant.changes))
        LiteConfig(**dict(variant.network))
    assert not set(ablation.RESIDUAL) & set(ablation.IMAGE)


def test_a_network_without_evidence_is_never_shown_it(samples: list[Sample], tmp_path: Path) -> None:
    hidden = columns(*ablation.RESIDUAL)
    config, source = ClickTraining(steps=3, crops=((32, 2, 1.0),)), SampleFiles(Sampler(samples, 1.0))
    trainer = ClickTrainer(ablation.Blinded(hidden), source, config, tmp_path)
    trainer.run()
    prepared = source.batch(config, np.random.default_rng(0)).prepared
    clicks, previous = torch.tensor([[[9.0, 9.0, 1.0]]] * 2), torch.full((2, 1, 32, 32), 0.3)
    (blind,), (sees,) = (
        n.eval().inputs(prepared, clicks, previous) for n in (trainer.ema, LiteClickNetwork())
    )
    assert not blind[:, hidden].any()
    assert sees[:, hidden].any()
    others = [i for i in range(CHANNELS) if i not in hidden]
    assert torch.equal(blind[:, others], sees[:, others])


def test_the_kind_of_loss_can_be_chosen(samples: list[Sample], tmp_path: Path) -> None:
    losses = []
    for focal in (True, False):
        config = ClickTraining(max_next_clicks=0, focal=focal)
        sampler = Sampler(samples, 1.0)
        trainer = ClickTrainer(new_network(0), SampleFiles(sampler), config, tmp_path / str(focal))
        losses.append(trainer.train_step(load_batch(sampler, 32, 2, np.random.default_rng(0))))
    assert losses[0] != losses[1]


def test_finished_trainings_are_not_repeated(samples: list[Sample], tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", products=["cap"], good=3, per_defect=1, size=128)
    predictor = SmallPredictor()
    images = ablation.open_images(predictor, find_categories([tmp_path / "set"]), limit=2)
    assert len(images) == 2
    config, out = ClickTraining(steps=2, crops=((32, 2, 1.0),)), tmp_path / "out"

    def run(*names: str) -> list[str]:
        found = ablation.run(predictor, names, [0], samples, frozenset({"drawn"}), images, config, out)
        return [row["variant"] for row in found]

    assert run("everything") == ["everything"]
    assert run("everything", "stated licences only") == ["stated licences only"]
    rows = ablation.read(out)
    assert all(len(row["ious"]) == ablation.CLICKS for row in rows)
    assert rows[0]["ious"] == rows[1]["ious"]  # all samples are drawn: nothing to leave out
    assert "| everything | 1 |" in table(rows)


def test_a_network_that_hears_is_told_the_kind_of_each_defect(samples: list[Sample], tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", products=["cap"], good=3, per_defect=1, size=128)
    predictor = SmallPredictor()
    images = ablation.open_images(predictor, find_categories([tmp_path / "set"]), limit=3)
    assert len({i.kind for i in images}) > 1
    config, name = ClickTraining(steps=2, crops=((32, 2, 1.0),)), "told what the defect is called"
    found = ablation.run(predictor, [name], [0], samples, frozenset(), images, config, tmp_path / "out")
    rows = list(found)
    assert [row["variant"] for row in rows] == [name, f"{name}, asked for NG"]
    assert all(len(row["ious"]) == ablation.CLICKS for row in rows)


def test_words_reach_the_logits_once_their_gate_is_open() -> None:
    network = TextConditionedNetwork().eval()
    shown = torch.randn(1, CHANNELS, 32, 32)
    words = [(torch.randn(1, 20, WIDTH), torch.rand(1, 20)) for _ in range(2)]
    assert torch.equal(network(shown, *words[0]), network(shown, *words[1]))  # closed at first
    torch.nn.init.normal_(network.language.gate[2].weight)
    assert not torch.allclose(network(shown, *words[0]), network(shown, *words[1]))


def test_the_packaged_network_is_far_better_than_chance(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", products=["cloth"], good=3, per_defect=1, size=256)
    predictor = Predictor()
    images = ablation.open_images(predictor, find_categories([tmp_path / "set"]), limit=4)
    ious = ablation.mean_ious(predictor, images)
    assert ious[2] > 0.6
