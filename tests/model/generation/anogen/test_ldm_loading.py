"""Where a latent diffusion model comes from, and one sentence for all that can be wrong with it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.checkpoint.manifest import CheckpointError
from model.generation.anogen import ldm_loading
from model.generation.anogen.generator import GeneratorError
from model.generation.anogen.ldm_loading import load_latent_diffusion
from model.generation.anogen.presets import load_generator
from tests.helpers.pipeline import write_pipeline
from tests.helpers.tiny_painter import tiny_generator

installed = pytest.mark.skipif(
    find_spec("diffusers") is None or find_spec("transformers") is None,
    reason="the extra generation is not installed: pip install 'adclick-backend[generation]'",
)


@pytest.fixture(autouse=True)
def without_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pipeline(tmp_path_factory.mktemp("pipelines") / "tiny")


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "tiny"))


def weights_of(folder: Path) -> Path:
    return folder / "unet" / "diffusion_pytorch_model.safetensors"


def test_a_file_is_a_small_generator_that_somebody_trained(tmp_path: Path) -> None:
    generator = tiny_generator(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    assert load_generator(str(file)).name == generator.name


def said(name: str | Path) -> str:
    with pytest.raises(GeneratorError) as found:
        load_generator(str(name))
    assert "\n" not in str(found.value)
    return str(found.value)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldm_loading, "find_spec", lambda package: None)
    assert said("someone/some-model") == (
        "The generator 'someone/some-model' needs packages that are not installed (diffusers, transformers): "
        "pip install 'adclick-backend[generation]', or choose the preset small."
    )


@installed
def test_a_folder_needs_no_internet(written: Path) -> None:
    networks = load_latent_diffusion(str(written))
    assert (networks.side, networks.cell, networks.cells, networks.fills) == (32, 4, 8, False)
    assert networks.scheduler.config.clip_sample is False, "latents are not in [-1, 1]"
    assert networks.name.startswith("ldm-tiny-")
    assert not any(p.requires_grad for n in (networks.unet, networks.vae) for p in n.parameters())


@installed
def test_other_weights_have_another_name(written: Path, copied: Path) -> None:
    first = load_latent_diffusion(str(written)).name
    assert load_latent_diffusion(str(copied)).name == first, "wherever the folder lies"
    weights = load_file(weights_of(copied))
    weights["down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"] += 0.1
    save_file(weights, weights_of(copied), {"format": "pt"})
    assert load_latent_diffusion(str(copied)).name != first


@installed
def test_a_folder_whose_weights_are_there_in_float16_alone_is_read(copied: Path) -> None:
    for file in copied.rglob("*.safetensors"):
        half = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(half, file.with_suffix(".fp16.safetensors"), {"format": "pt"})
        file.unlink()
    networks = load_latent_diffusion(str(copied))
    assert networks.dtype == torch.float32 and next(networks.unet.parameters()).dtype == torch.float32


@installed
def test_a_hub_that_is_out_of_reach_is_said_in_words() -> None:
    sentence = said("someone/some-model")
    assert sentence == (
        "someone/some-model cannot be loaded from the Hugging Face hub (Network is unreachable). "
        "Without internet, download the model elsewhere, copy its folder here and give its path, "
        "or choose the preset small."
    )


def test_a_name_that_is_nothing_is_said_in_words(tmp_path: Path) -> None:
    assert said(tmp_path / "nowhere") == (
        f"There is no generator '{tmp_path}/nowhere': it is not the preset small, no folder, "
        "and no name on the Hugging Face hub (owner/name)."
    )
    assert said("samll").startswith("There is no generator 'samll': it is not the preset small")


def test_a_folder_or_file_of_something_else_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "weights.ckpt").write_bytes(b"")
    for found in (tmp_path, tmp_path / "weights.ckpt"):
        assert said(found).startswith(
            f"{found} is no folder of a diffusers pipeline: it has no model_index.json."
        )


def test_a_file_of_weights_without_its_manifest_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"The manifest weights\.json of the weights cannot be read"):
        load_generator(str(tmp_path / "weights.safetensors"))


def cut_off(folder: Path) -> None:
    weights_of(folder).write_bytes(weights_of(folder).read_bytes()[:1000])


def gone(folder: Path) -> None:
    shutil.rmtree(folder / "unet")


def pickled(folder: Path) -> None:
    """Reading it would run whatever somebody put into it."""
    torch.save(load_file(weights_of(folder)), weights_of(folder).with_suffix(".bin"))
    weights_of(folder).unlink()


def no_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


@installed
@pytest.mark.parametrize("damage", [cut_off, gone, pickled, no_index])
def test_a_damaged_pipeline_is_said_in_words(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(copied)
    sentence = said(copied)
    assert sentence.startswith(f"The diffusers pipeline in {copied} cannot be read (")
    assert sentence.endswith("write it again with save_pretrained, or choose the preset small.")


@installed
def test_code_that_comes_with_a_model_is_not_run(copied: Path) -> None:
    index = copied / "model_index.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"_class_name": ["pipeline", "Own"]}))
    (copied / "pipeline.py").write_text(f"open({str(copied / 'ran')!r}, 'w')\n")
    assert "cannot be read" in said(copied)
    assert not (copied / "ran").exists()


@installed
def test_a_model_of_another_kind_is_said_in_words(tmp_path: Path) -> None:
    sentence = said(write_pipeline(tmp_path / "seven", channels=7))
    assert sentence == (
        f"{tmp_path / 'seven'} cannot paint defects here: its denoiser has 7 input channels, and 4 or 9 are wanted. "
        "Choose a text-to-image or in-painting model like Stable Diffusion 1 or 2, or the preset small."
    )
    sentence = said(write_pipeline(tmp_path / "sample", predicts="sample"))
    assert "its denoiser predicts 'sample'" in sentence


@installed
def test_a_pipeline_without_a_text_is_said_in_words(tmp_path: Path) -> None:
    import diffusers

    plain = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    diffusers.DDIMPipeline(plain, diffusers.DDIMScheduler()).save_pretrained(tmp_path / "plain")
    assert "it has no denoiser that is told a text" in said(tmp_path / "plain")
