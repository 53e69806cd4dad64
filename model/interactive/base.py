"""The paper's click network: residual tensor, clicks and words through a wide Swin stage (the ``base`` preset)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.ranges import COUNT, NONE_OR_MORE, check, refused
from model.evidence.nearness import squared_distances
from model.evidence.prepared import Prepared, without_levels
from model.features.backbones import Pyramid
from model.features.encoding import Encoded
from model.interactive.network import ClickNetwork
from model.interactive.swin import SwinBlock
from model.language.attention import PixelWordAttention
from model.language.vocabulary import Words
from model.matching.nearest import MATCHING, Cells, Matches, MatchingConfig
from model.matching.residual import match
from model.matching.retrieval import Retrieved


@dataclass(frozen=True)
class BaseConfig:
    """Sizes of the ``base`` preset; the defaults are the paper's (512 px images, 64 x 64 tokens)."""

    residual: int = 1024  # d, of the residual tensor
    width: int = 1024  # of a token
    depth: int = 4
    heads: int = 32
    window: int = 8
    words: int = 0  # D of the text encoder's states; 0: the network is told no words
    pyramid: tuple[int, ...] = (240, 480, 960, 1920)  # strides 4, 8, 16, 32
    head: int = 256

    def __post_init__(self) -> None:
        sizes = ("residual", "width", "depth", "heads", "window", "pyramid", "head")
        check(self, {**dict.fromkeys(sizes, COUNT), "words": NONE_OR_MORE})
        if self.width % self.heads:
            raise refused(self, "heads", f"{self.heads} do not share the width {self.width} evenly")
        if len(self.pyramid) != 4:
            raise refused(
                self, "pyramid", f"{len(self.pyramid)} widths are not one for each of the 4 strides"
            )


def patch_features(pyramid: Pyramid, width: int = 1024) -> Tensor:
    """PatchCore's descriptors on the stride-8 grid (Eq. 2).

    The 3 x 3 neighbourhood of each place of each level is averaged to ``width`` numbers, the levels are brought to
    the stride-8 grid, stacked, and averaged to ``width`` again.

    Args:
        pyramid: features at strides 4, 8, 16, each (B, C, h, w).
        width: d.

    Returns:
        (B, width, H/8, W/8).
    """
    grid = pyramid[8].shape[-2], pyramid[8].shape[-1]
    levels = []
    for stride in (4, 8, 16):
        maps = pyramid[stride]
        patches = F.unfold(maps, 3, padding=1).transpose(1, 2)  # (B, cells, 9 C)
        patches = _to_grid(F.adaptive_avg_pool1d(patches, width), maps.shape[-2], maps.shape[-1])
        levels.append(F.interpolate(patches, size=grid, mode="bilinear", align_corners=False))
    stacked = torch.cat(levels, 1).flatten(2).transpose(1, 2)  # (B, cells, 3 width)
    return _to_grid(F.adaptive_avg_pool1d(stacked, width), *grid)


def _to_grid(cells: Tensor, h: int, w: int) -> Tensor:
    """(B, h * w, C) -> (B, C, h, w)."""
    return cells.transpose(1, 2).reshape(len(cells), -1, h, w)


def patch_residual(image: Pyramid, references: list[Pyramid], matches: Matches, width: int) -> Tensor:
    """(1, width, h, w): what the descriptors of an image differ by from those of their best matches (Eq. 3-4).

    Signed, because it is kept like that; the residual tensor R is its square, element by element.
    """
    found = Cells.of([patch_features(r, width) for r in references]).at(matches)
    return patch_features(image, width) - found


class BaseClickNetwork(ClickNetwork):
    """Ψ of Eq. 1 in the paper's size: R, clicks, previous mask and words in, logits out."""

    def __init__(self, config: BaseConfig | None = None):
        super().__init__()
        self.config = config = config or BaseConfig()
        width = config.width
        self.embed = nn.Conv2d(config.residual, width, 1)
        self.click_embed = nn.Conv2d(3, width, 8, stride=8)
        self.hears = config.words
        self.language = PixelWordAttention(width, config.words) if config.words else None
        self.blocks = nn.Sequential(
            *(SwinBlock(width, config.heads, config.window, shift=i % 2 == 1) for i in range(config.depth))
        )
        fine, same, half, quarter = config.pyramid
        self.levels = nn.ModuleList(
            [
                nn.ConvTranspose2d(width, fine, 2, stride=2),
                nn.Conv2d(width, same, 1),
                nn.Conv2d(width, half, 2, stride=2),
                nn.Conv2d(width, quarter, 4, stride=4),
            ]
        )
        self.level_norms = nn.ModuleList(nn.GroupNorm(1, c) for c in config.pyramid)
        self.level_heads = nn.ModuleList(nn.Conv2d(c, config.head, 1) for c in config.pyramid)
        self.head = nn.Sequential(
            nn.Conv2d(4 * config.head, config.head, 1),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(config.head, 1, 1),
        )

    @torch.no_grad()
    def prepare(
        self,
        image: Encoded,
        compared: Retrieved,
        normal: dict[str, float] | None,
        itself: bool = False,
        matching: MatchingConfig = MATCHING,
    ) -> Prepared:
        """See :class:`model.interactive.network.ClickNetwork`; the vectors are :func:`patch_residual`.

        Matches are those of the standardised features, as for every network here.
        """
        residual = match(image, compared, itself=itself, config=matching)
        pyramids = [r.pyramid for r in compared.references]
        vectors = patch_residual(image.pyramid, pyramids, residual.matches, self.config.residual)
        known = 0 if itself else len(compared.references)
        return replace(without_levels(image, residual, normal, known), vectors=vectors)

    def inputs(
        self, prepared: Prepared, clicks: Tensor, previous: Tensor, words: Words | None = None
    ) -> tuple[Tensor, ...]:
        """R (B, D, h/4, w/4), prompts (B, 3, 2h, 2w), words; see :class:`model.interactive.network.ClickNetwork`."""
        h, w = previous.shape[-2:]
        pixels = clicks * clicks.new_tensor([2, 2, 1])
        before = F.interpolate(previous, scale_factor=2.0, mode="bilinear", align_corners=False)
        shown = prepared.vectors.square(), torch.cat([before, click_discs(pixels, 2 * h, 2 * w)], 1)
        return shown if words is None or not self.hears else (*shown, *words)

    def forward(
        self, residual: Tensor, prompts: Tensor, words: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Logits (B, 1, H, W).

        Args:
            residual: (B, D, H/8, W/8), R: the square of :func:`patch_residual`.
            prompts: (B, 3, H, W) float32 in [0, 1]: previous probability map, discs of the positive clicks, discs of
                the negative clicks (:func:`click_discs`).
            words: (B, T, words) states of the text encoder, averaged over prompts (Eq. 6); None: no language.
            present: (B, T), which of them are words, or how much of one (averaged); default: all.
        """
        x = self.embed(residual) + self.click_embed(prompts)
        h, w = x.shape[-2:]
        x = F.pad(x, (0, -w % self.config.window, 0, -h % self.config.window))  # whole windows
        if words is not None and self.language is not None:
            known = (
                torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
                if present is None
                else present
            )
            x = self.language(x, words, known)
        x = self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        maps = []
        for level, norm, head in zip(self.levels, self.level_norms, self.level_heads, strict=True):
            maps.append(head(F.gelu(norm(level(x)))))
        size = maps[0].shape[-2:]
        joined = [F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps]
        logits = self.head(torch.cat(joined, 1))
        padded = 8 * x.shape[-2], 8 * x.shape[-1]
        logits = F.interpolate(logits.float(), size=padded, mode="bilinear", align_corners=True)
        return logits[..., : 8 * h, : 8 * w]


def click_discs(clicks: Tensor, height: int, width: int, radii: tuple[float, float] = (10.0, 5.0)) -> Tensor:
    """Discs round the clicks: (B, 2, height, width) float32 in {0, 1}, positive and negative.

    Args:
        clicks: (B, N, 3) float32: x, y in pixels, and +1, -1, or 0 for padding.
        height, width: of the map.
        radii: of positive and negative discs, pixels (the paper's code draws the positive ones twice as large).
    """
    squared = squared_distances(clicks, height, width)
    discs = []
    for sign, radius in zip((1, -1), radii, strict=True):
        inside = (squared <= radius**2) & (clicks[..., 2] == sign)[..., None, None]
        discs.append(inside.any(1))
    return torch.stack(discs, 1).float()
