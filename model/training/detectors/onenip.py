"""How OneNIP learns: to reconstruct good images, and to restore what pseudo-anomalies drawn on them hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adclick_runtime.frame import to_working_frame
from model.detectors.eyes import Image
from model.detectors.onenip.network import OneNIP, Restored, fitted
from model.detectors.onenip.refiner import FINER
from model.features.encoding import Encoded
from model.generation.pseudo_anomalies import pseudo_anomaly
from model.generation.synthesis import add_defect
from model.interactive.config import ClickConfig
from model.matching.retrieval import retrieve
from model.training.detectors.good_images import GoodImages
from model.training.detectors.settings import DetectorTraining
from model.training.distributed import ALONE, Worker
from model.training.losses import GATE

WEIGHT_DECAY = 1e-4
FALLS = 0.8
"""Share of the training after which the learning rate is a tenth."""

REFINING = 0.5
"""Weight of the refiner's loss."""

LEAST = 32
"""Pseudo-anomalies at least, over all products."""

ROOM = 256 << 20
"""Bytes of memory for the pseudo-anomalies."""

MEASURED = 0.1
"""Share of the steps in which the range of the errors is measured."""

PAINTED = 0.5
"""Share of the pseudo-anomalies that a generator painted, where there are any (AnoGen, section 3.3)."""

OWN = 30_011
"""Of the seeds of the pseudo-anomalies: the held-out check draws others."""


@dataclass(frozen=True)
class Good:
    """A good image that is trained with.

    Attributes:
        product: of it.
        joint: (1, C, h, w) float16, its levels on one grid.
        descriptor: (D,), for :func:`model.matching.retrieval.retrieve`.
    """

    product: str
    joint: Tensor
    descriptor: Tensor


@dataclass(frozen=True)
class Anomaly:
    """A pseudo-anomaly.

    Attributes:
        host: place of the image that it was drawn on among the good ones.
        joint: (1, C, h, w) float16, its levels on one grid.
        mask: (1, 1, 4 h, 4 w) uint8, the share of each place that it covers, in 255ths.
        boxed: the mask is but a box, somewhere in which it is.
        assembled: (1, C, h, w) float16, standardised, its prompt; None where the prompt is drawn.
    """

    host: int
    joint: Tensor
    mask: Tensor
    assembled: Tensor | None = None
    boxed: bool = False


class OneNIPLearner:
    """See :class:`model.training.detectors.learner.Learner`.

    A batch are triples of a good image, a pseudo-anomaly of it, and another good image of its product, drawn at random,
    as the prompt of both; a prompt that is assembled is made of the images that are most like each of the two. Where a
    product has but one image, it is its own prompt: the network then learns nothing of how good images differ.

    Pseudo-anomalies are drawn and encoded once, so that the backbone is not run again. The authors draw each anew, in
    batches of 64 over 1 000 epochs.

    Images with generated defects take the place of half of the pseudo-anomalies. Where only the box of one is known,
    the refiner learns that all is normal outside of it, and inside where it already sees a defect.

    Args:
        network: untrained; its statistics are taken from the images.
        good: the images.
        config: settings.
        batch: triples a step, unless the settings say otherwise.
        worker: this process among those that train together; each has pseudo-anomalies of its own.
        cancelled: asked while pseudo-anomalies are drawn whether to stop; there is one at least.
    """

    def __init__(
        self,
        network: OneNIP,
        good: GoodImages,
        config: DetectorTraining,
        batch: int = 8,
        worker: Worker = ALONE,
        cancelled: Callable[[], bool] = lambda: False,
    ):
        sizes = network.config
        self.network = network.to(worker.device).train()
        self._count, self._device, self.clip = config.batch or batch, worker.device, sizes.clip
        self.good = [
            Good(product, self._joint(encoded), encoded.descriptor.cpu())
            for product in good.images
            for encoded in good.encoded(product)
        ]
        if sizes.standardised:
            network.levels.statistics.fit(one.joint for one in self.good)
        self._products: dict[str, list[int]] = {}
        for i, one in enumerate(self.good):
            self._products.setdefault(one.product, []).append(i)
        rng = np.random.default_rng([OWN, config.seed, worker.rank])
        each = (1 + sizes.assembled) * max(one.joint.nbytes for one in self.good)
        count = min(max(1, ROOM // each), max(LEAST, sizes.anomalies * len(self.good)))
        self._prompt_of: dict[int, Tensor] = {}
        self._groups: dict[torch.Size, list[Anomaly]] = {}
        for anomaly in islice(self._drawn(good, rng), count):
            self._groups.setdefault(anomaly.joint.shape, []).append(anomaly)
            if cancelled():
                break
        self._painted: dict[torch.Size, list[Anomaly]] = {}
        for anomaly in islice(self._generated(good), count):
            self._painted.setdefault(anomaly.joint.shape, []).append(anomaly)
            if cancelled():
                break
        self._shared = worker.share(self.network)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), sizes.learning_rate * config.learning_rate, weight_decay=WEIGHT_DECAY
        )

    def _joint(self, encoded: Encoded) -> Tensor:
        """(1, C, h, w) float16: all levels on one grid."""
        return self.network.levels.joint(encoded.pyramid).half().cpu()

    def _drawn(self, good: GoodImages, rng: np.random.Generator) -> Iterator[Anomaly]:
        """Pseudo-anomalies on the images in turn, without end; drawn at the size at which they are seen."""
        places = [(product, i) for product, images in good.images.items() for i in range(len(images))]
        while True:
            for host in rng.permutation(len(places)):
                product, i = places[host]
                pixels = to_working_frame(good.images[product][i], good.eyes.long_side)
                own = rng.random() < self.network.config.drawn
                found, mask = add_defect(pixels, rng)[:2] if own else pseudo_anomaly(pixels, rng)
                yield self._anomaly(good, found, mask, int(host))

    def _generated(self, good: GoodImages) -> Iterator[Anomaly]:
        """The images with generated defects that fit their hosts."""
        for image in good.generated:
            if image.host is not None:
                label = image.label()
                host = self._products[image.product][image.host]
                found = self._anomaly(good, image.load(), label.target >= 0.5, host, label.kind == "box")
                if found.joint.shape == self.good[host].joint.shape:
                    yield found

    def _anomaly(
        self, good: GoodImages, pixels: Image, mask: NDArray[np.bool_], host: int, boxed: bool = False
    ) -> Anomaly:
        encoded = good.eyes.encode(pixels)
        joint, prompt = self._joint(encoded), None
        if self.network.config.assembled:
            prompt = self._assembled(joint, encoded.descriptor, host)
        return Anomaly(host, joint, covered(mask, joint.shape[-2:]), prompt, boxed)

    def loss(self, rng: np.random.Generator) -> Tensor:
        """MSE of good images and of pseudo-anomalies to the good features, and the refiner's Dice."""
        groups = list(self._groups.values())
        shares = np.array([len(group) for group in groups])
        group = groups[int(rng.choice(len(groups), p=shares / shares.sum()))]
        chosen = [group[int(i)] for i in rng.integers(len(group), size=self._count)]
        if painted := self._painted.get(group[0].joint.shape):
            drawn = rng.random(self._count) >= PAINTED
            turns = rng.integers(len(painted), size=self._count)
            chosen = [one if d else painted[t] for one, d, t in zip(chosen, drawn, turns, strict=True)]
        clean = self._features([self.good[one.host].joint for one in chosen])
        broken = self._features([one.joint for one in chosen])
        prompt = self._prompts(chosen, clean, rng)
        mask = torch.cat([one.mask for one in chosen]).to(self._device).float() / 255
        boxed = torch.tensor([one.boxed for one in chosen], device=self._device)[:, None, None, None]

        seen = torch.cat([clean, broken])
        if rng.random() < MEASURED or not self.network.measured:
            self._measure(clean, prompt[: len(clean)])
        restored: Restored = self._shared(seen, prompt)
        reconstruction = sum(F.mse_loss(part, clean) for part in restored.features.chunk(2))
        target, somewhere = torch.cat([torch.zeros_like(mask), mask]), (mask > 0) & boxed
        somewhere = torch.cat([torch.zeros_like(somewhere), somewhere])
        refining = dice_loss(*believed(restored.logits.sigmoid(), target, somewhere)).mean()
        loss: Tensor = reconstruction + REFINING * refining
        return loss

    def _prompts(self, chosen: Sequence[Anomaly], clean: Tensor, rng: np.random.Generator) -> Tensor:
        """Features (2 B, C, h, w): the prompts of the good images, and of their pseudo-anomalies."""
        if self.network.config.assembled:
            hosts = [self._assembled_good(one.host) for one in chosen]
            both = [*hosts, *(one.assembled for one in chosen if one.assembled is not None)]
            return torch.cat(both).to(self._device).float()
        drawn = [self.good[int(rng.choice(self._others(one.host)))].joint for one in chosen]
        return torch.cat([fitted(self._features([joint]), clean) for joint in drawn]).repeat(2, 1, 1, 1)

    def _others(self, host: int) -> list[int]:
        """Places of the other good images of the same product; the image itself where there is no other."""
        return [i for i in self._products[self.good[host].product] if i != host] or [host]

    def _assembled_good(self, host: int) -> Tensor:
        """The prompt of a good image, once it was needed."""
        if host not in self._prompt_of:
            one = self.good[host]
            self._prompt_of[host] = self._assembled(one.joint, one.descriptor, host)
        return self._prompt_of[host]

    def _assembled(self, joint: Tensor, descriptor: Tensor, host: int) -> Tensor:
        """The prompt (1, C, h, w) float16 of an image, put together from the good images that it would be shown."""
        others = self._others(host)
        bank = torch.stack([self.good[i].descriptor for i in others])
        order = retrieve(descriptor.cpu(), bank, ClickConfig.nearest_references)
        references = [self._features([self.good[others[i]].joint]) for i in order]
        return self.network.prompt(self._features([joint]), references).half().cpu()

    def rate(self, progress: float) -> float:
        """Rises at first where the network asks for it; 0.1 for the last fifth of the training."""
        warm = self.network.config.warm
        if progress < warm:
            return max(0.1, progress / warm)
        return 1.0 if progress < FALLS else 0.1

    def _features(self, joints: list[Tensor]) -> Tensor:
        """Standardised features (B, C, h, w) of images of one size."""
        return self.network.levels(torch.cat(joints).to(self._device).float())  # type: ignore[no-any-return]

    @torch.no_grad()
    def _measure(self, clean: Tensor, prompt: Tensor) -> None:
        """Let good images count for the range of the errors, as the network sees them in use."""
        self.network.eval()
        self.network.measure_range(clean, self.network(clean, prompt).features)
        self.network.train()


def dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """One minus Dice's overlap with squared sums, 1 - (2 sum pt + 1) / (sum p^2 + sum t^2 + 1), of each sample.

    The usual form (Milletari et al., 3DV 2016): 0 for a mask that is found exactly, and for an empty one where nothing
    is found. The authors' code has no factor 2, so that a perfect answer costs about a half.

    Args:
        probability: (B, 1, h, w) in [0, 1].
        target: (B, 1, h, w) in [0, 1].

    Returns:
        (B,) in [0, 1].
    """
    shared = (probability * target).sum((1, 2, 3))
    sizes = (probability.square() + target.square()).sum((1, 2, 3))
    return 1 - (2 * shared + 1) / (sizes + 1)


def believed(probability: Tensor, target: Tensor, somewhere: Tensor) -> tuple[Tensor, Tensor]:
    """What a loss may know where a defect is only known to be ``somewhere``.

    A place there counts once it is called a defect, and then it is one (AnoGen's self-gate, section 3.3).

    Args:
        probability: (B, 1, h, w) in [0, 1].
        target: (B, 1, h, w) in [0, 1]; disregarded ``somewhere``.
        somewhere: (B, 1, h, w) bool.

    Returns:
        Probability and target, both 0 where nothing is known, so that squared sums over them leave it out.
    """
    called = probability.detach() > GATE
    known = ~somewhere | called
    return probability * known, torch.where(somewhere, called.float(), target)


def covered(mask: NDArray[np.bool_], grid: Sequence[int]) -> Tensor:
    """How much of each place of the refined map is covered, (1, 1, 4 h, 4 w) uint8, for features on (h, w)."""
    h, w = (FINER * side for side in grid)
    share = cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.rint(255 * share).astype(np.uint8))[None, None]
