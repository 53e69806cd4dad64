"""The networks of a published latent diffusion model (Rombach et al. 2022), as far as they are needed here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.generation.anogen.ldm_captions import Captions


@dataclass(frozen=True)
class LatentDiffusion:
    """A frozen latent diffusion model.

    The autoencoder computes in float32 everywhere: it is a small part of the time, and published ones overflow in
    float16. The denoiser and the text encoder compute in the format that they are held in.

    Attributes:
        name: of the model, and the beginning of a digest of its weights.
        unet: the denoiser, of 4 channels (text to image) or 9 (in-painting).
        vae: the autoencoder, of 4 latent channels.
        captions: the text encoder.
        scheduler: DDIM (Song et al. 2021) with the noise levels of the model.
        device: where it computes.
        dtype: of the denoiser.
    """

    name: str
    unet: Any
    vae: Any
    captions: Captions
    scheduler: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def cell(self) -> int:
        """Side of what one latent stands for, in pixels of a crop."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def cells(self) -> int:
        """Side of a crop, in latents: what the denoiser was trained with."""
        return int(self.unet.config.sample_size)

    @property
    def side(self) -> int:
        """Side of a crop in pixels."""
        return self.cell * self.cells

    @property
    def fills(self) -> bool:
        """Whether it is an in-painting model: it is shown the surroundings and the box."""
        return bool(self.unet.config.in_channels == 9)

    @property
    def times(self) -> int:
        """Number of noise levels in training."""
        return int(self.scheduler.config.num_train_timesteps)

    @torch.no_grad()
    def encode(self, crops: Tensor) -> Tensor:
        """Crops (B, 3, `side`, `side`) in [-1, 1] -> the most likely latents (B, 4, `cells`, `cells`) float32."""
        latents: Tensor = self.vae.encode(crops.to(self.device, torch.float32)).latent_dist.mode()
        return latents * float(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, 4, `cells`, `cells`) -> crops (B, 3, `side`, `side`) float32, about [-1, 1]."""
        crops: Tensor = self.vae.decode(latents / float(self.vae.config.scaling_factor)).sample
        return crops

    def around(self, crops: Tensor, inside: Tensor) -> Tensor:
        """What an in-painting model is shown: where is painted, and the latents of the crop without that.

        Args:
            crops: (B, 3, `side`, `side`) in [-1, 1].
            inside: (B, 1, `cells`, `cells`) in {0, 1}.

        Returns:
            (B, 5, `cells`, `cells`) float32; without channels for a text-to-image model.
        """
        if not self.fills:
            return inside[:, :0]
        room = inside.repeat_interleave(self.cell, 2).repeat_interleave(self.cell, 3)
        return torch.cat([inside, self.encode(crops.to(self.device) * (1 - room))], 1)

    def predict(self, noisy: Tensor, time: Tensor, around: Tensor, states: Tensor) -> Tensor:
        """What the denoiser predicts, noise or velocity.

        Args:
            noisy: (B, 4, `cells`, `cells`) float32.
            time: () or (B,) integer noise levels.
            around: see `around`.
            states: (B, L, D), of the captions.

        Returns:
            (B, 4, `cells`, `cells`) float32.
        """
        given = torch.cat([noisy, around], 1).to(self.dtype)
        predicted: Tensor = self.unet(
            given, time, encoder_hidden_states=states.to(self.dtype), return_dict=False
        )[0]
        return predicted.float()

    def noise(self, predicted: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
        """The noise that a prediction stands for at the levels (B,) (Salimans and Ho 2022, appendix D)."""
        if self.scheduler.config.prediction_type == "epsilon":
            return predicted
        kept = self.scheduler.alphas_cumprod.to(noisy.device)[time].float()[:, None, None, None]
        noise: Tensor = kept.sqrt() * predicted + (1 - kept).sqrt() * noisy
        return noise


def digest(*networks: Any) -> str:
    """Eight hexadecimal digits of the weights, the same in whatever format they are held and wherever they lie."""
    found = hashlib.sha256()
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            first = tensor.detach().flatten()[:1024].to("cpu", torch.float16).contiguous()
            found.update(f"{name} {tuple(tensor.shape)}".encode())
            found.update(first.numpy().tobytes())
    return found.hexdigest()[:8]
