"""The generators by name."""

from __future__ import annotations

from pathlib import Path

from model.generation.anogen.generator import Generator
from model.generation.anogen.ldm import LdmGenerator
from model.generation.anogen.small import SmallGenerator

SMALL = "small"
"""The preset that ships with the package."""


def load_generator(name: str = SMALL, device: str = "cpu") -> Generator:
    """The generator of a preset.

    Args:
        name: ``small``; or a file that ``adclick train generator`` has written; or, for the preset ``ldm``, the folder
            of a ``diffusers`` pipeline or its name on the hub.
        device: where it computes.

    Raises:
        CheckpointError: the packaged weights, or those of the file, cannot be read.
        GeneratorError: there is no such generator, or it cannot be loaded here; the message says what to do.
    """
    if name == SMALL:
        return SmallGenerator(device=device)
    return SmallGenerator(Path(name), device) if name.endswith(".safetensors") else LdmGenerator(name, device)
