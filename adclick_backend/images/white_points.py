"""One white point for all 16-bit images of a product, so that they stay comparable.

References decide on it: it suits the brightest of them, and stays until the last of them is taken out. While a product
has none, the first image that is opened decides, and another one raises it only where a quarter of it would be white.
It is never lowered but by the first reference, and never follows a single image.

What is computed from pixels is kept under the white point they were read with (`ImageKey.name`,
`ReferenceBank.fingerprint`), so nothing outlives a change; the references are prepared again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from adclick_backend.errors import ImageError
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.store import Store, WhitePoint
from adclick_runtime.images.deep import Brightness

_REMEMBERED = 10_000  # images whose brightness is known without another look


class WhitePoints:
    """The white points of all products. Safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._brightness: dict[str, Brightness] = {}

    def of_references(self, project: str, product: str) -> int:
        """The white point that references decided on; 0 while none of them has more than 8 bits."""
        known = self._store.white_points.get(project, product)
        return known.white if known and known.by_references else 0

    def of_product(self, project: str, product: str) -> int:
        """The white point of a product, whatever decided on it; 0 while no image of more than 8 bits was seen."""
        known = self._store.white_points.get(project, product)
        return known.white if known else 0

    def of_image(self, project: str, product: str, image: LoadedImage) -> int:
        """The white point for an image that is looked at; 0 for one of 8 bits. Raises ImageError."""
        if not image.is_deep:
            return 0
        known = self._store.white_points.get(project, product)
        if known and known.by_references:
            return known.white
        decide = partial(_opened, self._measured(image))
        if known is None or decide(known) != known:
            before, known = self._store.white_points.update(project, product, decide)
            self._tell(project, product, before, known, "an image that was opened is much brighter")
        return known.white

    def of_reference(self, project: str, product: str, image: LoadedImage, name: str = "") -> int:
        """The white point for a reference that comes into its bank; 0 while all of the bank have 8 bits.

        Where it changes, the references that are in the bank already are prepared again. Raises ImageError.

        Args:
            project: project id.
            product: of the bank.
            image: the reference.
            name: what a person knows it by.
        """
        if not image.is_deep:
            return self.of_references(project, product)
        decide = partial(_referred, self._measured(image))
        before, after = self._store.white_points.update(project, product, decide)
        if before == after:
            return after.white
        self._store.references.prepare_again(project, product)
        self._tell(project, product, before, after, f"that suits the reference {name}")
        return after.white

    def _tell(
        self, project: str, product: str, before: WhitePoint | None, after: WhitePoint, reason: str
    ) -> None:
        """Write down that images look lighter or darker than before, and why."""
        if before is None or before.white == after.white:
            return
        of = f" of product {product}" if product else ""
        self._store.problems.add(
            project,
            f"16-bit images{of} are read with white at {after.white} from now on, not at {before.white}, because "
            f"{reason}. They are prepared anew; a trained version saw them lighter or darker than this: train again. "
            "If cameras differ, tell their images apart by ADCLICK_PRODUCT_FIELD.",
        )

    def _measured(self, image: LoadedImage) -> Brightness:
        known = self._brightness.get(image.sha256)
        if known is None:
            if len(self._brightness) >= _REMEMBERED:
                self._brightness.clear()
            known = self._brightness[image.sha256] = image.brightness
        return known


def white_of_files(files: Iterable[Path], *, max_megapixels: float) -> int:
    """The white point that suits these references, as far as they can be read; 0 when none has more than 8 bits."""
    white = 0
    for file in files:
        image = LoadedImage(file.read_bytes(), max_megapixels)
        with suppress(ImageError):
            if image.is_deep:
                white = max(white, image.brightness.white)
    return white


def _opened(image: Brightness, known: WhitePoint | None) -> WhitePoint:
    """The white point after an image without references was opened."""
    if known is None:
        return WhitePoint(image.white, by_references=False)
    dazzled = not known.by_references and image.least > known.white
    return known._replace(white=max(image.white, known.white)) if dazzled else known


def _referred(image: Brightness, known: WhitePoint | None) -> WhitePoint:
    """The white point after a reference came in."""
    kept = known.white if known and known.by_references else 0
    return WhitePoint(max(image.white, kept), by_references=True)
