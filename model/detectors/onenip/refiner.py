"""OneNIP's supervised refiner: where a reconstruction's error looks like a defect, four times finer (section 3.4)."""

from __future__ import annotations

from torch import Tensor, nn

FINER = 4
"""How many places a side the refined map has for each place of the features."""


class Refiner(nn.Module):
    """Two times: a convolution, normalised, and a doubling of the grid; then one number a place.

    Args:
        inputs: channels of the error.
        width: channels inside.
    """

    def __init__(self, inputs: int, width: int):
        super().__init__()
        blocks: list[nn.Module] = []
        for channels in (inputs, width):
            blocks += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.ConvTranspose2d(width, width, 2, 2),
            ]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(width, 1, 1))

    def forward(self, error: Tensor) -> Tensor:
        """(B, inputs, h, w) float32 >= 0 -> logits (B, 1, 4 h, 4 w)."""
        return self.layers(error)  # type: ignore[no-any-return]
