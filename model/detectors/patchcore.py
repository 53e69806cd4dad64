"""PatchCore (Roth et al., CVPR 2022) on the features of this project: the peer that ADClick-Seg is measured against.

Learns nothing: a thinned-out bank of the patches of the references, and each patch's distance to the nearest of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.described import MOST
from model.checkpoint.manifest import CheckpointError
from model.checkpoint.ranges import COUNT, check, refused
from model.detectors.detector import Found, Scene
from model.features.backbones import Pyramid
from model.features.encoding import Encoded
from model.matching.residual import Standards, joint_features
from model.matching.retrieval import MATCH_STRIDES, Retrieved

CORESET = 1000  # patches kept at most
PROJECTED = 32  # dimensions in which the coreset is chosen
SMOOTHING = 4.0  # standard deviation of the blur of the map, working pixels

_CHUNK = 1024


@dataclass(frozen=True)
class PatchCoreConfig:
    """Sizes of the banks of some products.

    Attributes:
        products: their names.
        patches: of each bank, how many are kept; at most `model.checkpoint.described.MOST`.
        channels: of the features at the strides 4, 8 and 16.
    """

    products: tuple[str, ...]
    patches: tuple[int, ...]
    channels: tuple[int, int, int]

    def __post_init__(self) -> None:
        if len(self.products) != len(self.patches) or len(self.channels) != len(MATCH_STRIDES):
            raise ValueError(
                f"Banks of {len(self.products)} products with {len(self.patches)} sizes, {len(self.channels)} levels: "
                f"each product has one, and there are {len(MATCH_STRIDES)} levels."
            )
        check(self, {"patches": COUNT, "channels": COUNT})
        if max(*self.patches, *self.channels) > MOST:
            raise refused(self, "patches", f"{max(self.patches)} is too many, it takes at most {MOST}")

    @classmethod
    def read(cls, said: Mapping[str, Any], source: str) -> PatchCoreConfig:
        """The sizes that a manifest says; ``asdict`` of a config is what it says.

        Raises:
            CheckpointError: they are none.
        """
        try:
            products = tuple(str(name) for name in said["products"])
            config = cls(products, tuple(said["patches"]), tuple(said["channels"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"The manifest of {source} has sizes that are not of PatchCore: {error}"
            ) from None
        return config


class PatchCore(nn.Module):
    """A bank of the normal patches of one product.

    Args:
        patches: how many are kept.
        channels: of the features at the strides 4, 8 and 16.
    """

    bank: Tensor

    def __init__(self, patches: int, channels: Sequence[int]):
        super().__init__()
        self.register_buffer("bank", torch.zeros(patches, sum(channels)))
        for stride, count in zip(MATCH_STRIDES, channels, strict=True):
            self.register_buffer(f"mean{stride}", torch.zeros(count, 1, 1))
            self.register_buffer(f"deviation{stride}", torch.ones(count, 1, 1))

    @classmethod
    def fitted(cls, references: Sequence[Encoded], coreset: int = CORESET, seed: int = 0) -> PatchCore:
        """The bank of some defect-free images.

        Args:
            references: at least one.
            coreset: how many patches are kept, at most.
            seed: of the random projection and the first centre.

        Raises:
            ValueError: there is no image.
        """
        retrieved = Retrieved(list(references))
        patches = torch.cat([_patches(image, retrieved) for image in references])
        kept = patches[k_centres(patches, coreset, seed)]
        channels = [references[0].pyramid[stride].shape[1] for stride in MATCH_STRIDES]
        core = cls(len(kept), channels)
        core.bank.copy_(kept)
        for stride, (mean, deviation) in retrieved.statistics.items():
            core.get_buffer(f"mean{stride}").copy_(mean[0])
            core.get_buffer(f"deviation{stride}").copy_(deviation[0])
        return core

    def standardise(self, pyramid: Pyramid, stride: int) -> Tensor:
        """The feature map of a stride in units of the references' standard deviations, (1, C, h, w)."""
        mean, deviation = (self.get_buffer(f"{name}{stride}") for name in ("mean", "deviation"))
        return (pyramid[stride] - mean) / deviation

    @torch.inference_mode()
    def map(self, image: Encoded) -> NDArray[np.float32]:
        """Distance of each place to the nearest patch of the bank, (H, W) float32 >= 0, of the working frame."""
        patches = _patches(image, self)
        distances = [
            torch.cdist(patches[start : start + _CHUNK], self.bank).amin(1)
            for start in range(0, len(patches), _CHUNK)
        ]
        grid = torch.cat(distances).view(image.grid).cpu().numpy()
        height, width = (2 * int(side) for side in image.colour.shape[-2:])
        enlarged = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.GaussianBlur(enlarged, (0, 0), SMOOTHING), np.float32)


class PatchCoreBanks(nn.Module):
    """The banks of some products; ``config`` says which and how large."""

    def __init__(self, config: PatchCoreConfig):
        super().__init__()
        self.config = config
        self.banks = nn.ModuleList(PatchCore(patches, config.channels) for patches in config.patches)

    @classmethod
    def fitted(
        cls, references: Mapping[str, Sequence[Encoded]], coreset: int = CORESET, seed: int = 0
    ) -> PatchCoreBanks:
        """The banks of some products, each with at least one defect-free image.

        Raises:
            ValueError: there is no product, or one has no image.
        """
        cores = [PatchCore.fitted(images, coreset, seed) for images in references.values()]
        if not cores:
            raise ValueError("PatchCore needs the defect-free images of at least one product.")
        first = next(iter(references.values()))[0]
        levels = [first.pyramid[stride].shape[1] for stride in MATCH_STRIDES]
        made = cls(
            PatchCoreConfig(
                tuple(references), tuple(len(core.bank) for core in cores), (levels[0], levels[1], levels[2])
            )
        )
        made.banks = nn.ModuleList(cores)
        return made


class PatchCoreDetector:
    """See :class:`model.detectors.detector.Detector`; knows the products whose banks it has.

    Args:
        name: of the detector.
        network: the banks.
        backbone_id: the backbone behind which they were fitted.
        long_side: of the working frame, pixels.
        device: where it computes.
    """

    needs = 0

    def __init__(
        self,
        name: str,
        network: PatchCoreBanks,
        backbone_id: BackboneId,
        long_side: int,
        device: str = "cpu",
    ):
        self.name, self.backbone_id, self.long_side = name, backbone_id, long_side
        self._device = torch.device(device)
        network = network.eval().to(self._device)
        banks = zip(network.config.products, network.banks, strict=True)
        self.banks = {product: bank for product, bank in banks if isinstance(bank, PatchCore)}

    def look(self, scene: Scene) -> Found:
        """The distance of each place to the nearest patch; the score is the largest, without the paper's reweighting.

        Raises:
            ValueError: there is no bank of the product.
        """
        core = self.banks.get(scene.product)
        if core is None:
            raise ValueError(
                f"{self.name} knows {', '.join(map(repr, self.banks))}, and not the product {scene.product!r}: "
                "train it with good images of it."
            )
        map_ = core.map(scene.image.to(self._device))
        return Found(map_, float(map_.max()))


def _patches(image: Encoded, standards: Standards) -> Tensor:
    """(h * w, D) features of 3 x 3 patches on the stride-8 grid."""
    maps = torch.cat(list(joint_features(image, standards).values()), 1)
    return maps[0].flatten(1).T.contiguous()


def k_centres(points: Tensor, count: int, seed: int = 0) -> Tensor:
    """Indices of ``count`` points (N, D) such that every point is near one of them: greedy farthest-first.

    Distances are taken in a random projection, as in the paper, for speed.
    """
    if count >= len(points):
        return torch.arange(len(points))
    generator = torch.Generator().manual_seed(seed)
    if points.shape[1] > PROJECTED:
        points = points @ torch.randn(points.shape[1], PROJECTED, generator=generator) / PROJECTED**0.5
    chosen = int(torch.randint(len(points), (1,), generator=generator))
    nearest = torch.full((len(points),), float("inf"))
    centres = []
    for _ in range(count):
        centres.append(chosen)
        nearest = torch.minimum(nearest, (points - points[chosen]).square().sum(1))
        chosen = int(nearest.argmax())
    return torch.tensor(centres)
