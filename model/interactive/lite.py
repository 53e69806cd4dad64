"""The click network Ψ (Eq. 1): evidence in, mask out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.ranges import COUNT, NOT_NEGATIVE, SHARE, check, refused
from model.evidence.discriminant import SHRINKAGE
from model.evidence.prepared import CHANNELS, LAYOUT, Prepared, compare
from model.evidence.previous_mask import MASK_CHANNELS, MASK_LAYOUT, mask_evidence
from model.evidence.relative import evidence
from model.features.encoding import Encoded
from model.interactive.network import ClickNetwork
from model.language.vocabulary import Words
from model.matching.nearest import MATCHING, MatchingConfig
from model.matching.retrieval import Retrieved


@dataclass(frozen=True)
class LiteConfig:
    """Sizes of the ``lite`` click network."""

    inputs: int = CHANNELS
    shrinkage: float = SHRINKAGE  # of the discriminant level (:mod:`model.evidence.discriminant`)
    previous: bool = False  # whether it sees the previous mask, after the click before
    dropout: float = 0.15  # share of the kinds of evidence that a sample goes without in training
    widths: tuple[int, ...] = (24, 40, 64, 96, 128)  # strides 2, 4, 8, 16, 32

    def __post_init__(self) -> None:
        check(self, {"inputs": COUNT, "shrinkage": NOT_NEGATIVE, "dropout": SHARE, "widths": COUNT})
        if len(self.widths) != 5:
            raise refused(self, "widths", f"{len(self.widths)} widths are not one for each of the 5 strides")


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each place.

    Statistics over space (batch, group or instance normalisation) shift with the crop's size and the share of the
    image that is defective, and with them the threshold; a place's own channels do not.
    """

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two 3 x 3 convolutions with a skip around them."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.norm = ChannelNorm(width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H, W)."""
        y = self.second(F.relu(self.norm(self.first(x))))
        return F.relu(self.skip(x) + y)


class LiteClickNetwork(ClickNetwork):
    """A small U-Net over :mod:`model.evidence.prepared`, from stride 2 down to stride 32 and back.

    Its output is at stride 1: the last layer predicts the four pixels of each stride-2 cell.
    """

    def __init__(self, config: LiteConfig | None = None):
        super().__init__()
        config = config or LiteConfig()
        widths = config.widths
        self.config, self.dropout = config, config.dropout
        self.stem = nn.Conv2d(config.inputs + config.previous * MASK_CHANNELS, widths[0], 3, padding=1)
        self.stem_norm = ChannelNorm(widths[0])
        self.down = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(Block(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.head = nn.Conv2d(widths[0], 4, 1)

    def prepare(
        self,
        image: Encoded,
        compared: Retrieved,
        normal: dict[str, float] | None,
        itself: bool = False,
        matching: MatchingConfig = MATCHING,
    ) -> Prepared:
        """See :class:`model.interactive.network.ClickNetwork`."""
        return compare(image, compared, normal, itself, matching, self.config.shrinkage)

    def inputs(
        self, prepared: Prepared, clicks: Tensor, previous: Tensor, words: Words | None = None
    ) -> tuple[Tensor, ...]:
        """The evidence (B, CHANNELS, h, w); see :class:`model.interactive.network.ClickNetwork`.

        Words are not heard: from what is shown here they change nothing (see the ablations in the model card).
        """
        shown = evidence(prepared, clicks)
        if self.config.previous:
            shown = torch.cat([shown, mask_evidence(prepared, previous)], 1)
        return (self._thinned(shown) if self.training else shown,)

    def _thinned(self, shown: Tensor) -> Tensor:
        """The evidence without some of its kinds, others for each sample: no kind alone decides on other products."""
        layout = LAYOUT | (MASK_LAYOUT if self.config.previous else {})
        kept = torch.rand(len(shown), len(layout)) >= self.dropout
        kept[:, list(layout).index("near")] = True
        counts = torch.tensor(list(layout.values()))
        return shown * kept.repeat_interleave(counts, 1)[..., None, None].to(shown)

    def forward(self, evidence: Tensor) -> Tensor:
        """Logits (B, 1, 2h, 2w) from evidence (B, CHANNELS, h, w); h and w multiples of 16."""
        return self.up_again(self.downward(evidence))

    def downward(self, evidence: Tensor) -> list[Tensor]:
        """Features (B, C, h / 2 ** i, w / 2 ** i), from the stride of the evidence down to stride 32."""
        x = F.relu(self.stem_norm(self.stem(evidence.contiguous(memory_format=torch.channels_last))))
        found = [x]
        for block in self.down:
            found.append(block(F.avg_pool2d(found[-1], 2)))
        return found

    def up_again(self, features: list[Tensor]) -> Tensor:
        """Logits (B, 1, 2h, 2w) from features of all strides."""
        *skips, x = features
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skips.pop()], 1))
        return F.pixel_shuffle(self.head(x), 2)
