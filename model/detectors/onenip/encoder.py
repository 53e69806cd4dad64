"""OneNIP's encoder: each token rebuilt from what lies far from it in the same image (section 3.2)."""

from __future__ import annotations

from torch import Tensor, nn

from model.detectors.onenip.attention import Attention, FeedForward
from model.detectors.onenip.config import OneNIPConfig


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each normalised after it was added."""

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.attention, self.feed_forward = Attention(config), FeedForward(config)
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width); see :meth:`model.detectors.onenip.attention.Attention.forward`."""
        tokens = self.norm1(tokens + self.dropout(self.attention(tokens, tokens, positions, allowed)))
        return self.norm2(tokens + self.dropout(self.feed_forward(tokens)))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """A stack of layers, the same for images and prompts."""

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder))

    def forward(self, tokens: Tensor, positions: Tensor, allowed: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width)."""
        for layer in self.layers:
            tokens = layer(tokens, positions, allowed)
        return tokens
