"""What the engine is told of images and their references, and how it says no."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from adclick_backend.images.decode import Pixels

Load = Callable[[], Pixels]


class EngineError(RuntimeError):
    """The model cannot answer; the message says why in one sentence."""


class VersionError(EngineError):
    """The network of a trained version cannot be loaded, today or tomorrow; another version can answer."""


class ImageKey(NamedTuple):
    """An image of a project: the SHA-256 of its file."""

    project: str
    sha: str


@dataclass(frozen=True)
class ReferenceBank:
    """The references of one product of one project.

    Attributes:
        project: project id.
        product: "" when products are not told apart.
        references: SHA-256 of the image files, sorted.
    """

    project: str
    product: str
    references: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a reference comes or goes."""
        text = "\n".join((self.project, self.product, *self.references))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def without(self, sha: str) -> ReferenceBank:
        """The bank an image is compared with: it is no reference of its own."""
        if sha not in self.references:
            return self
        return ReferenceBank(self.project, self.product, tuple(r for r in self.references if r != sha))
