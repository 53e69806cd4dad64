"""Latent diffusion pipelines of random weights on disk, as the hub has trained ones."""

from __future__ import annotations

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class PipelineSizes:
    """How large its networks are."""

    latents: int  # side of a picture in latents
    denoiser: tuple[int, ...]  # channels, from the finest grid on
    blocks: int  # on each grid, of the denoiser and of the autoencoder
    groups: int  # of the normalisation
    heads: int  # of the denoiser's attention
    autoencoder: tuple[int, ...]  # channels
    words: int  # width of the text encoder
    layers: int  # of the text encoder


TINY = PipelineSizes(8, (16, 32), 1, 4, 4, (8, 8, 8), 16, 2)
"""Pictures of 32 px."""


def write_pipeline(
    folder: Path, *, channels: int = 4, predicts: str = "epsilon", sizes: PipelineSizes = TINY
) -> Path:
    """Write a pipeline that `load_generator` reads; the folder.

    Args:
        folder: that is made.
        channels: of the denoiser's input; 9 for an in-painting model.
        predicts: ``epsilon`` or ``v_prediction``.
        sizes: of its networks.
    """
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    tokenizer = _tokenizer(folder / "words")
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=sizes.words,
            intermediate_size=4 * sizes.words,
            num_hidden_layers=sizes.layers,
            num_attention_heads=max(2, sizes.words // 64),
            max_position_embeddings=40,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    parts: dict[str, Any] = {
        "unet": _denoiser(channels, sizes),
        "vae": _autoencoder(sizes),
        "text_encoder": encoder,
        "tokenizer": tokenizer,
        "scheduler": diffusers.PNDMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            skip_prk_steps=True,
            steps_offset=1,
            prediction_type=predicts,
        ),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    kind = diffusers.StableDiffusionInpaintPipeline if channels == 9 else diffusers.StableDiffusionPipeline
    kind(**parts).save_pretrained(folder)
    return folder


def write_bert_pipeline(folder: Path) -> Path:
    """The same, with the parts of the first latent diffusion model that was told texts."""
    import diffusers
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel
    from transformers import BertTokenizer

    torch.manual_seed(0)
    words = folder / "words"
    words.mkdir(parents=True)
    listed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "defect"]
    (words / "vocab.txt").write_text("\n".join(listed) + "\n")
    tokenizer = BertTokenizer(vocab=str(words / "vocab.txt"), model_max_length=40)
    config = LDMBertConfig(
        vocab_size=len(listed),
        max_position_embeddings=40,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        head_dim=8,
        d_model=TINY.words,
    )
    scheduler = diffusers.DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False
    )
    diffusers.LDMTextToImagePipeline(
        vqvae=_autoencoder(TINY),
        bert=LDMBertModel(config),
        tokenizer=tokenizer,
        unet=_denoiser(4, TINY),
        scheduler=scheduler,
    ).save_pretrained(folder)
    return folder


def _denoiser(channels: int, sizes: PipelineSizes) -> Any:
    import diffusers

    deeper = len(sizes.denoiser) - 1
    return diffusers.UNet2DConditionModel(
        sample_size=sizes.latents,
        in_channels=channels,
        out_channels=4,
        block_out_channels=sizes.denoiser,
        down_block_types=("CrossAttnDownBlock2D",) * deeper + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * deeper,
        layers_per_block=sizes.blocks,
        norm_num_groups=sizes.groups,
        cross_attention_dim=sizes.words,
        attention_head_dim=sizes.heads,
    )


def _autoencoder(sizes: PipelineSizes) -> Any:
    import diffusers

    count = len(sizes.autoencoder)
    return diffusers.AutoencoderKL(
        block_out_channels=sizes.autoencoder,
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        layers_per_block=sizes.blocks,
        latent_channels=4,
        norm_num_groups=sizes.groups,
        sample_size=sizes.latents * 2 ** (count - 1),
        scaling_factor=0.5,
    )


def _tokenizer(folder: Path) -> Any:
    """Of letters, without any merges."""
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True)
    letters = [*string.ascii_lowercase, "-"]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, model_max_length=40)
