"""Pixel-word attention (Eq. 6, after LAVT): places of an image look up the words of a defect type."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from model.language.encoders import WIDTH


class PixelWordAttention(nn.Module):
    """Each place asks the words of the defect's description; a gate decides how much of the answer enters.

    After the idea of LAVT: pixels are queries, words are keys and values, the answer is multiplied with the projected
    pixels. Normalised within each sample and over all channels together, so that what the words say of the whole image
    (which defect is looked for) is kept. The gate starts closed: words must earn their influence.

    Args:
        width: channels of the pixels.
        words: D, width of the encoder's states.
    """

    def __init__(self, width: int, words: int = WIDTH):
        super().__init__()
        self.pixels = nn.Conv2d(width, width, 1)
        self.query = nn.Sequential(nn.Conv2d(width, width, 1), nn.GroupNorm(1, width))
        self.key = nn.Linear(words, width)
        self.value = nn.Linear(words, width)
        self.answer = nn.Sequential(nn.Conv2d(width, width, 1), nn.GroupNorm(1, width))
        self.join = nn.Conv2d(width, width, 1)
        closed = nn.Conv2d(width, width, 1, bias=False)
        nn.init.zeros_(closed.weight)
        self.gate = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.ReLU(), closed, nn.Tanh())

    def forward(self, x: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Pixels that have heard the words.

        Args:
            x: (B, width, H, W).
            words: (B, T, D).
            mask: (B, T), bool or float in [0, 1]: how much of a word there is. Without any word all count alike.

        Returns:
            (B, width, H, W).
        """
        b, c, h, w = x.shape
        asked = self.query(x).flatten(2).transpose(1, 2)  # (B, HW, width)
        weight = mask.to(x.dtype).clamp_min(1e-6).log()[:, None]  # (B, 1, T), added to the logits
        told = F.scaled_dot_product_attention(asked, self.key(words), self.value(words), attn_mask=weight)
        told = self.answer(told.transpose(1, 2).reshape(b, c, h, w))
        joined = F.gelu(self.join(F.gelu(self.pixels(x)) * told))
        return x + self.gate(joined) * joined  # type: ignore[no-any-return]
