"""Every setting takes the border values of its range and refuses what lies just beyond, in a sentence that names it."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
import torch

from adclick_backend.cli import main
from model.checkpoint.manifest import CheckpointError
from model.interactive import presets
from model.interactive.base import BaseConfig
from model.interactive.config import ClickConfig
from model.interactive.continuity import ContinuityConfig
from model.interactive.lite import LiteConfig
from model.interactive.mask import MaskConfig
from model.interactive.threshold_selection import ThresholdConfig
from model.interactive.zoom import ZoomConfig
from model.matching.nearest import MatchingConfig
from model.segmentation.network import SegConfig
from model.studies.ablation import Variant
from model.studies.label_study import Setting
from model.training.interactive.adaptation import Adaptation
from model.training.interactive.batches import ClickTraining
from model.training.segmentation.trainer import SegTraining

TINY = 1e-9
COUNT, SOME = ([1, 10**6], [0, -1, 1.5, "2"]), ([0, 10**6], [-1, 0.5])
SHARE, BELOW_ONE = ([0.0, 1.0], [-TINY, 1 + TINY, math.nan]), ([0.0, 0.999], [-TINY, 1.0, math.nan])
POSITIVE = ([TINY, 1e6], [0.0, -1.0, math.inf, math.nan])
NOT_NEGATIVE = ([0.0, 1e6], [-TINY, math.inf, math.nan])
SWITCH: tuple[list[Any], list[Any]] = ([False, True], [])
CROPS = (
    [((16, 1, TINY),), ((32, 2, 0.0), (256, 1, 1.0))],
    [(), ((0, 1, 1.0),), ((24, 1, 1.0),), ((32, 0, 1.0),), ((32, 1, -TINY),), ((32, 1, 0.0),)],
)

BORDERS: dict[type, dict[str, tuple[list[Any], list[Any]]]] = {
    ClickTraining: {
        "steps": COUNT, "learning_rate": POSITIVE, "weight_decay": NOT_NEGATIVE, "ema": BELOW_ONE, "clip": POSITIVE,
        "focal": SWITCH, "cross_entropy": NOT_NEGATIVE, "overlap": NOT_NEGATIVE, "max_next_clicks": SOME,
        "jitter": NOT_NEGATIVE, "second_looks": SHARE, "synthetic_share": SHARE, "thinned": SHARE, "seed": SOME,
        "save_seconds": NOT_NEGATIVE, "crops": CROPS,
    },
    Adaptation: {
        "training": ([ClickTraining()], []), "moved": SHARE, "painted": NOT_NEGATIVE, "synthetic": SOME,
        "most_labelled": SOME, "windows": SOME,
    },
    SegTraining: {
        "steps": COUNT, "seed": SOME, "learning_rate": POSITIVE, "fresh": NOT_NEGATIVE, "trust": NOT_NEGATIVE,
        "weight_decay": NOT_NEGATIVE, "ema": BELOW_ONE, "clip": POSITIVE, "cross_entropy": NOT_NEGATIVE,
        "band": ([(0.0, 0.0), (0.0, 0.5), (0.5, 0.5)], [(-TINY, 0.3), (0.0, 0.5 + TINY), (0.3, 0.2)]),
        "clicked_share": SHARE, "jitter": NOT_NEGATIVE, "others": SHARE,
        "shares": (
            [(("labelled", 1.0),), (("labelled", 0.0), ("normal", TINY))],
            [(), (("labelled", 0.0),), (("labelled", -TINY),), (("painted", 1.0),)],
        ),
        "generated_share": SHARE, "crops": CROPS, "enough": COUNT, "synthetic": SOME, "pasted": SOME, "generated": SOME,
        "normal": SOME,
        "words": SWITCH, "views": SWITCH, "pretrained": SWITCH, "patience": SHARE, "save_seconds": NOT_NEGATIVE,
    },
    LiteConfig: {
        "inputs": COUNT, "shrinkage": NOT_NEGATIVE, "previous": SWITCH, "dropout": SHARE,
        "widths": ([(1, 1, 1, 1, 1)], [(1, 1, 1, 1), (1, 1, 0, 1, 1), (1,) * 6]),
    },
    BaseConfig: {
        "residual": COUNT, "width": ([32, 64], [0, -32, 33]), "depth": COUNT, "heads": ([1, 1024], [0, 3]),
        "window": COUNT, "words": SOME, "pyramid": ([(1, 1, 1, 1)], [(1, 1, 1), (1, 0, 1, 1)]), "head": COUNT,
    },
    SegConfig: {
        "words": COUNT, "relative": COUNT, "clicks": COUNT, "vectors": COUNT,
        "views": ([(), (("stride4", 1),)], [(("stride4", 0),), (("stride5", 1),)]),
        "widths": ([(1, 1, 1, 1, 1)], [(1, 1, 1, 1), (1, 1, 0, 1, 1), (1,) * 6]),
        "reduced": COUNT, "noise": NOT_NEGATIVE, "dropout": SHARE,
    },
    MatchingConfig: {
        "position_weight": NOT_NEGATIVE, "self_exclusion": SHARE, "exhaustive": SOME, "chunk": COUNT,
        "dtype": ([torch.float32, torch.bfloat16, torch.float16], [torch.int8, "float32"]),
    },
    ZoomConfig: {
        "side": COUNT, "room": POSITIVE, "smallest": COUNT,
        "worthwhile": ([TINY, math.inf], [0.0, math.nan]), "kept": SHARE, "margin": SHARE, "most_expected": SOME,
        "outside": ([-TINY, -9.0], [0.0, -math.inf, math.nan]),
    },
    ThresholdConfig: {
        "levels": ([(TINY,), (0.5, 1 - TINY)], [(), (0.0,), (0.5, 1.0)]),
        "missed": SHARE, "near": SOME, "undecided": POSITIVE,
    },
    ContinuityConfig: {
        "near": SOME, "adds": POSITIVE, "removes": POSITIVE, "middle": SHARE, "most": SHARE, "sure": POSITIVE,
        "poor": SHARE, "unbelieved": SHARE, "edge": SOME, "undecided": POSITIVE,
    },
    MaskConfig: {
        "smoothing": POSITIVE, "neighbourhood": SOME, "smallest_part": SHARE, "largest_hole": SHARE,
    },
    ClickConfig: {
        "nearest_references": COUNT, "few_references": SOME, "largest_mismatch_ratio": POSITIVE,
        "most_clicks_seen": COUNT,
        **{part: ([], []) for part in ("matching", "zoom", "threshold", "continuity", "mask")},  # checked themselves
    },
    Variant: {
        "without": ([(), ("edge",)], [("smell",)]),
        "network": ([(("dropout", 1.0),)], [(("dropout", 2.0),), (("drop", 0.0),)]),
        "changes": ([(("steps", 1),)], [(("steps", 0),), (("step", 1),)]),
        "clean": SWITCH, "words": SWITCH,
    },
    Setting: {
        "labels": (["masks", "5", "3", "none"], ["4", ""]),
        "changes": ([(("words", False),)], [(("patience", 2.0),), (("word", False),)]),
    },
}  # fmt: skip

NEEDED: dict[type, dict[str, Any]] = {Setting: {"labels": "masks"}}
"""What has no default."""


@pytest.mark.parametrize("kind", BORDERS)
def test_no_setting_is_left_unchecked(kind: Any) -> None:
    assert [f.name for f in fields(kind)] == list(BORDERS[kind])


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, all_ in BORDERS.items() for name, (good, _) in all_.items() for value in good],
)  # fmt: skip
def test_the_borders_of_a_range_are_taken(kind: Any, name: str, value: object) -> None:
    assert getattr(kind(**{**NEEDED.get(kind, {}), name: value}), name) == value


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, all_ in BORDERS.items() for name, (_, bad) in all_.items() for value in bad],
)  # fmt: skip
def test_what_lies_beyond_is_refused_by_name(kind: Any, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"^\w+\.\w+: .+\.$") as error:
        kind(**{**NEEDED.get(kind, {}), name: value})
    said = str(error.value)
    if kind not in (Variant, Setting):  # whose changes are settings of others, which say their own name
        owner = "heads" if kind is BaseConfig and value == 33 else name
        assert said.startswith(f"{kind.__name__}.{owner}: ")


def test_a_refused_setting_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^ClickTraining\.steps: 0 is too few, it takes at least 1\.$"):
        ClickTraining(steps=0)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train click . --steps 0", "--steps: 0 is too few, it takes at least 1"),
        ("train click . --seed=-1", "--seed: -1 is no seed, which is a whole number from 0 on"),
        ("train click . --learning-rate 0", "--learning-rate: 0 is out of range, it takes a number above 0"),
        ("train click . --synthetic=-1", "--synthetic: -1 is too few, it takes at least 0"),
        ("train click . --drawn=-9", "--drawn: -9 is too few, it takes at least 0"),
        ("train click . --weight a/b=-1", "--weight: -1 is out of range, it takes at least 0"),
        ("train segmentation . --steps 0", "--steps: 0 is too few, it takes at least 1"),
        ("train segmentation . --seed=-1", "--seed: -1 is no seed, which is a whole number from 0 on"),
        ("train segmentation . --limit=-1", "--limit: -1 is too few, it takes at least 0"),
        ("train segmentation . --references=-1", "--references: -1 is too few, it takes at least 0"),
        ("ablation . . --steps 0", "--steps: 0 is too few, it takes at least 1"),
        ("ablation . . --limit 0", "--limit: 0 is too few, it takes at least 1"),
        ("ablation . . --seeds 0 -1", "--seeds: -1 is no seed, which is a whole number from 0 on"),
        ("study . --steps 0", "--steps: 0 is too few, it takes at least 1"),
        ("study . --splits 0", "--splits: 0 is too few, it takes at least 1"),
        ("synthesis --columns 0", "--columns: 0 is too few, it takes at least 1"),
        ("synthesis --seed=-1", "--seed: -1 is no seed, which is a whole number from 0 on"),
    ],
)
def test_the_command_line_refuses_in_the_same_words(
    command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(command.split())
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_a_size_of_a_manifest_that_no_network_has_is_refused_by_name() -> None:
    sizes = {"width": 0, "pyramid": [8, 8, 8, 8]}
    with pytest.raises(CheckpointError, match=r"mine\.safetensors .*: BaseConfig\.width: 0 is too few"):
        presets.new({"preset": "base", "network": sizes}, "mine.safetensors")
