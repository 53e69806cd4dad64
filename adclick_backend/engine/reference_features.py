"""The references of a bank as the network sees them, and what is usual among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank
from adclick_backend.engine.cache import FeatureFiles, as_kept
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.engine.turning import turned
from adclick_backend.engine.usual import Usual
from adclick_backend.errors import ImageError
from adclick_backend.images.decode import Pixels
from adclick_backend.images.task_images import decode_image
from adclick_backend.settings import Settings
from adclick_backend.store.files import open_files

if TYPE_CHECKING:
    from model.features.encoding import Encoded
    from model.interactive.predictor import Predictor


class ReferenceFeatures:
    """Features of references: in memory, on disk, or computed again from the kept copies of their images.

    Computes in the thread that calls.

    Args:
        settings: paths and limits.
        files: what is kept on disk.
        model: gives the network, loading it if need be.
    """

    def __init__(self, settings: Settings, files: FeatureFiles, model: Callable[[], Predictor]) -> None:
        self._settings, self._files, self._model = settings, files, model
        self._copies = open_files(settings)
        self._encoded: WeightedLru[ImageKey, Encoded] = WeightedLru(settings.memory_cache_mb << 18)

    def encode(self, key: ImageKey, pixels: Pixels) -> Encoded:
        """Compute and keep the features of a reference (H, W, 3) uint8 RGB."""
        encoded = self._model().encode(pixels)
        self._files.save(key.project, key.name, encoded)
        return encoded

    def of(self, key: ImageKey) -> Encoded:
        """The features of a reference.

        Raises:
            EngineError: its image is gone or cannot be read.
        """
        if (cached := self._encoded.get(key)) is not None:
            return cached
        encoded = self._files.load(key.project, key.name)
        if encoded is None:
            encoded = as_kept(self.encode(key, self.kept_copy(key)))
        self._encoded.put(
            key, encoded, sum(m.nbytes for m in encoded.pyramid.values()) + encoded.colour.nbytes
        )
        return encoded

    def nearest(self, bank: ReferenceBank, image: Encoded, besides: str | None = None) -> tuple[str, ...]:
        """The references of a bank that an image is matched with, besides itself when it is one of them."""
        if not bank.references:
            return ()
        keys = {key.name: key for key in map(bank.key, bank.references)}

        def redescribe(_: str, name: str) -> None:
            self.encode(keys[name], self.kept_copy(keys[name]))

        descriptors = self._files.descriptors(bank.project, bank.fingerprint, list(keys), redescribe)
        itself = None if besides is None else bank.references.index(besides)
        order = self._model().retrieve(image.descriptor.cpu().numpy(), descriptors, itself)
        return tuple(bank.references[i] for i in order)

    def usual(self, bank: ReferenceBank) -> Usual:
        """What was measured of a bank so far."""
        product = f"{bank.product}\n{bank.white}" if bank.white else bank.product
        return self._files.usual(bank.project, product)

    def usual_of(self, bank: ReferenceBank, sha: str) -> dict[str, float]:
        """Residual energies of one reference matched with the others of its bank."""
        image = self.of(bank.key(sha))
        others = [self.of(bank.key(other)) for other in self.nearest(bank, image, besides=sha)]
        return self._model().usual(image, others)

    def usual_turned(self, bank: ReferenceBank, sha: str, degrees: float) -> float:
        """The joint residual energy of one reference, turned, matched with those others that are then most alike."""
        image = self._model().encode(turned(self.kept_copy(bank.key(sha)), degrees))
        others = [self.of(bank.key(other)) for other in self.nearest(bank, image, besides=sha)]
        return self._model().usual(image, others)["joint"]

    def level_of(self, bank: ReferenceBank, sha: str) -> float:
        """The median residual energy over one reference matched with the others of its bank."""
        image = self.of(bank.key(sha))
        others = [self.of(bank.key(other)) for other in self.nearest(bank, image, besides=sha)]
        return self._model().level(image, others)

    def measure(self, bank: ReferenceBank, sha: str) -> None:
        """Measure one reference of a bank and keep what was found."""
        self.usual(bank).put({sha: self.usual_of(bank, sha)}, len(bank.references))

    def normal(self, bank: ReferenceBank) -> dict[str, float] | None:
        """What energies are usual in a bank; the first opening measures as many references as that takes."""
        if len(bank.references) < 2:
            return None

        def measured() -> dict[str, float]:
            usual = self.usual(bank)
            while sha := usual.wanted(bank.references):
                self.measure(bank, sha)
            return usual.mean(bank.references)

        return self._files.normal(bank, measured)

    def kept_copy(self, key: ImageKey) -> Pixels:
        """The image of a reference.

        Raises:
            EngineError: it is gone or cannot be read.
        """
        try:
            path = self._copies.path_of_stem(f"projects/{key.project}/references/{key.sha}")
            return decode_image(
                path.read_bytes(), max_megapixels=self._settings.max_megapixels, white=key.white
            )
        except FileNotFoundError as error:
            raise EngineError(
                f"The kept copy of the reference {key.sha[:12]} is gone; remove it and add the image again."
            ) from error
        except (OSError, ImageError) as error:
            raise EngineError(
                f"The kept copy {key.sha[:16]} of a reference cannot be read: {error}"
            ) from error
