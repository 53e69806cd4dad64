"""Batches of ADClick-Seg: crops of samples, each with the type that is looked for and what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from model.labels.labelled import DEFECT, SHAPED, Kind
from model.labels.weak import three_valued
from model.segmentation.inputs import STRIDES
from model.training.crops import Crop
from model.training.segmentation.samples import SegSample

Floats = NDArray[np.float32]

NORMAL, GENERATED = "normal", "generated"


@dataclass
class SegBatch:
    """B crops of one size.

    Attributes:
        inputs: :func:`model.segmentation.inputs.inputs`.
        labels: (B, 1, 2s, 2s) float32 in {0, 1, -1}.
        somewhere: (B, 1, 2s, 2s) bool: where the defect may be (boxes, tags).
        types: what is looked for in each.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    somewhere: Tensor
    types: list[str]


class SegSampler:
    """Draws samples: sources in given shares, products equally often, types of a source equally often.

    Args:
        samples: all there are.
        shares: source -> how often it is drawn; those without samples are left out.
        others: share of labelled samples in which a type is looked for that is not there.
        generated: share of the defects that is generated, where there are any; the rest is drawn as ``shares`` say.
    """

    def __init__(
        self, samples: Sequence[SegSample], shares: dict[str, float], others: float, generated: float = 0.5
    ):
        self.groups: dict[str, dict[tuple[str, str], list[SegSample]]] = {}
        for sample in samples:
            for kind in sample.kinds or ("",):
                self.groups.setdefault(sample.source, {}).setdefault((sample.product, kind), []).append(
                    sample
                )
        self.types = {
            product: sorted({t for s in samples if s.product == product for t in s.kinds if t != DEFECT})
            for product in {s.product for s in samples}
        }
        self.sources = sorted(self.groups)
        weights = np.array([({GENERATED: 0.0} | shares)[name] for name in self.sources])
        if GENERATED in self.groups:
            defects = np.array([name != NORMAL for name in self.sources])
            whole = weights[defects].sum()
            weights[defects] *= 1 - generated
            weights[self.sources.index(GENERATED)] = generated * (whole or 1.0)
        self.weights = weights / weights.sum()
        self.others = others

    def draw(self, rng: np.random.Generator, whole: bool) -> SegSample:
        """One sample; a sample whose label speaks of the whole image only when ``whole``."""
        while True:
            groups = self.groups[str(rng.choice(self.sources, p=self.weights))]
            names = sorted(groups)
            group = groups[names[int(rng.integers(len(names)))]]
            sample = group[int(rng.integers(len(group)))]
            if whole or not sample.whole:
                return sample

    def sought(self, sample: SegSample, rng: np.random.Generator) -> str:
        """The type that is looked for in a sample: mostly one that it has."""
        known, own = self.types[sample.product], sorted(sample.kinds)
        if own == [DEFECT] or not own:  # nobody knows what a drawn defect is: it may be any
            return str(rng.choice([*known, DEFECT])) if known else DEFECT
        other = [t for t in known if t not in sample.kinds]
        if other and not sample.whole and rng.random() < self.others:
            return str(rng.choice(other))
        return str(rng.choice([*own, DEFECT])) if rng.random() < 0.2 else str(rng.choice(own))


def load_batch(
    sampler: SegSampler, size: int, count: int, epsilon: float, rng: np.random.Generator
) -> SegBatch:
    """Draw ``count`` crops of ``size`` stride-2 cells, each mirrored at random.

    Args:
        sampler: of the samples.
        size: side of the crops; samples with image tags are only drawn when it holds the whole image.
        count: B.
        epsilon: half width of the abandon band (Eq. 9).
        rng: source of all randomness.
    """
    crops, types = [], []
    for _ in range(count):
        sample = sampler.draw(rng, whole=size >= 256)
        types.append(sampler.sought(sample, rng))
        crop = read_crop(sample, types[-1], size, epsilon, rng)
        turns = slice(None, None, -1) if rng.random() < 0.5 else slice(None)
        flips = slice(None, None, -1) if rng.random() < 0.5 else slice(None)
        crops.append({name: np.ascontiguousarray(maps[..., turns, flips]) for name, maps in crop.items()})
    stacked = {name: torch.from_numpy(np.stack([c[name] for c in crops])) for name in crops[0]}
    labels, somewhere = stacked.pop("labels"), stacked.pop("somewhere")
    return SegBatch(stacked, labels, somewhere > 0, types)


def read_crop(
    sample: SegSample, sought: str, size: int, epsilon: float, rng: np.random.Generator
) -> dict[str, Floats]:
    """A crop of a sample of ``size`` x ``size`` stride-2 cells, padded where the image is smaller.

    Mostly it is placed round a pixel of a defect, if there is one.

    Returns:
        The inputs by name, (C, s, s) each, and (1, 2s, 2s) each, ``labels`` in {0, 1, -1} and ``somewhere`` in {0, 1}.
    """
    with safe_open(sample.path, "np") as file:
        elsewhere = float(rng.choice([0.0, -1.0]))
        labels, somewhere = what_is_known(file, sample, sought, epsilon, elsewhere)
        place = Crop.drawn((labels == 1) | (somewhere > 0), size, 0.8, rng)
        crop = {name: place.of(file.get_slice(name), stride) for name, stride in STRIDES.items()}
    crop["labels"] = place.of(labels[None], 1, fill=-1.0)
    crop["somewhere"] = place.of(somewhere[None], 1)
    return crop


def read_inputs(sample: SegSample) -> dict[str, Tensor]:
    """The inputs of a whole sample, B = 1."""
    with safe_open(sample.path, "pt") as file:
        return {name: file.get_tensor(name).float()[None] for name in STRIDES}


def read_targets(sample: SegSample) -> dict[str, tuple[Kind, NDArray[np.bool_]]]:
    """Where the labels of a sample say each type is: type -> kind of the label, and (H, W) bool in working pixels."""
    with safe_open(sample.path, "np") as file:
        return {
            name: (kind, file.get_tensor(f"target{i}") > 127)
            for i, (name, kind) in enumerate(sample.kinds.items())
        }


def what_is_known(
    file: Any, sample: SegSample, sought: str, epsilon: float, elsewhere: float
) -> tuple[Floats, Floats]:
    """What the labels of a sample say of the type that is looked for.

    A defect of unknown type counts as any type, and every type is a defect.

    Args:
        file: of the sample, opened by safetensors.
        sample: its header.
        sought: the type that is looked for.
        epsilon: half width of the abandon band (Eq. 9).
        elsewhere: the label of places of other types: 0 tells the types apart, -1 leaves them open. Only the maximum
            over the types counts in the end (Eq. 7), so telling them apart must not cost the defect itself.

    Returns:
        Labels (H, W) float32 in {0, 1, -1}, and where the defect may be, (H, W) float32 in {0, 1}.
    """
    h, w = (2 * int(side) for side in file.get_slice("relative").get_shape()[1:])
    labels, somewhere = np.zeros((h, w), np.float32), np.zeros((h, w), np.float32)
    order = sorted(
        enumerate(sample.kinds), key=lambda numbered: numbered[1] == sought
    )  # its own word comes last
    for i, name in order:
        kind = sample.kinds[name]
        target = file.get_tensor(f"target{i}").astype(np.float32) / 255
        certain = file.get_tensor(f"certain{i}") > 127
        own = name == sought or DEFECT in (name, sought)
        here = 1.0 if own else elsewhere
        if kind in SHAPED:
            known = three_valued(target, certain, epsilon)
            labels[known == 1] = here
            labels[known == -1] = -1.0
            continue
        inside = target >= 0.5
        labels[inside & (labels == 0)] = -1.0
        labels[inside & certain] = here
        if own:
            somewhere[inside & ~certain] = 1.0
    return labels, somewhere
