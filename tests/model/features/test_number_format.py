from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from adclick_runtime.frame import Frame
from model.checkpoint.manifest import PACKAGED_SEG
from model.clicks import Click
from model.features import number_format as module
from model.features.number_format import bfloat16_flag, number_format
from model.interactive.lite import LiteClickNetwork
from model.interactive.predictor import Predictor
from model.matching import residual
from model.matching.nearest import MATCHING, Cells, Matches, MatchingConfig
from model.segmentation.predictor import SegPredictor
from tests.helpers.plates import plate, stained

SAPPHIRE_RAPIDS = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\n"
    "flags\t\t: fpu avx512f avx512vl avx512_bf16 amx_bf16 amx_tile\nbugs\t: spectre\n"
)
ZEN_4 = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni\n"
ICE_LAKE = "flags\t\t: fpu avx2 avx512f avx512bw avx512vl avx512_vnni avx512_fp16 not_avx512_bf16\n"
GRAVITON_3 = "Features\t: fp asimd svebf16 i8mm bf16 dgh\n"
GRAVITON_2 = "Features\t: fp asimd evtstrm aes\n"


def a_processor(monkeypatch: pytest.MonkeyPatch, folder: Path, cpuinfo: str) -> None:
    (folder / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(module, "CPUINFO", folder / "cpuinfo")


@pytest.mark.parametrize(
    ("cpuinfo", "flag"),
    [
        (SAPPHIRE_RAPIDS, "amx_bf16"),
        (ZEN_4, "avx512_bf16"),
        (SAPPHIRE_RAPIDS.replace(" amx_bf16", ""), None),  # a virtual machine that hides it
        (ICE_LAKE, None),
        (GRAVITON_3, "bf16"),
        (GRAVITON_3.replace(" bf16", " asimdbf16"), "asimdbf16"),
        (GRAVITON_2, None),
        (GRAVITON_3 + "\n" + GRAVITON_2, None),  # large and small cores: what one lacks is not there
        (ZEN_4 + "\n" + ZEN_4.replace("avx2", "amx_bf16"), "avx512_bf16"),
        ("model name\t: flags : avx512_bf16\n", None),
        ("", None),
    ],
)
def test_the_flags_of_a_processor_say_whether_it_has_bfloat16(cpuinfo: str, flag: str | None) -> None:
    assert bfloat16_flag(cpuinfo) == flag


def test_auto_is_what_the_processor_has_in_hardware(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_processor(monkeypatch, tmp_path, ZEN_4)
    found = number_format()
    assert (found.name, found.dtype, found.slow) == ("bfloat16", torch.bfloat16, False)
    assert found.sentence == "Computing in bfloat16, with which this processor is faster (avx512_bf16)."
    assert number_format("float32").name == "float32"
    a_processor(monkeypatch, tmp_path, ICE_LAKE)
    assert (number_format().name, number_format().dtype) == ("float32", torch.float32)
    assert "does not say that it is faster with bfloat16" in number_format().sentence


def test_without_a_word_of_the_processor_it_is_float32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Systems other than Linux have no such file."""
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "none")
    assert number_format().name == "float32"


def test_bfloat16_may_be_asked_for_where_it_is_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_processor(monkeypatch, tmp_path, ICE_LAKE)
    found = number_format("bfloat16")
    assert (found.name, found.slow) == ("bfloat16", True)
    assert "which is slow here" in found.sentence


def test_a_graphics_card_matches_in_float16_unless_asked_otherwise() -> None:
    names = [number_format(asked, "cuda:1").name for asked in ("auto", "float32", "bfloat16")]
    assert names == ["float16", "float32", "bfloat16"]
    assert number_format("auto", "cuda:1").dtype == torch.float16
    assert "on cuda:1" in number_format("bfloat16", "cuda:1").sentence


@pytest.mark.parametrize("asked", ["int8", "float16", "", "Auto"])
def test_another_format_is_refused_in_words(asked: str) -> None:
    words = f"There is no number format {asked!r}; there are: auto, float32, bfloat16."
    with pytest.raises(ValueError) as refused:
        number_format(asked)
    assert str(refused.value) == words


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_all_that_a_predictor_does_is_in_the_format_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """Matching with references, with itself and of references among each other, and the network."""
    matched: list[torch.dtype] = []
    nearest, forward = residual.nearest, LiteClickNetwork.forward
    networks: list[bool] = []

    def told(
        features: Tensor, bank: Cells, itself: bool = False, config: MatchingConfig = MATCHING
    ) -> Matches:
        matched.append(config.dtype)
        return nearest(features, bank, itself, config)

    def run(self: LiteClickNetwork, evidence: Tensor) -> Tensor:
        networks.append(torch.is_autocast_enabled("cpu"))
        return forward(self, evidence)

    monkeypatch.setattr(residual, "nearest", told)
    monkeypatch.setattr(LiteClickNetwork, "forward", run)
    predictor = Predictor(asked=asked)
    predictor.long_side = 128
    image, *references = (predictor.encode(pixels) for pixels in (stained(0)[0], *map(plate, range(4))))
    normal = predictor.usual(references[0], references[1:])
    for chosen in (references, references[:1], []):
        prepared = predictor.prepare(image, chosen, normal if len(chosen) > 1 else None)
    predictor.logits(prepared, Frame.of(96, 128, 128), [Click(60.0, 40.0, True)], None)
    wanted = {"float32": torch.float32, "bfloat16": torch.bfloat16}[asked]
    assert len(matched) == 6
    assert set(matched) == {wanted}
    assert networks == [asked == "bfloat16"]


def test_the_formats_give_nearly_the_same_maps_and_each_always_the_same() -> None:
    def maps(asked: str) -> list[np.ndarray]:  # type: ignore[type-arg]
        predictor, seg = Predictor(asked=asked), SegPredictor(PACKAGED_SEG, asked=asked)
        predictor.long_side = 128
        prepared = _prepared(predictor, [plate(i) for i in range(3)])
        frame = Frame.of(96, 128, 128)
        return [
            predictor.logits(prepared, frame, [Click(60.0, 40.0, True)], None),
            *seg.maps(prepared, frame).values(),
        ]

    exact, again, coarse = maps("float32"), maps("float32"), maps("bfloat16")
    assert all(np.array_equal(a, b) for a, b in zip(exact, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(exact, coarse, strict=True))
    assert np.median(np.abs(exact[0] - coarse[0])) < 0.5


def _prepared(predictor: Predictor, references: Sequence[np.ndarray]):  # type: ignore[no-untyped-def, type-arg]
    return predictor.prepare(predictor.encode(stained(0)[0]), [predictor.encode(r) for r in references], None)
