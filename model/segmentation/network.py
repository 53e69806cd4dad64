"""ADClick-Seg: defects of a type without a click (Eq. 7), on the U-Net of the click network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.checkpoint.ranges import COUNT, NOT_NEGATIVE, SHARE, check, check_names, check_value, refused
from model.evidence.nearness import nearness
from model.evidence.prepared import ENERGIES, NORMAL_ENERGIES, RATIO_ENERGIES, REACHES, STATIC_CHANNELS
from model.evidence.relative import columns
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.language.attention import PixelWordAttention
from model.language.encoders import WIDTH
from model.segmentation.inputs import VIEWS, views_behind

CLICK_MAPS = 2 * len(REACHES)
RELATIVE = STATIC_CHANNELS + len(RATIO_ENERGIES)
WORD_STRIDE = 8  # where the words come in
UNUSUAL = len(ENERGIES) + NORMAL_ENERGIES.index("joint")
"""The relative map that compares the joint residual with what is usual among the references."""


@dataclass(frozen=True)
class SegConfig:
    """Sizes of the ``lite-seg`` network."""

    words: int = WIDTH  # of the text encoder's states
    relative: int = RELATIVE  # channels of the relative maps
    clicks: int = CLICK_MAPS + 1  # nearness of clicks of both signs, and the map before them; empty in use
    vectors: int = 64  # of the residual vectors, strides 4 and 8
    views: tuple[tuple[str, int], ...] = views_behind("efficientnet_lite0")  # of a manifest that has none
    widths: tuple[int, ...] = LiteConfig.widths  # of the U-Net, strides 2, 4, 8, 16, 32
    reduced: int = 16  # to how many channels a project's network reduces a feature level
    noise: float = (
        0.22  # standard deviation of the log-normal noise on the channels of a reduced view, in training
    )
    dropout: float = 0.3  # share of training samples that go without a view

    def __post_init__(self) -> None:
        sizes = ("words", "relative", "clicks", "vectors", "widths", "reduced")
        check(self, {**dict.fromkeys(sizes, COUNT), "noise": NOT_NEGATIVE, "dropout": SHARE})
        if len(self.widths) != len(LiteConfig.widths):
            raise refused(self, "widths", f"{len(self.widths)} widths are not one for each of the 5 strides")
        check_names(self, "views", [name for name, _ in self.views], VIEWS)
        for _, channels in self.views:
            check_value(self, "views", channels, COUNT)


class FeatureView(nn.Module):
    """A learned, strongly reduced view of a feature level or of the residual vectors, added to the U-Net's features.

    The click network sees nothing of the kind, for it would memorise the products of its training. A project's network
    works on the very products that it is trained on. The last layer starts at zero, so that training starts from the
    network without the view.
    """

    def __init__(self, inputs: int, width: int, config: SegConfig):
        super().__init__()
        self.noise, self.dropout = config.noise, config.dropout
        self.reduce = nn.Conv2d(inputs, config.reduced, 1)
        self.out = nn.Conv2d(config.reduced, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, width, h, w)."""
        if not self.training:
            return self.out(F.relu(self.reduce(maps)))  # type: ignore[no-any-return]
        shape = len(maps), maps.shape[1], 1, 1
        # the residual-space augmentation of SemiREST: channels a fifth stronger or weaker
        maps = maps * torch.exp(self.noise * torch.randn(shape, device=maps.device).clamp(-1, 1))
        kept = (torch.rand(len(maps), 1, 1, 1, device=maps.device) >= self.dropout).float()
        return kept * self.out(F.relu(self.reduce(maps)))  # type: ignore[no-any-return]


class ResidualSkip(nn.Module):
    """The residual itself, past the U-Net: how unusual each place is among the references, in logits.

    Where a product differs from all that the U-Net was trained on, this map alone is better than the U-Net's; how far
    to trust it is learned, for each project anew.
    """

    reach = 9  # cells to each side
    spread = 3.0  # standard deviation of the blur, stride-2 cells
    usual = 2.0  # logits for a residual energy that is e times the usual one, before anything was learned
    most = 0.8  # log-ratio of the energies from which on a place is no more unusual: round a striking defect coarse
    # features carry it far beyond its border, and how far it reaches the U-Net knows better

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.zeros(()))  # log of the factor
        # Not on the device that networks are compared on: arithmetic there imports torch's Python kernels for a second.
        cells = torch.arange(-self.reach, self.reach + 1, device="cpu")
        taps = torch.exp(-0.5 * (cells / self.spread).square())
        self.register_buffer("taps", taps / taps.sum(), persistent=False)

    def forward(self, relative: Tensor) -> Tensor:
        """(B, relative, h, w) -> logits (B, 1, 2h, 2w), 0 where an energy is usual."""
        energy = 2 * relative[:, UNUSUAL : UNUSUAL + 1]  # the log-ratio, halved among the relative maps
        padded = F.pad(energy, (self.reach,) * 4, mode="replicate")
        rows = F.conv2d(padded, self.taps.view(1, 1, -1, 1))
        blurred = F.conv2d(rows, self.taps.view(1, 1, 1, -1))
        logits = self.usual * self.trust.exp() * blurred.clamp_max(self.most)
        return F.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)


class ADClickSeg(nn.Module):
    """Relative maps, reduced views and the words of a defect type in, logits of that type out.

    Encoder and decoder are those of the click network, whose weights are a good start: it sees the same comparisons
    with the references, and before the first click all its maps of likeness to clicked places are empty.
    """

    def __init__(self, config: SegConfig):
        super().__init__()
        self.config = config
        sizes = LiteConfig(inputs=config.relative + config.clicks, widths=config.widths)
        self.body = LiteClickNetwork(sizes)
        widths = {2 << i: width for i, width in enumerate(sizes.widths)}  # stride -> channels
        self.views = nn.ModuleDict(
            {
                name: FeatureView(inputs, widths[int(name.removeprefix("stride"))], config)
                for name, inputs in config.views
            }
        )
        self.views["vectors"] = FeatureView(config.vectors, widths[8], config)
        self.language = PixelWordAttention(widths[WORD_STRIDE], config.words)
        self.skip = ResidualSkip()

    def forward(
        self, inputs: Mapping[str, Tensor], words: Tensor, present: Tensor, clicks: Tensor | None = None
    ) -> Tensor:
        """Logits (B, 1, 2h, 2w).

        Args:
            inputs: :func:`model.segmentation.inputs.inputs` of B images; h, w of the stride-2 grid, multiples of 16.
            words: (B, T, D) states of the text encoder for the type that is looked for.
            present: (B, T), bool or float in [0, 1]: how much of a word there is.
            clicks: (B, config.clicks, h, w): :func:`click_maps`; default: none.
        """
        skips = self.see(inputs, clicks)
        return self.find(skips, inputs, words, present)

    def see(self, inputs: Mapping[str, Tensor], clicks: Tensor | None = None) -> list[Tensor]:
        """What does not depend on the type: features (B, C, h, w) at strides 2, 4 and 8."""
        relative = inputs["relative"]
        if clicks is None:
            clicks = relative.new_zeros(len(relative), self.config.clicks, *relative.shape[-2:])
        x = torch.cat([relative, clicks], 1).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.body.stem_norm(self.body.stem(x)))
        skips = [x + self._view("stride2", inputs)]
        for i, stride in enumerate((4, 8)):
            skips.append(
                self.body.down[i](F.avg_pool2d(skips[-1], 2)) + self._view(f"stride{stride}", inputs)
            )
        skips[-1] = skips[-1] + self._view("vectors", inputs)
        return skips

    def find(
        self, skips: list[Tensor], inputs: Mapping[str, Tensor], words: Tensor, present: Tensor
    ) -> Tensor:
        """Logits (B, 1, 2h, 2w) of the type that the words describe; see :meth:`forward`."""
        skips = list(skips)
        skips[-1] = self.language(skips[-1], words, present)
        skips.append(self.body.down[2](F.avg_pool2d(skips[-1], 2)) + self._view("stride16", inputs))
        skips.append(self.body.down[3](F.avg_pool2d(skips[-1], 2)))
        return self.body.up_again(skips) + self.skip(inputs["relative"])  # type: ignore[no-any-return]

    def _view(self, name: str, inputs: Mapping[str, Tensor]) -> Tensor:
        return self.views[name](inputs[name])  # type: ignore[no-any-return]


def click_maps(clicks: Tensor, previous: Tensor) -> Tensor:
    """What the network is told of simulated clicks: (B, SegConfig.clicks, h, w) float32 in [0, 1].

    Args:
        clicks: (B, N, 3): x, y on the stride-2 grid, and +1, -1, or 0 for padding.
        previous: (B, 1, h, w), the probability map before them.
    """
    h, w = previous.shape[-2:]
    return torch.cat([nearness(clicks, h, w), previous], 1)


def start_from_clicks(network: ADClickSeg, click: Mapping[str, Tensor]) -> None:
    """Load the weights of a click network into the U-Net of ADClick-Seg.

    Of its first layer only the columns of the maps that both see are taken; all others are zero before the first click.

    Args:
        network: changed in place.
        click: the state of a :class:`model.interactive.lite.LiteClickNetwork`.
    """
    kept = columns("energies", "edge", "references", "energy ratios", "near")
    state = dict(click)
    known = state["stem.weight"][:, kept]
    unknown = network.body.stem.in_channels - len(
        kept
    )  # of the map before, which the click network is not told
    state["stem.weight"] = torch.cat([known, known.new_zeros(len(known), unknown, *known.shape[2:])], 1)
    network.body.load_state_dict(state)
