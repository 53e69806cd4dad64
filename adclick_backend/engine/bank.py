"""What the engine is told of images and their references, and how it says no."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from adclick_backend.images.decode import Pixels
from model.checkpoint.manifest import CheckpointError, UnreadableError

Load = Callable[[], Pixels]


class EngineError(RuntimeError):
    """The model cannot answer; the message says why in one sentence."""


class VersionError(EngineError):
    """The network of a trained version cannot be loaded, today or tomorrow; another version can answer.

    Args:
        message: why, as a sentence.
        weights: its checkpoint, if whoever asked for it may not know which one it was.
    """

    def __init__(self, message: str, weights: Path | None = None) -> None:
        super().__init__(message)
        self.weights = weights


@contextmanager
def explained(which: str, weights: Path | None = None) -> Iterator[None]:
    """Errors of the checkpoint of a ``which`` network, perhaps of a trained version, in the engine's words."""
    try:
        yield
    except CheckpointError as error:
        said = f"The {which} network could not be loaded: {error}"
        if isinstance(error, UnreadableError):
            raise EngineError(said) from error
        raise VersionError(said, weights) from error


class ImageKey(NamedTuple):
    """An image of a project.

    Attributes:
        project: project id.
        sha: SHA-256 of its file.
        white: the 16-bit value that became 255 in its pixels; 0 for an image of 8 bits.
    """

    project: str
    sha: str
    white: int = 0

    @property
    def name(self) -> str:
        """What is computed from its pixels is kept under this name."""
        return f"{self.sha}-{self.white}" if self.white else self.sha


@dataclass(frozen=True)
class ReferenceBank:
    """The references of one product of one project.

    Attributes:
        project: project id.
        product: "" when products are not told apart.
        references: SHA-256 of the image files, sorted.
        white: the 16-bit value that becomes 255 in them; 0 while all are of 8 bits.
    """

    project: str
    product: str
    references: tuple[str, ...]
    white: int = 0

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a reference comes or goes, or all of them become lighter or darker."""
        window = (f"white {self.white}",) if self.white else ()
        text = "\n".join((self.project, self.product, *self.references, *window))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def without(self, sha: str) -> ReferenceBank:
        """The bank an image is compared with: it is no reference of its own."""
        if sha not in self.references:
            return self
        return replace(self, references=tuple(r for r in self.references if r != sha))

    def key(self, sha: str) -> ImageKey:
        """One of its references."""
        return ImageKey(self.project, sha, self.white)
