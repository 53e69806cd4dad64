"""Settings of the click network's training, and the sampler that draws its batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint.ranges import BELOW_ONE, COUNT, NONE_OR_MORE, NOT_NEGATIVE, POSITIVE, SEED, SHARE, check
from model.evidence.prepared import DISCRIMINANT, LEVELS, Prepared
from model.language.vocabulary import Words
from model.training.crops import check_crops
from model.training.interactive.samples import Sample, read_crop


@dataclass(frozen=True)
class ClickTraining:
    """Settings of one training run."""

    steps: int = 5000  # of training; the learning rate falls to zero at its end
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema: float = 0.998
    clip: float = 1.0
    focal: bool = True  # the normalised focal loss, or cross-entropy in its place
    cross_entropy: float = 0.2  # beside the focal loss: keeps the 0.5 threshold where it belongs
    overlap: float = 0.5  # beside the focal loss: whole masks after the first click
    max_next_clicks: int = 3  # simulated after the first ones, as in RITM
    jitter: float = 3.0  # standard deviation of simulated clicks, working pixels
    second_looks: float = 0.2  # share of rounds in which the mask comes back without another click
    synthetic_share: float = 0.45
    thinned: float = 0.55  # share of the steps in which samples go without some of the evidence
    seed: int = 0
    save_seconds: float = 120.0  # between two writings of the state
    # (crop side in stride-2 cells, samples a step, share of steps): small crops for speed, whole images because in
    # use most places are far from any click
    crops: tuple[tuple[int, int, float], ...] = ((96, 8, 0.45), (128, 5, 0.3), (192, 2, 0.25))

    def __post_init__(self) -> None:
        check(
            self,
            {
                **dict.fromkeys(("learning_rate", "clip"), POSITIVE),
                **dict.fromkeys(
                    ("weight_decay", "cross_entropy", "overlap", "jitter", "save_seconds"), NOT_NEGATIVE
                ),
                **dict.fromkeys(("second_looks", "synthetic_share", "thinned"), SHARE),
                "steps": COUNT,
                "ema": BELOW_ONE,
                "max_next_clicks": NONE_OR_MORE,
                "seed": SEED,
            },
        )
        check_crops(self, self.crops)

    def size(self, rng: np.random.Generator) -> tuple[int, int]:
        """Crop side and number of samples of a step."""
        shares = np.array([share for *_, share in self.crops])
        size, count, _ = self.crops[int(rng.choice(len(shares), p=shares / shares.sum()))]
        return size, count


class _OfProduct(Protocol):
    """What is drawn of a product."""

    @property
    def category(self) -> str: ...
    @property
    def real(self) -> bool: ...


Drawn = TypeVar("Drawn", bound=_OfProduct)


class Sampler(Generic[Drawn]):
    """Draws samples: products equally often, whatever the number of their images."""

    def __init__(self, samples: list[Drawn], synthetic_share: float, weights: dict[str, float] | None = None):
        self.groups: dict[bool, dict[str, list[Drawn]]] = {True: {}, False: {}}
        for sample in samples:
            self.groups[sample.real].setdefault(sample.category, []).append(sample)
        if not self.groups[True] and not self.groups[False]:
            raise ValueError("There are no training samples.")
        self.synthetic_share = synthetic_share
        self.weights = weights or {}

    def draw(self, rng: np.random.Generator) -> Drawn:
        """One sample."""
        real = bool(rng.random() >= self.synthetic_share)
        groups = self.groups[real] or self.groups[not real]
        names = sorted(groups)
        weights = np.array([self.weights.get(n, 1.0) * min(1.0, len(groups[n]) / 40) ** 0.5 for n in names])
        group = groups[names[int(rng.choice(len(names), p=weights / weights.sum()))]]
        return group[int(rng.integers(len(group)))]


@dataclass
class Batch:
    """Crops of one size, stacked.

    Attributes:
        prepared: of B crops.
        mask: (B, 2s, 2s) in {0, 1, -1}.
        kinds: what their defects are called, where that is known.
        words: for the defects, where the network hears.
    """

    prepared: Prepared
    mask: NDArray[np.float32]
    kinds: tuple[str, ...] = ()
    words: Words | None = None


class BatchSource(Protocol):
    """Where the batches of a training come from."""

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """One batch of one of the sizes in ``config.crops``."""


@dataclass(frozen=True)
class SampleFiles:
    """Batches of crops of sample files (:mod:`model.training.interactive.samples`)."""

    sampler: Sampler[Sample]

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """See :class:`BatchSource`."""
        size, count = config.size(rng)
        return load_batch(self.sampler, size, count, rng)


def load_batch(sampler: Sampler[Sample], size: int, count: int, rng: np.random.Generator) -> Batch:
    """Draw ``count`` crops of ``size`` stride-2 cells, each turned and mirrored at random."""
    crops, kinds = [], []
    for _ in range(count):
        sample = sampler.draw(rng)
        kinds.append(sample.kind)
        crop = read_crop(sample, size, rng, defect_share=0.85)
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        crops.append(
            {name: value if name == "scales" else _turn(value, turns, mirror) for name, value in crop.items()}
        )
    stacked = {name: np.stack([c[name] for c in crops]) for name in crops[0]}
    mask = stacked.pop("mask")
    tensors = {name: torch.from_numpy(value) for name, value in stacked.items()}
    levels = {name: tensors[name] for name in (*LEVELS, DISCRIMINANT)}
    return Batch(
        Prepared(tensors["static"], levels, tensors["scales"], tensors["vectors"], tensors["log_energies"]),
        mask,
        tuple(kinds),
    )


def _turn(value: NDArray[np.float32], turns: int, mirror: bool) -> NDArray[np.float32]:
    value = np.rot90(value, turns, (-2, -1))
    return np.ascontiguousarray(value[..., ::-1] if mirror else value)
