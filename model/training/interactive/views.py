"""Training views of defects: whole images and zoom windows, compared with references of the same product."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import torch

from model.evidence.prepared import Prepared, normal_levels
from model.features.backbones import Backbone
from model.features.encoding import Encoded, encode
from model.generation.synthesis import Image, Mask
from model.interactive.zoom import Window
from model.matching.nearest import MATCHING, MatchingConfig
from model.matching.residual import match
from model.matching.retrieval import Retrieved, retrieve

COUNTS = (0, 0, 1, 2, 4, 8)
"""Numbers of references of a view of a whole image, drawn at random: one network serves all cases."""

CLOSE_COUNTS = (0, 1, 2)
"""The same for a close view, for which only the most similar references are looked at again."""

CPU = torch.device("cpu")

Prepare = Callable[[Encoded, Retrieved, dict[str, float] | None, bool, MatchingConfig], Prepared]


class TrainingViews:
    """TrainingViews of the defects of one product, compared with its good images.

    A view is the whole image or, as often as not, a window round the defect as :mod:`model.interactive.zoom` opens it,
    so that defects are seen at every size and references at every closeness.

    Args:
        good: defect-free images of one size, (H, W, 3) uint8 RGB.
        backbone: frozen features.
        long_side: of the working frame of a whole image; a close view has two thirds of it.
        use_references: whether the good images show what the defect images show.
        prepare: of the click network that looks at the views (:class:`model.interactive.network.ClickNetwork`).
        remembered: of how many good images the features are kept; None: of all of them.
        device: where to compute.
        matching: how places are matched.
    """

    def __init__(
        self,
        good: list[Image],
        backbone: Backbone,
        long_side: int,
        use_references: bool,
        prepare: Prepare,
        *,
        remembered: int | None = None,
        device: torch.device = CPU,
        matching: MatchingConfig = MATCHING,
    ):
        self.good, self.backbone, self.long_side = good, backbone, long_side
        self.prepare, self.device, self.matching = prepare, device, matching
        self._reference = lru_cache(remembered)(lambda i: self._encode(self.good[i], long_side))
        self.descriptors = [self._reference(i).descriptor for i in range(len(good) if use_references else 0)]

    @torch.inference_mode()
    def of(
        self, pixels: Image, mask: Mask, close: bool, rng: np.random.Generator, host: int | None = None
    ) -> tuple[Prepared, Mask] | None:
        """One view of a defect and what of it is defect in the working frame (H, W); None when nothing is.

        Args:
            pixels: the image.
            mask: its defect, of the image's size.
            close: whether to look from near.
            rng: source of all randomness.
            host: the good image that the defect was drawn on, which then is no reference.
        """
        others = [i for i in range(len(self.descriptors)) if i != host]
        count = min(len(others), int(rng.choice(CLOSE_COUNTS if close else COUNTS)))
        others = [others[i] for i in rng.permutation(len(others))[: max(count, len(others) // 2)]]
        window = self._window(mask, rng) if close else Window(0, 0, *mask.shape)
        query = self._encode(window.cut(pixels), self.long_side * 2 // 3 if close else self.long_side)
        height, width = (2 * side for side in query.colour.shape[-2:])
        seen = window.cut(mask).astype(np.float32)
        frame_mask = cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA) > 0.5
        if not frame_mask.any():
            return None
        chosen = self._nearest(pixels if close else query, others, count)
        references = [self._look(i, window, mask.shape) if close else self._reference(i) for i in chosen]
        compared = Retrieved(references or [query])
        return self.prepare(
            query, compared, self._usual(references), not references, self.matching
        ), frame_mask

    def _encode(self, pixels: Image, long_side: int) -> Encoded:
        return encode(pixels, self.backbone, long_side, self.device)

    def _nearest(self, whole: Encoded | Image, others: list[int], count: int) -> list[int]:
        """The ``count`` most similar ones of ``others`` to a whole image."""
        if not count:
            return []
        query = whole if isinstance(whole, Encoded) else self._encode(whole, self.long_side // 2)
        descriptors = torch.stack([self.descriptors[i] for i in others])
        return [others[i] for i in retrieve(query.descriptor, descriptors, count)]

    def _look(self, index: int, window: Window, shape: tuple[int, ...]) -> Encoded:
        """The same window of a reference."""
        good = self.good[index]
        return self._encode(window.of_size(shape, good.shape).cut(good), self.long_side * 2 // 3)

    def _usual(self, references: list[Encoded]) -> dict[str, float] | None:
        """What energies are usual between these references; None for fewer than two."""
        if len(references) < 2:
            return None
        return normal_levels([match(references[0], Retrieved(references[1:]), config=self.matching)])

    def _window(self, mask: Mask, rng: np.random.Generator) -> Window:
        """A window round a part of the defect, from a sixth to four fifths of the image, the defect anywhere in it."""
        rows, columns = np.nonzero(mask)
        i = int(rng.integers(len(rows)))
        side = max(64, round(max(mask.shape) * float(np.exp(rng.uniform(np.log(0.17), np.log(0.8))))))
        height, width = min(side, mask.shape[0]), min(side, mask.shape[1])
        share = rng.uniform(0.15, 0.85, 2)
        top, left = int(rows[i] - share[0] * height), int(columns[i] - share[1] * width)
        return Window(
            min(max(0, top), mask.shape[0] - height), min(max(0, left), mask.shape[1] - width), height, width
        )
