from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.checkpoint.manifest import CheckpointError
from model.generation.anogen.checkpoint import read_painter, write_painter
from model.generation.anogen.network import DenoiserConfig, Painter, normalised
from tests.helpers.tiny_painter import SIZES, tiny_painter


def test_the_network_that_ships_is_small() -> None:
    weights = sum(weight.numel() for weight in Painter().parameters())
    assert weights > 1e6 and 2 * weights < 12 << 20, "float16"


@pytest.mark.parametrize(
    "sizes", [SIZES, DenoiserConfig((8, 16, 24), 1, 4), DenoiserConfig((16,), 3, 8)], ids=str
)
def test_a_velocity_comes_out_for_every_size_of_the_network(sizes: DenoiserConfig) -> None:
    painter = Painter(sizes).eval()
    shown = torch.zeros(3, 4, 64, 64)
    vector = painter.encoder(shown)
    assert vector.shape == (3, sizes.vector)
    found = painter.denoiser(shown, shown, torch.tensor([0.0, 0.5, 1.0]), vector)
    assert found.shape == (3, 4, 64, 64) and torch.isfinite(found).all()
    assert not found.any(), "before any training it says nothing"


def test_time_surroundings_and_type_change_what_comes_out() -> None:
    denoiser = tiny_painter().denoiser
    noisy, given = torch.randn(2, 1, 4, 64, 64, generator=torch.Generator().manual_seed(0)).unbind()
    time, vector = torch.tensor([0.3]), torch.ones(1, 8)
    with torch.no_grad():
        found = denoiser(noisy, given, time, vector)
        for other in (
            denoiser(noisy, given.flip(2), time, vector),
            denoiser(noisy, given, time + 0.3, vector),
            denoiser(noisy, given, time, -vector),
        ):
            assert (other - found).abs().max() > 1e-4
        untold = denoiser(noisy, given, time, None)
        assert torch.equal(untold, denoiser(noisy, given, time, denoiser.any_type[None]))


def test_vectors_have_one_length() -> None:
    vectors = normalised(torch.randn(5, 16) * torch.arange(1, 6)[:, None])
    assert torch.allclose(vectors.norm(dim=1), torch.full((5,), 4.0))


def test_a_painter_is_read_as_it_was_written(tmp_path: Path) -> None:
    painter = tiny_painter()
    write_painter(tmp_path / "a.safetensors", painter, "v1", {"steps": 3})
    again, name = read_painter(tmp_path / "a.safetensors")
    assert again.denoiser.config == SIZES and name.startswith("v1-") and not again.training
    for key, weight in painter.state_dict().items():
        assert torch.equal(again.state_dict()[key], weight.half().float()), key
    assert not any(weight.requires_grad for weight in again.parameters())
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text().replace("anogen-small", "vit"))
    with pytest.raises(CheckpointError, match=r"a\.safetensors holds 'vit', not a generator of defects\."):
        read_painter(tmp_path / "a.safetensors")


def test_a_manifest_without_sizes_is_refused(tmp_path: Path) -> None:
    write_painter(tmp_path / "a.safetensors", tiny_painter(), "v1", {})
    text = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").write_text(text.replace('"widths"', '"width"'))
    with pytest.raises(CheckpointError, match="does not say the sizes"):
        read_painter(tmp_path / "a.safetensors")
