"""Networks whose weights follow from a rule: the same in every release of torch, and small when packed.

``python -m tests.helpers.patterned FOLDER`` writes checkpoints of the present format, for a folder of
``tests/fixtures/checkpoints``.
"""

from __future__ import annotations

import lzma
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.files import export
from model.checkpoint.manifest import manifest_path
from model.evidence.prepared import Prepared
from model.features.backbones import EfficientNetLite0
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.language.encoders import HashedWords
from model.language.vocabulary import Vocabulary
from model.segmentation.checkpoint import write_seg
from model.segmentation.network import ADClickSeg, SegConfig
from model.segmentation.type_head import TypeHead, length

ANY = BackboneId("efficientnet_lite0", "0" * 64)
WIDTHS = (8, 8, 12, 12, 16)


def patterned(module: nn.Module) -> nn.Module:
    """Give a module weights of 31 values, of the size that keeps its signals alive; in place."""
    for name, tensor in module.state_dict().items():
        size = 1.0 if tensor.ndim < 2 else 2.0 / max(1, tensor[0].numel()) ** 0.5
        tensor.copy_(
            ((torch.arange(tensor.numel()) * 7 + len(name)) % 31 - 15).view(tensor.shape) / 15 * size
        )
    return module.eval()


def waves(*shape: int) -> Tensor:
    """A tensor of values in [-1, 1]."""
    count = int(torch.tensor(shape).prod())
    return torch.sin(torch.arange(count, dtype=torch.float64) * 0.37).float().view(shape)


def prepared_waves() -> Prepared:
    """A prepared image of 64 px, of waves; without the levels that only clicks are compared in."""
    channels = {
        "colour": (3, 2),
        "stride2": (16, 2),
        "stride4": (24, 4),
        "stride8": (40, 8),
        "stride16": (112, 16),
    }
    levels = {name: waves(1, count, 64 // stride, 64 // stride) for name, (count, stride) in channels.items()}
    return Prepared(waves(1, 11, 32, 32), levels, waves(1, 6).abs(), waves(1, 64, 8, 8), waves(1, 2, 32, 32))


def write_click(out: Path, config: LiteConfig) -> None:
    """A click checkpoint."""
    about = {
        "version": "patterned-click",
        "preset": "lite",
        "backbone": "efficientnet_lite0",
        "network": asdict(config),
        "long_side": 128,
        "temperature": 0.5,
        "training": {},
    }
    export(patterned(EfficientNetLite0()), patterned(LiteClickNetwork(config)), out, about)


def write_segmentation(out: Path, config: SegConfig) -> None:
    """A checkpoint of ADClick-Seg with two types and a head that names them."""
    vocabulary = Vocabulary(HashedWords(), {"stain": ["a dark stain"], "scratch": ["a thin scratch"]})
    network, head = ADClickSeg(config), TypeHead(length(config), 2)
    patterned(network), patterned(head)
    head.scale.abs_().clamp_min_(0.1)
    write_seg(
        out, network, vocabulary, ["scratch", "stain"], [0.5, -0.5], "patterned-seg", {}, head, behind=ANY
    )


def pack(weights: Path) -> None:
    """Pack the weights; their manifest stays as it is."""
    weights.with_suffix(".safetensors.xz").write_bytes(lzma.compress(weights.read_bytes(), preset=9))
    weights.unlink()


def unpack(packed: Path, folder: Path) -> Path:
    """The weights of a packed checkpoint in a folder, with their manifest."""
    weights = folder / packed.name.removesuffix(".xz")
    folder.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(lzma.decompress(packed.read_bytes()))
    manifest_path(weights).write_bytes(manifest_path(packed.with_suffix("")).read_bytes())
    return weights


if __name__ == "__main__":
    place = Path(sys.argv[1])
    write_click(place / "click.safetensors", LiteConfig(previous=True, widths=WIDTHS))
    write_segmentation(place / "seg.safetensors", SegConfig(widths=WIDTHS, reduced=4))
    for name in ("click", "seg"):
        pack(place / f"{name}.safetensors")
