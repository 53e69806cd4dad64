"""An image beside the references of its product, as whatever judges it is shown it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from adclick_runtime.evidence import Evidence, evidence
from adclick_runtime.features import Features
from adclick_runtime.frame import Frame
from adclick_runtime.product import Product


@dataclass(frozen=True)
class Scene:
    """An image beside its references.

    Attributes:
        product: whose references they are.
        frame: the working frame of the image.
        image: its features.
        pool: of threads that compute.
    """

    product: Product
    frame: Frame
    image: Features
    pool: ThreadPoolExecutor

    @cached_property
    def nearest(self) -> tuple[int, ...]:
        """Numbers of the references that it is compared with, the most similar one first."""
        return self.product.references.nearest(self.image)

    @cached_property
    def mismatch(self) -> float:
        """How much worse a few references explain the image than it explains itself; 0 where there are many or none."""
        if not 0 < len(self.nearest) <= self.product.few:
            return 0.0
        return self.product.references.bank(self.nearest).mismatch_ratio(self.image, self.pool)

    @cached_property
    def evidence(self) -> Evidence:
        """The image matched with its references; with itself where there is none, or a few show something else."""
        product, itself = self.product, not self.nearest or self.mismatch > self.product.largest_mismatch
        bank = product.references.own(self.image) if itself else product.references.bank(self.nearest)
        residual = bank.match(self.image, self.pool)
        normal = None if itself else product.normal
        return evidence(residual, self.image.colour, normal, 0 if itself else len(self.nearest))

    @property
    def matched(self) -> bool:
        """Whether anybody asked for the `evidence`."""
        return "evidence" in vars(self)
