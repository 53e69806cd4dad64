"""OneNIP's decoder: the tokens of a good image and of the image in question ask each other (section 3.2, Fig. 3)."""

from __future__ import annotations

from torch import Tensor, nn

from model.detectors.onenip.attention import Attention, FeedForward
from model.detectors.onenip.config import OneNIPConfig


class DecoderLayer(nn.Module):
    """The prompt asks the image, then the image asks the prompt; each normalised after it was added."""

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.to_image, self.to_prompt = Attention(config), Attention(config)
        self.feed_forward = FeedForward(config)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(config.width) for _ in range(3))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, prompt: Tensor, image: Tensor, positions: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both streams (B, T, width), the prompt's first."""
        prompt = self.norm1(prompt + self.dropout(self.to_image(prompt, image, positions, allowed)))
        prompt = self.norm2(prompt + self.dropout(self.feed_forward(prompt)))
        image = self.norm3(image + self.dropout(self.to_prompt(image, prompt, positions, allowed)))
        return prompt, image


class Decoder(nn.Module):
    """A stack of layers, and a last look of the prompt at the image that nothing is hidden from.

    The reconstruction is read from the prompt's stream: what the image shows reaches it by attention only.
    """

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder))
        self.last, self.norm = Attention(config), nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, prompt: Tensor, image: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """Encoded tokens of the prompt and of the image (B, T, width) -> what is reconstructed of (B, T, width)."""
        for layer in self.layers:
            prompt, image = layer(prompt, image, positions, allowed)
        return self.norm(prompt + self.dropout(self.last(prompt, image, positions, None)))  # type: ignore[no-any-return]
