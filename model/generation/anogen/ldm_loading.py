"""A published latent diffusion model from a folder or from the Hugging Face hub, through ``diffusers``."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from model.generation.anogen.generator import GeneratorError
from model.generation.anogen.ldm_captions import Captions
from model.generation.anogen.ldm_networks import LatentDiffusion, digest

NEEDED = ("diffusers", "transformers")

INDEX = "model_index.json"
"""What every folder of a pipeline has."""

ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


def load_latent_diffusion(
    name: str, device: str = "cpu", dtype: torch.dtype | None = None
) -> LatentDiffusion:
    """Load a pipeline's networks, frozen and in evaluation mode.

    Only safetensors are read, and no code that comes with a model runs.

    Args:
        name: a folder that ``save_pretrained`` wrote, which needs no network, or ``owner/name`` on the hub.
        device: where it computes.
        dtype: of the denoiser and the text encoder; None: float16 on a GPU, float32 on a processor.

    Raises:
        GeneratorError: the extra is not installed, there is no such model, or it is of another kind.
    """
    there = torch.device(device)
    dtype = dtype or (torch.float16 if there.type == "cuda" else torch.float32)
    folder = Path(name).expanduser()
    if folder.exists():
        if not (folder / INDEX).is_file():
            raise GeneratorError(
                f"{name} is no folder of a diffusers pipeline: it has no {INDEX}. "
                "Give a folder that save_pretrained wrote, or that was downloaded whole from the hub."
            )
    elif not ON_THE_HUB.fullmatch(name):
        raise GeneratorError(
            f"There is no generator {name!r}: it is not the preset small, no folder, "
            "and no name on the Hugging Face hub (owner/name)."
        )
    if missing := [package for package in NEEDED if find_spec(package) is None]:
        raise GeneratorError(
            f"The generator {name!r} needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'adclick-backend[generation]', or choose the preset small."
        )
    pipeline = _pipeline(name, folder if folder.exists() else None)
    unet, scheduler = _part(pipeline, "unet"), _part(pipeline, "scheduler")
    vae, encoder = _part(pipeline, "vae", "vqvae"), _part(pipeline, "text_encoder", "bert")
    if trouble := _trouble(pipeline, unet, vae, encoder, scheduler):
        raise GeneratorError(
            f"{name} cannot paint defects here: {trouble}. "
            "Choose a text-to-image or in-painting model like Stable Diffusion 1 or 2, or the preset small."
        )
    from diffusers import DDIMScheduler

    for network in (unet, vae, encoder):
        network.eval().requires_grad_(False)
    unique = f"ldm-{folder.resolve().name}-{digest(unet, vae, encoder)}"
    unet.to(there, dtype)
    encoder.to(there, dtype)
    vae.to(there, torch.float32)
    unet.enable_gradient_checkpointing()  # learning then keeps far less in memory
    ddim = DDIMScheduler.from_config(scheduler.config, clip_sample=False, thresholding=False)
    return LatentDiffusion(unique, unet, vae, Captions(pipeline.tokenizer, encoder), ddim, there, dtype)


def _pipeline(name: str, folder: Path | None) -> Any:
    """The pipeline; one sentence about whatever goes wrong."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            str(folder or name),
            local_files_only=folder is not None,
            use_safetensors=True,
            variant=_variant(folder),
            low_cpu_mem_usage=False,
            safety_checker=None,
            requires_safety_checker=False,
        )
    except Exception as error:  # of every kind, from the network's to the parser's
        said = _first(error)
        if folder is not None:
            raise GeneratorError(
                f"The diffusers pipeline in {name} cannot be read ({said}). Its weights have to be safetensors, and "
                "it may bring no code of its own; write it again with save_pretrained, or choose the preset small."
            ) from error
        raise GeneratorError(
            f"{name} cannot be loaded from the Hugging Face hub ({said}). Without internet, download the model "
            "elsewhere, copy its folder here and give its path, or choose the preset small."
        ) from error


def _first(error: BaseException) -> str:
    """What an error that led to others said, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")


def _part(pipeline: Any, *names: str) -> Any:
    """What a pipeline has under one of some names; None where it has none."""
    return next((part for name in names if (part := getattr(pipeline, name, None)) is not None), None)


def _variant(folder: Path | None) -> str | None:
    """``fp16`` where a folder has its denoiser in no other form."""
    files = list((folder / "unet").glob("*.safetensors")) if folder else []
    return "fp16" if files and all(".fp16" in file.name for file in files) else None


def _trouble(pipeline: Any, unet: Any, vae: Any, encoder: Any, scheduler: Any) -> str | None:
    """Why the networks of a pipeline cannot be used; None when they can."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    if not isinstance(unet, UNet2DConditionModel):
        return "it has no denoiser that is told a text (UNet2DConditionModel)"
    if unet.config.in_channels not in (4, 9) or unet.config.out_channels != 4:
        return f"its denoiser has {unet.config.in_channels} input channels, and 4 or 9 are wanted"
    if not isinstance(unet.config.sample_size, int):
        return f"its denoiser has no size of its own but {unet.config.sample_size}"
    if not isinstance(vae, AutoencoderKL) or vae.config.latent_channels != 4:
        return "it has no autoencoder of four latent channels (AutoencoderKL)"
    if encoder is None or _part(pipeline, "tokenizer") is None:
        return "it has no text encoder with a tokenizer"
    if _part(pipeline, "text_encoder_2") is not None or unet.config.addition_embed_type:
        return "its denoiser is told more than one text encoder's states"
    predicts = scheduler.config.get("prediction_type", "epsilon")
    return None if predicts in ("epsilon", "v_prediction") else f"its denoiser predicts {predicts!r}"
