"""OneNIP (Gao, "Learning to Detect Multi-class Anomalies with Just One Normal Image Prompt", ECCV 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.onenip.alignment import assembled
from model.detectors.onenip.attention import Positions, neighbour_mask
from model.detectors.onenip.config import OneNIPConfig
from model.detectors.onenip.decoder import Decoder
from model.detectors.onenip.encoder import Encoder
from model.detectors.onenip.features import Levels, jittered
from model.detectors.onenip.refiner import FINER, Refiner

_PACE = 0.1  # share of what was known of the range of the errors that one more measurement replaces


class Restored(NamedTuple):
    """What OneNIP says of images.

    Attributes:
        features: (B, C, h, w), their features as they would be without defects.
        logits: (B, 1, 4 h, 4 w) of a defect, by the refiner.
    """

    features: Tensor
    logits: Tensor


class OneNIP(nn.Module):
    """Reconstructs the features of an image with the help of a good image, the prompt; what fails is a defect.

    Trained with good images, and to restore what a pseudo-anomaly hides. Features are (B, C, h, w) float32 on the grid
    of stride 16, in units of :attr:`levels`; h and w are whatever the image's working frame gives.

    Args:
        config: sizes.

    Attributes:
        levels: from a pyramid to features.
        lowest, highest: the error of reconstruction at the best and at the worst place of a good image, a running mean
            over the training.
    """

    lowest: Tensor
    highest: Tensor
    measured: Tensor

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.config = config
        self.levels = Levels(config)
        values = sum(config.channels) * config.patch**2
        self.embed, self.out = nn.Linear(values, config.width), nn.Linear(config.width, values)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.refiner = Refiner(sum(config.channels), config.refiner)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if config.assembled:  # the start: the prompt as it is
            nn.init.zeros_(self.out.weight)
        self.positions = Positions(config)
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("highest", torch.zeros(()))
        self.register_buffer("measured", torch.zeros(()))

    def prompt(self, image: Tensor, references: Sequence[Tensor]) -> Tensor:
        """What an image is restored with, (1, C, h, w).

        The paper's network takes a good image as it is; one whose prompt is assembled takes the most similar place of
        all of them for each place of the image, and learns what to add to it. That is nearly right from the start, so
        that minutes of training are enough, and lies right for products that have no fixed place in the picture.

        Args:
            image: features (1, C, h, w).
            references: features of good images of the product, the most similar one first; at least one.
        """
        if self.config.assembled:
            return assembled(image, references, self.config.channels)
        return fitted(references[0], image)

    def forward(self, image: Tensor, prompt: Tensor) -> Restored:
        """An image's features as they would be without defects, and where they are not.

        Args:
            image: features.
            prompt: those of a good image of the same product each (B, C, h', w'); brought to the grid of the image.
        """
        positions, allowed = self.around(image.shape[2], image.shape[3])
        return self.restored(image, fitted(prompt, image), positions, allowed)

    def restored(self, image: Tensor, prompt: Tensor, positions: Tensor, allowed: Tensor) -> Restored:
        """The same of a prompt on the grid of the image, with what belongs to that grid (:meth:`around`)."""
        both = torch.cat([image, prompt])
        tokens = self.encode(
            jittered(both, self.config.jitter) if self.training else both, positions, allowed
        )
        seen, hint = tokens.chunk(2)
        restored = self.decode(seen, hint, (image.shape[2], image.shape[3]), positions, allowed)
        if self.config.assembled:
            restored = prompt + restored
        return Restored(restored, self.refiner((restored - image).abs()))

    def encode(self, features: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """(B, C, h, w) -> encoded tokens (B, T, width); positions (1, T, width), allowed (T, T) bool."""
        tokens = self.embed(F.pixel_unshuffle(features, self.config.patch).flatten(2).transpose(1, 2))
        return self.encoder(tokens, positions, allowed)  # type: ignore[no-any-return]

    def decode(
        self, image: Tensor, prompt: Tensor, grid: tuple[int, int], positions: Tensor, allowed: Tensor
    ) -> Tensor:
        """Encoded tokens (B, T, width) of an image and of a prompt on the grid (h, w) -> features (B, C, h, w)."""
        found = self.out(self.decoder(prompt, image, positions, allowed))
        patch = self.config.patch
        maps = found.transpose(1, 2).unflatten(2, (grid[0] // patch, grid[1] // patch))
        return F.pixel_shuffle(maps, patch)

    def around(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The positions on the tokens of a grid, and which token may look at which."""
        grid = height // self.config.patch, width // self.config.patch
        return self.positions(grid), neighbour_mask(grid, self.config, self.positions.rows.device)

    def map(self, image: Tensor, restored: Restored) -> Tensor:
        """How unlike its reconstruction each place of an image is, (B, 1, 4 h, 4 w) float32 >= 0.

        Half of it is the length of the error, half the refiner's probability times (highest + lowest) / 2, which
        brings it to the same range (section 3.5). The authors take both ends from the maps of the whole test set; here
        they were measured on good images in training, so that an image's map depends on no other image.

        Args:
            image: its features.
            restored: what :meth:`forward` says of them.
        """
        error, level = enlarged(error_of(image, restored.features)), (self.highest + self.lowest) / 2
        return 0.5 * error + 0.5 * level * restored.logits.sigmoid()

    @torch.no_grad()
    def measure_range(self, image: Tensor, restored: Tensor) -> None:
        """Let some images count for :attr:`lowest` and :attr:`highest`: features and reconstructions (B, C, h, w)."""
        error = error_of(image, restored).flatten(1)
        self.measured += 1
        pace = max(_PACE, 1 / float(self.measured))
        self.lowest.lerp_(error.amin(1).mean(), pace)
        self.highest.lerp_(error.amax(1).mean(), pace)


def fitted(prompt: Tensor, image: Tensor) -> Tensor:
    """The features of a prompt (B, C, h', w') on the grid of an image's (B, C, h, w)."""
    if prompt.shape[-2:] == image.shape[-2:]:
        return prompt
    return F.interpolate(prompt, size=image.shape[-2:], mode="bilinear", align_corners=False)


def error_of(image: Tensor, restored: Tensor) -> Tensor:
    """The length of the difference of two features at each place, (B, 1, h, w) (section 3.5)."""
    length: Tensor = torch.linalg.vector_norm(restored - image, dim=1, keepdim=True)
    return length


def enlarged(maps: Tensor) -> Tensor:
    """Maps (B, 1, h, w) on the grid of the refined ones, (B, 1, 4 h, 4 w); pixel areas map onto pixel areas."""
    return F.interpolate(maps, scale_factor=float(FINER), mode="bilinear", align_corners=False)
